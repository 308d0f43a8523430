"""A box with a disk in QEMU: ``qemu:debian32``.

The guest changes nothing on its disk (``-snapshot``).  It listens on a loopback port that QEMU
chooses, and boots straight from kernel and initial RAM disk, without firmware menu or boot
loader.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import shutil
import subprocess
import time
from functools import partial

from matrix.boxes import debian, debian32
from matrix.errors import Say, Unavailable
from matrix.interrupts import block_stopping

from . import _kvm, _ssh
from ._boot import read_console

QEMU = "qemu-system-i386"
_PORT = re.compile(rb"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")


class DiskGuest:
    """A guest of one run, with the methods of `Provider`; the only box is ``debian32``."""

    uses_kvm = False
    """Whether the guest that is up runs with KVM."""

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        self.argument = argument
        self.folder = folder
        self.say = say
        self._guest: subprocess.Popen[bytes] | None = None
        self._console = os.path.join(self.folder, "console.log")

    def explain_lack(self) -> str:
        if self.argument != "debian32":
            return f"unknown guest {self.argument!r}; there are debian32 and {debian.ARGUMENT}"
        if not shutil.which(QEMU):
            return f"{QEMU} is not installed: apt-get install qemu-system-x86"
        if not shutil.which("ssh"):
            return "ssh is not installed: apt-get install openssh-client"
        return "" if debian32.find_built() else debian32.explain_lack()

    def describe(self) -> str:
        box = [] if debian32.find_built() else [debian32.AT_FIRST_USE]
        return "; ".join([*box, _kvm.describe_kvm()])

    def up(self) -> str:
        box = debian32.find_built()
        if not box:
            self.say("no box in the cache: building it")
            box = debian32.build(self.say)
        return _kvm.start_guest(partial(self._start_and_wait, box), self.down, self.say)

    def _start_and_wait(self, box: debian32.Box, kvm: bool) -> str:
        self.uses_kvm = kvm
        port = self._start(box, "kvm" if kvm else "tcg,thread=multi")
        # Emulation is ten times slower, and the machine may be shared.
        limit = 90.0 if kvm else 300.0
        key = os.path.join(self.folder, "key")
        shutil.copyfile(debian32.KEY, key)
        os.chmod(key, 0o600)
        config = os.path.join(self.folder, "ssh_config")
        _ssh.write_config(config, "debian32", port, key)
        python = self._wait(config, limit)
        return f"ssh_config={config}//ssh=debian32//python={python}"

    def explain_kept(self) -> str:
        assert self._guest
        config = os.path.join(self.folder, "ssh_config")
        return f"ssh -F {shlex.quote(config)} debian32; to end it: kill {self._guest.pid}"

    def down(self) -> None:
        guest, self._guest = self._guest, None
        if not guest:
            return
        guest.kill()
        guest.wait()
        for pipe in (guest.stdin, guest.stdout, guest.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self, box: debian32.Box, accel: str) -> int:
        """Start the guest, and return the port of its ssh."""
        forward = "user,model=virtio-net-pci,ipv4=on,ipv6=on,hostfwd=tcp:127.0.0.1:0-:22"
        command = [QEMU, "-accel", accel, "-M", "q35", "-m", "512", "-smp", "2"]
        command += ["-display", "none", "-vga", "none", "-no-reboot", "-snapshot"]
        command += ["-kernel", box.kernel, "-initrd", box.initrd]
        # A panic ends the guest, and with it the wait for it.
        command += ["-append", f"{debian32.KERNEL_ARGUMENTS} panic=-1"]
        command += ["-drive", f"file={_quote(box.disk)},format=qcow2,if=virtio", "-nic", forward]
        command += ["-device", "virtio-rng-pci", "-monitor", "stdio"]
        command += ["-chardev", f"file,id=console,path={_quote(self._console)}"]
        command += ["-serial", "chardev:console"]
        # An interrupt must not come between the start of QEMU and the note of its process.
        with block_stopping() as restore:
            self._guest = guest = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=restore,
                # Ctrl-C must reach only this process, which takes the guest down.
                start_new_session=True,
            )
        assert guest.stdin
        assert guest.stdout
        heard = b""
        try:
            guest.stdin.write(b"info usernet\n")
            guest.stdin.flush()
            until = time.monotonic() + 30
            while not (found := _PORT.search(heard)):
                left = until - time.monotonic()
                if left < 0 or not select.select([guest.stdout], [], [], left)[0]:
                    raise Unavailable("QEMU named no port within 30 s: is the machine overloaded?")
                some = os.read(guest.stdout.fileno(), 65536)
                if not some:
                    raise BrokenPipeError
                heard += some
        except BrokenPipeError:
            lines = heard.decode(errors="replace").strip().splitlines() or ["no message"]
            raise Unavailable(f"QEMU did not start: {lines[-1]}") from None
        return int(found[1])

    def _wait(self, config: str, limit: float) -> str:
        """Wait until Python answers over ssh; return the command that runs it."""
        assert self._guest
        started = told = time.monotonic()
        reason = "no answer"
        while time.monotonic() - started < limit:
            if self._guest.poll() is not None:
                raise Unavailable(f"the guest ended during the boot: {self._find_gist()}")
            python, reason = _ssh.find_python(config, "debian32")
            if python:
                self.say(f"up after {time.monotonic() - started:.0f} s")
                return python
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                self.say(f"starting, {told - started:.0f} s: {self._find_gist()}")
            time.sleep(0.25)
        raise Unavailable(f"the guest did not answer within {limit:.0f} s: {reason}")

    def _find_gist(self) -> str:
        """Return the last line of the console, or the panic."""
        lines = read_console(self._console)
        panics = [line for line in lines if "Kernel panic" in line]
        return (panics or lines or ["the console is empty"])[-1]


def _quote(path: str) -> str:
    """Return a path with its commas doubled: in QEMU's options a comma ends a value."""
    return path.replace(",", ",,")
