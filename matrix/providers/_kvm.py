"""Test whether KVM works: /dev/kvm may belong to another user, be broken, or hang every guest."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable

from matrix.errors import Say, Unavailable

DEVICE = "/dev/kvm"
_LIMIT = 5.0
"""Longest time in seconds for the emulated guest; it usually takes a tenth of a second."""
_STATUS = 0x31
_ENDS = bytes((0xB0, _STATUS, 0xE6, 0xF4, 0xF4))
"""``mov al, 0x31; out 0xf4, al; hlt``: QEMU's isa-debug-exit ends with twice that and one."""

_once = threading.Lock()


def explain_trouble() -> str:
    """Return why KVM does not work here; empty if it works.  The test runs once."""
    with _once:
        return _try_once()


def describe_kvm() -> str:
    """Return how a guest would run: with KVM, or emulated and why."""
    why = explain_trouble()
    return f"emulated, as {why}" if why else "with KVM"


def start_guest(start: Callable[[bool], str], down: Callable[[], None], say: Say) -> str:
    """Call ``start`` with whether to use KVM, and return what it returns.

    If KVM does not work, or `Unavailable` shows that this guest does not come up with it, the
    guest is emulated.
    """
    trouble = explain_trouble()
    if not trouble:
        say("starting it, with KVM")
        try:
            return start(True)
        except Unavailable as silent:
            # KVM ran the small test guest, but that does not prove that it runs a kernel.
            down()
            trouble = str(silent)
    say(f"starting it, emulated ({trouble})")
    return start(False)


@functools.cache
def _try_once() -> str:
    """Run a guest of five bytes that ends itself, emulated and then with KVM.

    If the machine is virtual itself, KVM may run this guest but no kernel.  It is then a hundred
    times slower than emulation, so the limit is ten times the emulated guest's time.
    """
    if not os.path.exists(DEVICE):
        return f"{DEVICE} does not exist"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"this user may not open {DEVICE}"
    started = time.monotonic()
    if said := _run_guest("tcg", _LIMIT):
        return said
    emulated = time.monotonic() - started
    return _run_guest("kvm", max(1.0, 10 * emulated))


def _run_guest(accelerator: str, limit: float) -> str:
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(_ENDS.ljust(510, b"\0") + b"\x55\xaa")
        sector.flush()
        command = ["qemu-system-i386", "-accel", accelerator, "-M", "pc", "-m", "16"]
        command += ["-nic", "none", "-display", "none", "-no-user-config", "-nodefaults"]
        command += ["-drive", f"file={sector.name},format=raw,if=floppy,readonly=on"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        try:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return f"a guest of five bytes does not end with {accelerator} within {limit:.1f} s"
        except OSError:
            return "qemu-system-i386 is not installed"
    if ended.returncode != _STATUS << 1 | 1:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"QEMU ended with {ended.returncode}"
    return ""
