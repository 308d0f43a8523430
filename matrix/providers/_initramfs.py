"""Debian on its own kernel in QEMU, from an initramfs: ``qemu:debian:trixie:riscv64``.

There is no disk, boot loader or network.  The gateway goes through a virtio port: QEMU's end is a
Unix socket, to which `_relay.py` connects; the guest's end is `_channel.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from functools import partial

from matrix.boxes import debian
from probes.errors import CommandError

from . import _channel, _kvm, _relay
from ._boot import CONSOLE, BootedGuest

_KVM_LIMIT, _TCG_LIMIT = 90.0, 600.0
"""Seconds until the guest must be ready; on an idle machine emulated guests take 10 to 60."""


class InitramfsGuest(BootedGuest):
    """A guest of one run, with the methods of `Provider`."""

    runs_it = "QEMU"
    uses_kvm = False
    """Whether the guest that is up runs with KVM."""

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
        return "" if debian.find_built(self.argument) else debian.explain_lack()

    def describe(self) -> str:
        """See `Provider`."""
        wanted = debian.parse_argument(self.argument)
        box = [] if debian.find_built(self.argument) else [debian.AT_FIRST_USE]
        return "; ".join([*box, _kvm.describe_kvm() if debian.can_use_kvm(wanted) else "emulated"])

    def up(self) -> str:
        """See `Provider`."""
        wanted = debian.parse_argument(self.argument)
        box = debian.build(self.say, False, self.argument)
        if debian.can_use_kvm(wanted):
            return _kvm.start_guest(partial(self._boot_by, wanted, box), self.down, self.say)
        self.say("starting it, emulated (another processor)")
        return self._boot_by(wanted, box, False)

    def explain_kept(self) -> str:
        """See `Provider`."""
        return f"to end it: kill {self._process.pid}" if self._process else ""

    def _boot_by(self, wanted: debian.Release, box: debian.Box, kvm: bool) -> str:
        self.uses_kvm = kvm

        def make_command(initramfs: str) -> list[str]:
            command = debian.make_qemu_command(
                wanted, box, initramfs, kvm, f"lab.now={time.time():.0f}"
            )
            command += ["-chardev", f"socket,id=lab,path={_relay.SOCKET},server=on,wait=off"]
            command += ["-device", f"virtio-serial-{wanted.machine.bus}"]
            command += ["-device", f"virtserialport,chardev=lab,name={_channel.NAME}"]
            command += ["-chardev", f"file,id=console,path={CONSOLE}"]
            return [*command, "-serial", "chardev:console"]

        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, CONSOLE))
        limit = _KVM_LIMIT if kvm else _TCG_LIMIT
        return self._boot(box, make_command, limit, channel=[self.folder])
