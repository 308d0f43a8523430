"""Is KVM usable, not merely there?  /dev/kvm may be another's, broken, or hang every guest."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import threading

LIMIT = 5.0
_STATUS = 0x31
_ENDS = bytes((0xB0, _STATUS, 0xE6, 0xF4, 0xF4))
"""``mov al, 0x31; out 0xf4, al; hlt``: QEMU's isa-debug-exit ends with twice that and one."""

_once = threading.Lock()


def trouble() -> str:
    """Why KVM is of no use here, in a few words; empty if it works.  Tried once."""
    with _once:
        return _tried()


@functools.cache
def _tried() -> str:
    """A guest of five bytes, that ends itself: in a fifth of a second, where KVM works."""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user"
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(_ENDS.ljust(510, b"\0") + b"\x55\xaa")
        sector.flush()
        command = ["qemu-system-i386", "-accel", "kvm", "-M", "pc", "-m", "16", "-nic", "none"]
        command += ["-display", "none", "-no-user-config", "-nodefaults"]
        command += ["-drive", f"file={sector.name},format=raw,if=floppy,readonly=on"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        try:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            return f"a guest of five bytes hangs with it for {LIMIT:g} s"
        except OSError:
            return "no qemu-system-i386 to try it with"
    if ended.returncode != _STATUS << 1 | 1:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"QEMU ended with {ended.returncode}"
    return ""
