"""Another userland on this host's kernel: ``chroot:debian32``, or ``chroot:/a/folder``.

The kernel is the host's.  A 32-bit userland on a 64-bit kernel is not a 32-bit system, and the
report says so (``emulated_32_bit``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from matrix.boxes import debian32
from matrix.errors import Unavailable

from . import Provider

_PERSONALITY = {"debian32": ["setarch", "i386"]}
"""The command that makes ``uname -m`` name the userland's architecture."""


class Chroot(Provider):
    """Root uses chroot in a new mount namespace, other users bubblewrap."""

    argument_is = 'debian32, or a folder: "chroot:/srv/root"'

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.label = f"{'chroot' if os.geteuid() == 0 else 'bubblewrap'}"

    def explain_lack(self) -> str:
        if os.geteuid() != 0 and not shutil.which("bwrap"):
            return "only root can chroot: apt-get install bubblewrap, or run it with sudo"
        if self.argument.startswith("/"):
            return "" if os.path.isdir(self.argument) else f"{self.argument}: not a folder"
        return debian32.explain_rootfs_lack()

    def describe(self) -> str:
        built = self.argument.startswith("/") or debian32.is_rootfs_built()
        return "" if built else debian32.AT_FIRST_USE

    def up(self) -> str:
        folder = self.argument if self.argument.startswith("/") else debian32.find_rootfs(self.say)
        command = [
            *_PERSONALITY.get(self.argument, []),
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
