"""Cells: the platforms of `cells.toml` and of the user's own file."""

from __future__ import annotations

import os
import platform as host
import re
import struct
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from probes.differences import find_architecture
from probes.environment import describe
from probes.errors import CommandError
from probes.fact import Platform
from probes.recorded import SHIPPED, find_own_folder, kind_of
from probes.text import printable

from . import providers

HOME = os.path.dirname(os.path.abspath(__file__))
BASELINES = SHIPPED


@dataclass(frozen=True)
class Cell:
    """One platform."""

    name: str
    ways: tuple[tuple[str, str], ...]
    """Name and argument of each way, best first."""
    title: str = ""
    platform: str = ""
    """As the catalogue names it in what platforms document; without a C library: the usual one."""
    release: str = ""
    """What the distribution's name and release begin with, or else the kernel's."""
    bits: int = 0
    """Width of its programs' pointers."""
    kernel_bits: int = 0
    """Width of its kernel's."""
    python: str = ""
    """The Python that measures it, ``3.9``."""
    baselines: str = BASELINES
    """The folder in which reports are recorded."""

    @property
    def own_baseline(self) -> str:
        """The file that its report is recorded in, which may not exist."""
        return self._file(recorded_as(self.name), self.baselines)

    @property
    def baseline(self) -> str:
        """The file to compare with: its own, or the one that comes with the lab."""
        return self._recorded(recorded_as(self.name))

    def _recorded(self, name: str) -> str:
        own, shipped = self._file(name, self.baselines), self._file(name, BASELINES)
        takes_shipped = self.baselines == find_own_folder() and not os.path.exists(own)
        return shipped if takes_shipped and os.path.exists(shipped) else own

    def _file(self, name: str, folder: str) -> str:
        return os.path.join(folder, f"{name}.json")

    @property
    def is_here(self) -> bool:
        """Whether it is this host, with a Python of its choice."""
        return all(way == "here" and "/" not in argument for way, argument in self.ways)

    def recorded_for(self, here: Platform) -> str:
        """The file with what is recorded of it, or, of the oldest Python, of that Python."""
        if ("here", "oldest") in self.ways and not os.path.exists(self.baseline):
            return self._recorded(f"python{_minor(here)}")
        return self.baseline

    def mismatch(self, there: Platform) -> str:
        """Why ``there`` is not the platform of this cell; empty where it may be."""
        system, _, libc = self.platform.partition("-")
        kernel_bits = 64 if there.emulated_32_bit else there.pointer_bits
        release = there.distribution or f"{there.system} {there.release}"
        why = ""
        if self.platform and self.platform not in there.names:
            why = f"it is no {self.platform}"
        elif self.platform and system != "gvisor" and "gvisor" in there.names:
            why = "its kernel is gVisor"
        elif system == "linux" and not libc and there.libc != "glibc":
            why = f"its C library is {there.libc}"
        elif self.release and not re.match(rf"{re.escape(self.release)}(?!\d)", release):
            why = f"its release is not {self.release}"
        elif self.bits not in (0, there.pointer_bits):
            why = f"its programs are of {there.pointer_bits} bits"
        elif self.kernel_bits not in (0, kernel_bits):
            why = f"its kernel is of {kernel_bits} bits"
        elif self.python not in ("", _minor(there)):
            why = f"its Python is {there.python}"
        elif self.is_here and kind_of(there) != kind_of(describe("")):
            why = "it is not of this host"
        return f"{there}, which is no {self.title}: {why}" if why else ""


def _minor(there: Platform) -> str:
    """``3.9`` of ``CPython 3.9.18``."""
    return ".".join(there.python.rpartition(" ")[2].split(".")[:2])


def recorded_as(name: str) -> str:
    """What a cell's baseline is named: ``here`` is a different platform on each host."""
    if name != "here":
        return name
    machine = find_architecture(host.machine(), 8 * struct.calcsize("P"))
    if host.system() != "Linux":
        return f"{host.system().lower()}{host.release().partition('.')[0]}-{machine}"
    try:
        release = host.freedesktop_os_release()
    except OSError:
        release = {}
    version = release.get("VERSION_ID", "").replace(".", "")
    return f"{release.get('ID', 'linux')}{version}-{machine}"


