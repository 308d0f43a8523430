"""What a test needs that a bare system lacks, and the Debian packages that have it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache

import pytest

PACKAGES = {
    "autoconf": ("autoconf", "autoconf"),
    "automake": ("automake", "automake"),
    "cc": ("a C compiler", "gcc libc6-dev"),
    "chromium": ("chromium", "chromium"),
    "cmake": ("cmake", "cmake"),
    "git": ("git", "git"),
    "ip": ("ip", "iproute2"),
    "linux.uml": ("User-mode Linux", "user-mode-linux"),
    "make": ("make", "make"),
    "meson": ("meson", "meson"),
    "mmdebstrap": ("mmdebstrap", "mmdebstrap debian-archive-keyring"),
    "musl-gcc": ("musl-gcc", "musl-tools"),
    "ninja": ("ninja", "ninja-build"),
    "ps": ("ps", "procps"),
    "pypy3": ("pypy3", "pypy3"),
    "runsc": ("runsc", "runsc"),
    "setpriv": ("setpriv", "util-linux"),
    "shellcheck": ("shellcheck", "shellcheck"),
    "ssh": ("ssh", "openssh-client"),
    "sshd": ("sshd", "openssh-server"),
    "strace": ("strace", "strace"),
    "sysctl": ("sysctl", "procps"),
    "systemd-analyze": ("systemd-analyze", "systemd"),
    "unshare": ("unshare", "util-linux"),
}
"""By program: its name in a sentence, and Debian's packages, which hold what it runs on too."""

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

_INSTALL = re.compile(r"apt-get install ([a-z0-9.+ -]+)")


@cache
def lacks(*programs: str) -> str:
    """Return the line that says which of the programs are missing, or an empty one."""
    missing = [program for program in programs if not _found(program)]
    if not missing:
        return ""
    names = " and ".join(PACKAGES[program][0] for program in missing)
    packages = dict.fromkeys(" ".join(PACKAGES[program][1] for program in missing).split())
    return f"needs {names}: apt-get install {' '.join(packages)}"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Mark a test, or a module, that is skipped where one of the programs is missing."""
    return pytest.mark.skipif(bool(lacks(*programs)), reason=lacks(*programs))


def require(*programs: str) -> None:
    """Skip the test that calls this where one of the programs is missing."""
    if line := lacks(*programs):
        pytest.skip(line)


def missing_packages(reasons: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many of the reasons name packages, and the packages, sorted."""
    lists = [found[1].split() for reason in reasons if (found := _INSTALL.search(reason))]
    return len(lists), sorted({package for packages in lists for package in packages})


def _found(program: str) -> bool:
    path = shutil.which(program, path=_PATH)
    if program != "cc" or not path:
        return bool(path)
    # A compiler without the C library's headers builds nothing.
    source = "#include <stdio.h>\n"
    done = subprocess.run(
        [path, "-E", "-xc", "-o", os.devnull, "-"],
        input=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests as root")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="changes the world by Linux means")
