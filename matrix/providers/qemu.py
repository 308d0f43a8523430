"""Guests in QEMU, without another program: ``qemu:debian:trixie:s390x``, ``qemu:debian32``."""

from __future__ import annotations

from collections.abc import Sequence

from matrix.boxes import debian
from matrix.errors import Say

from . import Provider
from ._disk import DiskGuest
from ._initramfs import InitramfsGuest


class Qemu(Provider):
    """The argument is ``debian32``, a box with a disk, or what `debian.ARGUMENT` says."""

    label = "qemu"
    argument_is = f'a guest: "qemu:debian32", or "qemu:{debian.ARGUMENT}"'

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        super().__init__(argument, folder, say)
        kind, _, rest = argument.partition(":")
        self._guest: DiskGuest | InitramfsGuest
        if kind == "debian":
            self._guest = InitramfsGuest(rest, folder, say)
        else:
            self._guest = DiskGuest(argument, folder, say)

    def explain_lack(self) -> str:
        return self._guest.explain_lack()

    def add_packages(self, packages: Sequence[str]) -> None:
        if isinstance(self._guest, InitramfsGuest):
            self._guest.argument = ",".join([self._guest.argument, *packages])
        else:
            super().add_packages(packages)

    def describe(self) -> str:
        return self._guest.describe()

    def up(self) -> str:
        gateway = self._guest.up()
        self.label = "qemu/kvm" if self._guest.uses_kvm else "qemu/emulated"
        return gateway

    def explain_kept(self) -> str:
        return self._guest.explain_kept()

    def down(self) -> None:
        self._guest.down()


PROVIDER = Qemu