def load(path: str | None = None, baselines: str | None = None) -> dict[str, Cell]:
    """The cells by name; those of the file ``path`` win over ours.  Raises CommandError.

    ``baselines`` is a folder of recorded reports in place of ours.
    """
    cells = _read(os.path.join(HOME, "cells.toml"))
    own = _read(path) if path else {}
    for name in cells.keys() & own.keys():
        print(f"matrix: {path}: [cell.{_key(name)}] replaces the built-in cell", file=sys.stderr)
    cells |= own
    folder = baselines or find_own_folder()
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise CommandError(f"{folder}: not a folder of baselines; name one in --baselines")
    return {name: replace(cell, baselines=folder) for name, cell in cells.items()}


def _read(path: str) -> dict[str, Cell]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise CommandError(f"{path}: not cells: nested too deeply") from None
    tables = document.get("cell", {})
    if not isinstance(tables, dict):
        raise CommandError(f"{path}: cell is {_kind(tables)}; {_EXAMPLE}")
    if unknown := sorted(set(document) - {"cell"}):
        raise CommandError(f"{path}: unknown entry {', '.join(unknown)}; {_EXAMPLE}")
    return {name: _cell(path, name, table) for name, table in tables.items()}


_EXAMPLE = 'a cell is written: [cell.NAME] and below it ways = ["ssh:me@box"]'


def _key(name: str) -> str:
    """Return the name as TOML wants it after ``cell.``."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'


def _kind(value: Any) -> str:
    """Return what a value of TOML is, in words."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    kinds |= {list: "a list", dict: "a table"}
    return kinds.get(type(value), "a time")


def _cell(path: str, name: str, table: Any) -> Cell:
    where = f"{path}: cell {printable(name)}"
    if not isinstance(table, Mapping):
        raise CommandError(f"{where} is {_kind(table)}; {_EXAMPLE}")
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
        raise CommandError(
            f"{where}: its name names files, so letters, digits, '-', '_' and '.' only"
        )
    unknown = sorted(set(table) - {"ways", *_KINDS})
    for key in unknown:
        if isinstance(table[key], Mapping):
            raise CommandError(
                f'{where} has a table in it; for a name with a dot: [cell."{name}.{key}"]'
            )
    if unknown:
        raise CommandError(
            f"{where}: unknown entry {', '.join(unknown)}; there are ways, {', '.join(_KINDS)}"
        )
    said = table.get("ways")
    if not isinstance(said, list) or not said or not all(isinstance(way, str) for way in said):
        raise CommandError(f'{where} has no ways; write: ways = ["ssh:me@box"]')
    split = [way.partition(":")[::2] for way in said]
    for way, argument in split:
        if way not in providers.list_providers():
            raise CommandError(
                f"{where}: no way {way!r}; there are {', '.join(providers.list_providers())}"
            )
        takes = providers.load_provider(way)
        if argument.strip() and not takes.argument_is:
            raise CommandError(f'{where}: the way {way} takes no argument; write: "{way}"')
        if not argument.strip() and takes.argument_is and takes.needs_argument:
            raise CommandError(f"{where}: the way {way} needs {takes.argument_is}")
    told = {key: value for key, value in table.items() if key in _KINDS}
    for key, value in told.items():
        if type(value) is not _KINDS[key]:
            kind = "a string" if _KINDS[key] is str else "a number"
            raise CommandError(f"{where}: {key} is {_kind(value)}, and must be {kind}")
        if key in _ALLOWED and not re.fullmatch(_ALLOWED[key], str(value)):
            raise CommandError(f"{where}: {key} is {value!r}, and must be {_EXAMPLES[key]}")
    return Cell(name, tuple(split), **{"title": name, **told})


_KINDS = {
    "title": str, "platform": str, "release": str, "bits": int, "kernel_bits": int, "python": str,
}  # fmt: skip


_ALLOWED = {"bits": "32|64", "kernel_bits": "32|64", "python": r"3\.\d+"}
_EXAMPLES = {"bits": "32 or 64", "kernel_bits": "32 or 64", "python": 'one such as "3.9"'}


def chosen(cells: Mapping[str, Cell], names: list[str]) -> list[Cell]:
    """The cells of these names, each once.  Raises CommandError for one there is not."""
    for name in names:
        if name not in cells:
            raise CommandError(f"no cell {name!r}: there are {', '.join(cells)}")
    return [cells[name] for name in dict.fromkeys(names)]
