"""Find which recorded report is the baseline of a platform."""

from __future__ import annotations

import os

from .differences import find_architecture, name_kernel
from .errors import ReportError
from .fact import Platform, Report
from .invocation import get_invocation

_TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHIPPED = os.path.join(_TOP, "matrix", "baselines")
"""The folder of the baselines that are part of the lab."""


def find_own_folder() -> str:
    """Return the folder to which baselines are written, never one of an installed package.

    It is ``matrix/baselines`` in a clone of the repository, otherwise the user's data folder.
    """
    for top in (_TOP, os.getcwd()):
        if os.path.exists(os.path.join(top, "pyproject.toml")) and os.path.exists(
            os.path.join(top, "matrix", "cells.toml")
        ):
            return os.path.join(top, "matrix", "baselines")
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # XDG says to ignore a relative path.
        data = os.path.expanduser("~/.local/share")
    return os.path.join(data, "papaya-lab", "baselines")


def find_baseline(name: str, folder: str, here: Platform) -> str:
    """Return the path of the baseline ``name``; ``auto`` means the one of this platform.

    Look in ``folder``; if it is empty, among the user's own baselines, then among the lab's.

    Of several baselines of this platform choose the user's own, then one of this version of Python,
    then one of this series of kernels, then the first.  Raises ReportError if there is no such
    baseline.
    """
    suffix = ".json"
    paths: dict[str, str] = {}
    # The user may have recorded no baseline, and an archive made by `pack` has none.
    places = [folder] if folder else [p for p in (SHIPPED, find_own_folder()) if os.path.isdir(p)]
    for place in places:
        try:
            found_here = os.listdir(place)
        except OSError as error:
            line = f"{place}: {error.strerror}; name a folder of reports in --baselines"
            raise ReportError(line) from None
        for file in found_here:
            if file.endswith(suffix) and not file.endswith(f".allowed{suffix}"):
                paths[file[: -len(suffix)]] = os.path.join(place, file)
    folder = folder or " and ".join(dict.fromkeys(places)) or find_own_folder()
    names = sorted(paths)
    record = f"record one: {get_invocation()} gate --update --reason TEXT FILE, then gate FILE"
    if not names:
        raise ReportError(
            f"{folder}: no baselines; {record}; or name a folder of reports in --baselines"
        )
    if name != "auto":
        if name in names:
            return paths[name]
        raise ReportError(f"{folder}: no baseline {name!r}; there are {', '.join(names)}")
    alike = []
    for found in names:
        path = paths[found]
        then = Report.load(path).environment
        if find_kind(then) == find_kind(here):
            alike.append(
                (
                    os.path.dirname(path) == SHIPPED,
                    then.python != here.python,
                    _parse_minor(then.python) != _parse_minor(here.python),
                    _parse_minor(then.release) != _parse_minor(here.release),
                    found,
                    path,
                )
            )
    if not alike:
        raise ReportError(
            f"{folder}: no baseline of this platform, {here}; there are {', '.join(names)}; "
            f"{record}"
        )
    return min(alike)[-1]


def find_kind(platform: Platform) -> tuple[object, ...]:
    """Return what a platform has in common with its baseline, whatever patches it has."""
    # A Linux distribution names its release, and may run on the kernel of another one.
    release = platform.distribution or platform.release.partition(".")[0]
    machine = find_architecture(platform.machine, platform.pointer_bits)
    return (platform.key, machine, platform.emulated_32_bit, release, name_kernel(platform))


def _parse_minor(version: str) -> list[str]:
    """Return the first two numbers: of Python 3.11.2, or of the kernel 6.1.0-50-amd64."""
    return version.split(".")[:2]
