"""Another userland on this host's kernel: ``chroot:debian:sid:amd64``, or ``chroot:/a/folder``.

The kernel is the host's.  A 32-bit userland on a 64-bit kernel is not a 32-bit system, and the
report says so (``emulated_32_bit``).  qemu-user runs the programs of another processor, and
translates their system calls: such a report says so, too, and is no platform's (``qemu-user``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from matrix.boxes import _userland, debian32
from matrix.errors import Unavailable
from probes.errors import CommandError

from . import Provider

_PERSONALITY = ("setarch", "i386")
"""The command that makes ``uname -m`` name the architecture of a 32-bit userland."""


class Chroot(Provider):
    """Root uses chroot in a new mount namespace, other users bubblewrap."""

    argument_is = (
        'debian32, a userland of Debian: "chroot:debian:sid:amd64", or a folder: "chroot:/srv/root"'
    )

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.label = f"{'chroot' if os.geteuid() == 0 else 'bubblewrap'}"
        kind, _, rest = self.argument.partition(":")
        self._release = rest if kind == "debian" else ""
        """Release and architecture; empty unless the userland is one of Debian's."""

    def explain_lack(self) -> str:
        if os.geteuid() != 0 and not shutil.which("bwrap"):
            return "only root can chroot: apt-get install bubblewrap, or run it with sudo"
        if self.argument.startswith("/"):
            return "" if os.path.isdir(self.argument) else f"{self.argument}: not a folder"
        if self.argument == "debian32":
            return debian32.explain_rootfs_lack()
        if not self._release:
            return f"unknown userland {self.argument!r}; write {self.argument_is}"
        try:
            return _userland.explain_lack(self._release)
        except CommandError as error:
            return str(error)

    def add_packages(self, packages: Sequence[str]) -> None:
        if self._release:
            self._release = ",".join([self._release, *packages])
        else:
            super().add_packages(packages)

    def describe(self) -> str:
        if self.argument.startswith("/"):
            return ""
        if not self._release:
            return "" if debian32.is_rootfs_built() else debian32.AT_FIRST_USE
        built = [] if _userland.is_built(self._release) else [_userland.AT_FIRST_USE]
        emulated = _userland.is_emulated(self._release)
        return "; ".join([*built, *(["emulated by qemu-user"] if emulated else [])])

    def up(self) -> str:
        folder = self._find_folder()
        is_i386 = self.argument == "debian32" or ":i386" in self._release
        command = [
            *(_PERSONALITY if is_i386 else ()),
            *_make_enter_command(folder),
            "/usr/bin/python3",
        ]
        tried = subprocess.run(
            [*command, "-c", ""], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        if tried.returncode:
            said = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
            raise Unavailable(f"{folder}: its /usr/bin/python3 does not run: {said[0]}")
        return f"popen//python={shlex.join(command)}"

    def _find_folder(self) -> str:
        if self.argument.startswith("/"):
            return self.argument
        if self._release:
            return _userland.build(self.say, self._release)
        return debian32.find_rootfs(self.say)

    def down(self) -> None:
        pass  # Its mounts go with the namespace.


def _make_enter_command(folder: str) -> list[str]:
    """Return the words before a command in ``folder``, with /proc, /dev and its own /tmp."""
    if os.geteuid() != 0:
        return [
            "bwrap", "--bind", folder, "/", "--proc", "/proc", "--dev-bind", "/dev", "/dev",
            "--ro-bind", "/sys", "/sys", "--tmpfs", "/tmp", "--die-with-parent", "--chdir", "/",
        ]  # fmt: skip
    # No other process sees these mounts, and they end with the last process in the folder.
    script = (
        'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && '
        'mount --rbind /sys "$1/sys" && mount -t tmpfs tmpfs "$1/tmp" && '
        'root=$1 && shift && exec chroot "$root" "$@"'
    )
    return [
        "unshare", "--mount", "--propagation", "private",
        "/bin/sh", "-c", script, "sh", folder,
    ]  # fmt: skip


PROVIDER = Chroot
