"""A box of ours in QEMU, with no other program: ``qemu:debian32``.

The guest writes nothing that lasts (``-snapshot``), listens on a loopback port that QEMU draws,
and is started from kernel and initial RAM disk, past firmware menu and boot loader.
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

from matrix.boxes import debian32

from . import Unavailable, Way, _kvm, _ssh

QEMU = "qemu-system-i386"
_PORT = re.compile(rb"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")


class Qemu(Way):
    """The argument is the box's name; ``debian32`` is the one there is."""

    label = "qemu"
    argument_is = 'a box: "qemu:debian32"'

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._guest: subprocess.Popen[bytes] | None = None
        self._console = os.path.join(self.folder, "console.log")

    def lacks(self) -> str:
        if self.argument != "debian32":
            return f"there is no box {self.argument!r} for QEMU: there is debian32"
        if not shutil.which(QEMU):
            return f"no {QEMU}: apt-get install qemu-system-x86"
        if not shutil.which("ssh"):
            return "no ssh: apt-get install openssh-client"
        return "" if debian32.built() else debian32.lacks()

    def note(self) -> str:
        box = [] if debian32.built() else [debian32.AT_FIRST_USE]
        return "; ".join([*box, _kvm.note()])

    def up(self) -> str:
        if reason := self.lacks():
            raise Unavailable(reason)
        box = debian32.built()
        if not box:
            self.say("there is no box in the cache: building it")
            box = debian32.build(self.say)
        trouble = _kvm.trouble()
        if not trouble:
            self.say("starting it, with KVM")
            try:
                return self._started(box, "kvm", 90.0)
            except Unavailable as silent:
                # That KVM ran the guest of the trial does not say that it runs a kernel.
                self.down()
                trouble = str(silent)
        self.say(f"starting it, emulated ({trouble})")
        # Emulation is ten times slower, and a machine may be shared.
        return self._started(box, "tcg,thread=multi", 300.0)

    def _started(self, box: debian32.Box, accel: str, limit: float) -> str:
        port = self._start(box, accel)
        key = os.path.join(self.folder, "key")
        shutil.copyfile(debian32.KEY, key)
        os.chmod(key, 0o600)
        config = os.path.join(self.folder, "ssh_config")
        _ssh.write(config, "debian32", port, key)
        python = self._wait(config, limit)
        return f"ssh_config={config}//ssh=debian32//python={python}"

    def kept(self) -> str:
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
        """Start the guest; the port on which its ssh is reached."""
        forward = "user,model=virtio-net-pci,ipv4=on,ipv6=on,hostfwd=tcp:127.0.0.1:0-:22"
        command = [QEMU, "-accel", accel, "-M", "q35", "-m", "512", "-smp", "2"]
        command += ["-display", "none", "-vga", "none", "-no-reboot", "-snapshot"]
        command += ["-kernel", box.kernel, "-initrd", box.initrd]
        # A panic ends the guest, and with it our waiting.
        command += ["-append", f"{debian32.KERNEL_ARGUMENTS} panic=-1"]
        command += ["-drive", f"file={_quoted(box.disk)},format=qcow2,if=virtio", "-nic", forward]
        command += ["-device", "virtio-rng-pci", "-monitor", "stdio"]
        command += ["-chardev", f"file,id=console,path={_quoted(self._console)}"]
        command += ["-serial", "chardev:console"]
        self._guest = guest = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us, who take it down.
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
                    raise Unavailable("QEMU says no port within 30 s: is the machine overloaded?")
                some = os.read(guest.stdout.fileno(), 65536)
                if not some:
                    raise BrokenPipeError
                heard += some
        except BrokenPipeError:
            lines = heard.decode(errors="replace").strip().splitlines() or ["not a word"]
            raise Unavailable(f"QEMU did not start: {lines[-1]}") from None
        return int(found[1])

    def _wait(self, config: str, limit: float) -> str:
        """Until Python answers over ssh; the command that runs it."""
        assert self._guest
        started = told = time.monotonic()
        reason = "nobody answers"
        while time.monotonic() - started < limit:
            if self._guest.poll() is not None:
                raise Unavailable(f"the guest ended while it started: {self._gist()}")
            python, reason = _ssh.python(config, "debian32")
            if python:
                self.say(f"up after {time.monotonic() - started:.0f} s")
                return python
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                self.say(f"starting, {told - started:.0f} s: {self._gist()}")
            time.sleep(0.25)
        raise Unavailable(f"the guest did not answer within {limit:.0f} s: {reason}")

    def _gist(self) -> str:
        """What the console said last, or what the panic was."""
        try:
            with open(self._console, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            text = ""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        panics = [line for line in lines if "Kernel panic" in line]
        return (panics or lines or ["the console is empty"])[-1][-200:]


def _quoted(path: str) -> str:
    """For a value among options that commas divide."""
    return path.replace(",", ",,")


WAY = Qemu
