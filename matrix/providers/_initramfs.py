"""Debian on its own kernel in QEMU, from an initramfs: ``qemu:debian:trixie:riscv64``.

There is no disk, boot loader or network.  The gateway goes through a virtio port: QEMU's end is a
Unix socket, to which `_relay.py` connects; the guest's end is `_channel.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from matrix.boxes import debian
from matrix.errors import Say, Unavailable
from matrix.interrupts import block_stopping
from probes.errors import CommandError

from . import _channel, _kvm, _relay

_KVM_LIMIT, _TCG_LIMIT = 90.0, 600.0
"""Seconds until the guest must be ready; on an idle machine emulated guests take 10 to 60."""


class InitramfsGuest:
    """A guest of one run, with the methods of `Provider`."""

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        self.argument = argument
        self.folder = folder
        self.say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._console = os.path.join(folder, "console.log")

    def explain_lack(self) -> str:
        """See `Provider`."""
        try:
            wanted = debian.parse_argument(self.argument)
        except CommandError as error:
            return str(error)
        program = f"qemu-system-{wanted.machine.program}"
        if not shutil.which(program):
            return (
                f"{program} is not installed: apt-get install qemu-system-{wanted.machine.package}"
            )
        return "" if debian.find_built(self.argument) else debian.explain_lack(self.argument)

    def describe(self) -> str:
        """See `Provider`."""
        wanted = debian.parse_argument(self.argument)
        box = [] if debian.find_built(self.argument) else [debian.AT_FIRST_USE]
        return "; ".join([*box, _kvm.describe_kvm() if debian.can_use_kvm(wanted) else "emulated"])

    def up(self) -> str:
        """See `Provider`."""
        if reason := self.explain_lack():
            raise Unavailable(reason)
        wanted = debian.parse_argument(self.argument)
        box = debian.build(self.say, False, self.argument)
        trouble = "another processor"
        if debian.can_use_kvm(wanted):
            trouble = _kvm.explain_trouble()
            if not trouble:
                self.say("starting it, with KVM")
                try:
                    return self._start_and_wait(wanted, box, True)
                except Unavailable as silent:
                    # KVM ran the small test guest, but that does not prove that it runs a kernel.
                    self.down()
                    trouble = str(silent)
        self.say(f"starting it, emulated ({trouble})")
        return self._start_and_wait(wanted, box, False)

    def explain_kept(self) -> str:
        """See `Provider`."""
        return f"to end it: kill {self._process.pid}" if self._process else ""

    def down(self) -> None:
        """See `Provider`."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()

    def _start_and_wait(self, wanted: debian.Release, box: debian.Box, kvm: bool) -> str:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._console)
        # Without a name, so that nothing is left of it even if this process is killed.
        with tempfile.TemporaryFile(dir=self.folder) as initramfs:
            with open(_channel.__file__, "rb") as file:
                debian.extend_initramfs(box, initramfs, debian.make_channel_files(file.read()))
            self._start(wanted, box, initramfs.fileno(), kvm)
            self._wait(_KVM_LIMIT if kvm else _TCG_LIMIT)
        relay = [sys.executable, _relay.__file__, self.folder]
        return f"popen//python={shlex.join(relay)}"

    def _start(self, wanted: debian.Release, box: debian.Box, initramfs: int, kvm: bool) -> None:
        command = debian.make_qemu_command(
            wanted, box, f"/proc/self/fd/{initramfs}", kvm, f"lab.now={time.time():.0f}"
        )
        command += ["-chardev", f"socket,id=lab,path={_relay.SOCKET},server=on,wait=off"]
        command += ["-device", f"virtio-serial-{wanted.machine.bus}"]
        command += ["-device", f"virtserialport,chardev=lab,name={_channel.NAME}"]
        command += ["-chardev", "file,id=console,path=console.log", "-serial", "chardev:console"]
        # An interrupt must not come between the start of QEMU and the note of its process.
        with (
            open(os.path.join(self.folder, "qemu.log"), "wb") as log,
            block_stopping() as restore,
        ):
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[initramfs],
                preexec_fn=restore,
                # Ctrl-C must reach only this process, which takes the guest down.
                start_new_session=True,
            )

    def _wait(self, limit: float) -> None:
        """Wait until the guest is ready; raise `Unavailable` if it ends or takes too long."""
        assert self._process
        started = told = time.monotonic()
        while time.monotonic() - started < limit:
            ended = self._process.poll() is not None
            lines = self._read_console()
            if any(line.endswith(_channel.READY) for line in lines):
                self.say(f"up after {time.monotonic() - started:.0f} s")
                return
            if ended:
                raise Unavailable(self._explain_end(lines))
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                self.say(f"starting, {told - started:.0f} s: {(lines or ['no output yet'])[-1]}")
            time.sleep(0.05)
        raise Unavailable(
            f"the guest was not ready within {limit:.0f} s: {(lines or ['no output'])[-1]}"
        )

    def _explain_end(self, lines: list[str]) -> str:
        if not lines:
            with open(
                os.path.join(self.folder, "qemu.log"), encoding="utf-8", errors="replace"
            ) as log:
                said = [line.strip() for line in log if line.strip()]
            return f"QEMU did not start: {(said or ['no message'])[-1]}"
        panics = [line for line in lines if "Kernel panic" in line]
        # The kernel's own last words only say that it powers down.
        said = [line for line in lines if not re.match(r"\[ *\d+\.\d+\]", line)]
        return f"the guest ended during the boot: {(panics or said or lines)[-1]}"

    def _read_console(self) -> list[str]:
        """Return the lines of the console that are not empty, without control sequences."""
        try:
            with open(self._console, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", text)
        return [line.strip()[-200:] for line in text.splitlines() if line.strip()]
