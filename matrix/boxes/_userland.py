"""Root folders of Debian for any release and processor, with Python: ``chroot:debian:sid:amd64``.

They have the packages of the boxes of `debian`, without a kernel.  Nothing of them is run during
the build.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import shutil
import subprocess
from pathlib import Path

from matrix.errors import Say

from . import debian, find_cache_path
from ._cache import build_folder, read_recipe

AT_FIRST_USE = debian.AT_FIRST_USE

_OWN = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's name of a processor, by ``uname -m``; the others are asked with arch-test(1)."""
_USER_PROGRAMS = {"ppc64el": "ppc64le"}
"""Names in ``qemu-NAME-static`` that are not those of `debian.Machine.program`."""
_BINFMT = "/proc/sys/fs/binfmt_misc"


def _parse_argument(argument: str) -> debian.Release:
    return debian.parse_argument(argument, with_kernel=False)


def is_emulated(argument: str) -> bool:
    """Return whether this host runs the programs with qemu-user."""
    return os.path.exists(f"{_BINFMT}/qemu-{_name_emulator(_parse_argument(argument))}")


def _name_emulator(wanted: debian.Release) -> str:
    return _USER_PROGRAMS.get(wanted.architecture, wanted.machine.program)


def is_built(argument: str) -> bool:
    """Return whether the root folder is in the cache."""
    wanted = _parse_argument(argument)
    return read_recipe(find_cache_path(_name_folder(wanted))) == _make_recipe(wanted)


def explain_lack(argument: str) -> str:
    """Return why the root folder cannot be used, and what to type; empty if it can."""
    wanted = _parse_argument(argument)
    return _explain_processor_lack(wanted) or ("" if is_built(argument) else debian.explain_lack())


def build(say: Say, argument: str) -> str:
    """Return the path of the root folder; build it if it is not in the cache.

    Raise `Unavailable` if it cannot be built.
    """
    wanted = _parse_argument(argument)

    def fill(folder: str) -> None:
        say(debian.FETCHING)
        debian.run_mmdebstrap(
            debian.make_command(wanted), lambda root: debian.unpack(wanted, root, Path(folder))
        )

    return build_folder(_name_folder(wanted), _make_recipe(wanted), debian.explain_lack, fill, say)


def _name_folder(wanted: debian.Release) -> str:
    return f"{wanted.name}-root"


def _make_recipe(wanted: debian.Release) -> str:
    parts = debian.make_recipe(wanted) + inspect.getsource(debian.unpack)
    return hashlib.sha256(parts.encode()).hexdigest()


def _explain_processor_lack(wanted: debian.Release) -> str:
    """Return what this host lacks to run programs of that processor; empty if nothing."""
    if wanted.architecture == _OWN.get(platform.machine()):
        return ""
    if not shutil.which("arch-test"):
        return "arch-test is not installed: apt-get install arch-test"
    done = subprocess.run(["arch-test", wanted.architecture], capture_output=True, check=False)
    if not done.returncode:
        return ""
    name = _name_emulator(wanted)
    if not shutil.which(f"qemu-{name}-static"):
        return (
            f"qemu-{name}-static is not installed: apt-get install qemu-user-static binfmt-support"
        )
    mount = f"mount -t binfmt_misc binfmt_misc {_BINFMT}"
    if not os.path.exists(f"{_BINFMT}/status"):
        return f"binfmt_misc is not mounted; as root: {mount} && update-binfmts --enable"
    return f"qemu-{name} is not registered for programs of {wanted.architecture}; " + (
        f"as root: update-binfmts --enable qemu-{name}"
    )
