"""Debian on User-mode Linux, a kernel that runs as a program of this host: ``uml:debian:bookworm``.

The kernel is that of Debian's package user-mode-linux, with its module for IPv6; the initramfs is
that of ``qemu:debian:RELEASE:amd64``.  The gateway goes through pipes, which are two serial lines
of the guest.  When they are closed, the guest switches itself off: nothing of it is left even if
this process is killed, and nothing of it can be kept.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from matrix.boxes import debian
from matrix.errors import Say
from probes.errors import CommandError

from . import Provider
from ._boot import CONSOLE, BootedGuest

PROGRAM = "linux.uml"
_ARCHITECTURE = "amd64"
"""User-mode Linux runs programs of the host's processor only."""
_MEGABYTES = 2048
_MODULES = ("kernel/lib/crc-ccitt.ko", "kernel/net/ipv6/ipv6.ko")
"""What an ordinary Debian has loaded: IPv6, and what it needs."""
_LIMIT = 120.0
"""Seconds until the guest must be ready; on an idle machine it takes two."""


class Uml(BootedGuest, Provider):
    """The argument is ``debian:RELEASE``."""

    label = "uml"
    argument_is = 'a release of Debian: "uml:debian:bookworm"'
    runs_it = "User-mode Linux"

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        super().__init__(argument, folder, say)
        self._box = f"{argument.removeprefix('debian:')}:{_ARCHITECTURE}"
        self._pipes: list[int] = []

    def explain_lack(self) -> str:
        if not self.argument.startswith("debian:"):
            return f"unknown guest {self.argument!r}; write uml:debian:RELEASE"
        try:
            debian.parse_argument(self._box)
        except CommandError as error:
            return str(error)
        host = f"{platform.system()} {platform.machine()}"
        if host != "Linux x86_64":
            return f"Debian's User-mode Linux runs on Linux x86_64, and this is {host}"
        if not shutil.which(PROGRAM):
            return f"{PROGRAM} is not installed: apt-get install user-mode-linux"
        return "" if debian.find_built(self._box) else debian.explain_lack()

    def add_packages(self, packages: Sequence[str]) -> None:
        self._box = ",".join([self._box, *packages])

    def describe(self) -> str:
        return "" if debian.find_built(self._box) else debian.AT_FIRST_USE

    def up(self) -> str:
        box = debian.build(self.say, False, self._box)
        self.say("starting it")
        # The other ends are closed with this process, which ends the guest.
        reading, into = os.pipe()
        source, writing = os.pipe()
        taken, confirming = os.pipe()
        self._pipes = [into, source, taken]
        console = os.open(os.path.join(self.folder, CONSOLE), os.O_WRONLY | os.O_CREAT, 0o600)
        guests = (reading, writing, confirming, console)
        try:
            return self._boot(
                box,
                lambda initramfs: _make_command(initramfs, *guests),
                _LIMIT,
                descriptors=guests,
                # The guest's memory is a file there that has no name.
                environment={**os.environ, "TMPDIR": self.folder},
                modules=_read_modules(),
                channel=[f"/proc/{os.getpid()}/fd/{pipe}" for pipe in self._pipes],
            )
        finally:
            for descriptor in guests:
                os.close(descriptor)

    def down(self) -> None:
        super().down()
        while self._pipes:
            os.close(self._pipes.pop())


def _read_modules() -> dict[str, bytes]:
    """Return the modules that exist, by name, in the order in which they must be loaded."""
    said = subprocess.run(
        [PROGRAM, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    folder = Path("/usr/lib/uml/modules", said.stdout.decode(errors="replace").strip())
    paths = [folder / name for name in _MODULES]
    return {path.stem: path.read_bytes() for path in paths if path.exists()}


def _make_command(
    initramfs: str, reading: int, writing: int, confirming: int, console: int
) -> list[str]:
    """Return the words of the command; the numbers are descriptors of the guest."""
    return [
        PROGRAM,
        *(f"initrd={initramfs}", "rdinit=/init", f"mem={_MEGABYTES}M"),
        # A folder of its own for each guest, below the current one.
        "uml_dir=.",
        *("con=null", f"con0=null,fd:{console}", "console=tty0"),
        *("ssl=null", f"ssl0=fd:{reading},fd:{writing}", f"ssl1=null,fd:{confirming}"),
        *("lab.lines=ttyS0,ttyS1", "quiet", "panic=-1", "noreboot"),
    ]


PROVIDER = Uml
