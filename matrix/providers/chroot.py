"""Another userland on this host's kernel: ``chroot:debian32``, or ``chroot:/a/folder``.

The kernel stays the host's: a 32-bit userland on a 64-bit kernel is no 32-bit system,
and the report says so (``emulated_32_bit``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from matrix.boxes import debian32

from . import Unavailable, Way

_PERSONALITY = {"debian32": ["setarch", "i386"]}
"""What makes ``uname -m`` say what the userland is."""


class Chroot(Way):
    """As root by chroot in a mount namespace of its own, as another user by bubblewrap."""

    argument_is = 'debian32, or a folder: "chroot:/srv/root"'

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.label = f"{'chroot' if os.geteuid() == 0 else 'bubblewrap'}"

    def lacks(self) -> str:
        if os.geteuid() != 0 and not shutil.which("bwrap"):
            return "only root can chroot: apt-get install bubblewrap, or run it with sudo"
        if self.argument.startswith("/"):
            return "" if os.path.isdir(self.argument) else f"{self.argument}: no such folder"
        return debian32.lacks_for_rootfs()

    def note(self) -> str:
        built = self.argument.startswith("/") or debian32.rootfs_built()
        return "" if built else debian32.AT_FIRST_USE

    def up(self) -> str:
        folder = self.argument if self.argument.startswith("/") else debian32.rootfs(self.say)
        command = [*_PERSONALITY.get(self.argument, []), *_entered(folder), "/usr/bin/python3"]
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


def _entered(folder: str) -> list[str]:
    """A command's beginning that runs it in ``folder``, with /proc, /dev and a /tmp of its own."""
    if os.geteuid() != 0:
        return [
            "bwrap", "--bind", folder, "/", "--proc", "/proc", "--dev-bind", "/dev", "/dev",
            "--ro-bind", "/sys", "/sys", "--tmpfs", "/tmp", "--die-with-parent", "--chdir", "/",
        ]  # fmt: skip
    # What is mounted is seen by nobody else, and is gone with the last process in there.
    script = (
        'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && '
        'mount --rbind /sys "$1/sys" && mount -t tmpfs tmpfs "$1/tmp" && '
        'root=$1 && shift && exec chroot "$root" "$@"'
    )
    return [
        "unshare", "--mount", "--propagation", "private",
        "/bin/sh", "-c", script, "sh", folder,
    ]  # fmt: skip


WAY = Chroot
