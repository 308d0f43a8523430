"""Debian 12 for i386: the root folder that ``chroot:debian32`` enters."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable

from ..ways import Unavailable

_NEEDS = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test"}
"""Program, and the package of Debian and Ubuntu that has it."""


def lacks_for_rootfs() -> str:
    """What is missing to have the root folder; empty if it is there, or can be built."""
    if os.path.isdir(_root()):
        return ""
    missing = [package for program, package in _NEEDS.items() if not shutil.which(program)]
    if missing:
        return f"no {' and no '.join(missing)}: apt-get install {' '.join(missing)}"
    return ""


def rootfs(say: Callable[[str], None]) -> str:
    """The root folder, built once and kept in the cache; its path.

    Raises Unavailable where it cannot be built.
    """
    root = _root()
    if os.path.isdir(root):
        return root
    say("builds Debian 12 for i386: half a minute, once")
    os.makedirs(os.path.dirname(root), exist_ok=True)
    # Whole or not at all: it gets its name when it is finished.
    begun = tempfile.mkdtemp(prefix="debian32-", dir=os.path.dirname(root))
    os.chmod(begun, 0o755)  # apt's own user is to get through.
    try:
        built = os.path.join(begun, "root")
        # mmdebstrap's unprivileged mode gives the files to ids of a user namespace, which
        # only it can remove: a tar and bubblewrap would be needed.  As root it is plain.
        done = subprocess.run(
            [
                "mmdebstrap", "--mode=auto", "--architectures=i386",
                "--variant=minbase", "--include=python3", "bookworm", built,
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
            said = errors or [f"status {done.returncode}"]
            raise Unavailable(f"mmdebstrap could not build Debian for i386: {said[0]}")
        os.chmod(built, 0o755)
        try:
            os.rename(built, root)
        except OSError:
            # Another run was faster; it is the same.
            if not os.path.isdir(root):
                raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return root


def _root() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "papaya-lab", "debian12-i386")
