"""Cells: the platforms of `cells.toml` and of the user's own file."""

from __future__ import annotations

import os
import platform as host
import re
import struct
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from probes.differences import find_architecture
from probes.environment import describe
from probes.errors import CommandError
from probes.fact import Platform
from probes.recorded import SHIPPED, find_kind, find_own_folder
from probes.text import make_printable

from . import providers
from .releases import begins_with, name_release

HOME = os.path.dirname(os.path.abspath(__file__))
BASELINES = SHIPPED


@dataclass(frozen=True)
class Cell:
    """One platform that the matrix can measure."""

    name: str
    ways: tuple[tuple[str, str], ...]
    """Name and argument of each provider, best first."""
    title: str = ""
    platform: str = ""
    """Its name in the catalogue's documented values; without a C library, the usual one."""
    release: str = ""
    """The beginning of the distribution's name and release, otherwise the kernel's."""
    bits: int = 0
    """Width of its programs' pointers, in bits; 0 if any."""
    kernel_bits: int = 0
    """Width of its kernel's pointers, in bits; 0 if any."""
    python: str = ""
    """The Python that measures it, ``3.9``."""
    baselines: str = BASELINES
    """The folder in which reports are recorded."""

    @property
    def own_baseline(self) -> str:
        """The file in which its report is recorded; it may not exist."""
        return self._path(name_baseline(self.name), self.baselines)

    @property
    def baseline(self) -> str:
        """The file to compare with: its own, or the one that the lab ships."""
        return self._find_file(name_baseline(self.name))

    def _find_file(self, name: str) -> str:
        own, shipped = self._path(name, self.baselines), self._path(name, BASELINES)
        takes_shipped = self.baselines == find_own_folder() and not os.path.exists(own)
        return shipped if takes_shipped and os.path.exists(shipped) else own

    def _path(self, name: str, folder: str) -> str:
        return os.path.join(folder, f"{name}.json")

    @property
    def is_here(self) -> bool:
        """Whether the cell is this host, with any Python."""
        return all(way == "here" and "/" not in argument for way, argument in self.ways)

    def find_baseline(self, here: Platform) -> str:
        """Return the baseline file; the oldest Python has that of its version."""
        if ("here", "oldest") in self.ways and not os.path.exists(self.baseline):
            return self._find_file(f"python{_parse_python_version(here)}")
        return self.baseline

    def explain_mismatch(self, there: Platform) -> str:
        """Return why ``there`` is not the platform of this cell; empty if it may be."""
        system, _, libc = self.platform.partition("-")
        kernel_bits = 64 if there.emulated_32_bit else there.pointer_bits
        why = ""
        if self.platform and self.platform not in there.names:
            why = f"it is not {self.platform}"
        elif self.platform and system != "gvisor" and "gvisor" in there.names:
            why = "its kernel is gVisor"
        elif self.platform and self.platform != "qemu-user" and "qemu-user" in there.names:
            why = "qemu-user emulates its processor"
        elif system == "linux" and not libc and there.libc != "glibc":
            why = f"its C library is {there.libc}"
        elif self.release and not begins_with(name_release(there), self.release):
            why = f"its release is not {self.release}"
        elif self.bits not in (0, there.pointer_bits):
            why = f"its programs have {there.pointer_bits} bits"
        elif self.kernel_bits not in (0, kernel_bits):
            why = f"its kernel has {kernel_bits} bits"
        elif self.python not in ("", _parse_python_version(there)):
            why = f"its Python is {there.python}"
        elif self.is_here and find_kind(there) != find_kind(describe("")):
            why = "it is not this host"
        return f"{there}, which is not {self.title}: {why}" if why else ""


def _parse_python_version(there: Platform) -> str:
    """Return ``3.9`` for ``CPython 3.9.18``."""
    return ".".join(there.python.rpartition(" ")[2].split(".")[:2])


def name_baseline(name: str) -> str:
    """Return the name of a cell's baseline: ``here`` is a different platform on each host."""
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


def load_cells(path: str | None = None, baselines: str | None = None) -> dict[str, Cell]:
    """Return the cells by name; those of the file ``path`` replace the built-in ones.

    ``baselines`` is a folder of recorded reports to use in place of the shipped ones.  Raise
    CommandError if a file cannot be read or does not describe cells.
    """
    cells = _read_cells(os.path.join(HOME, "cells.toml"))
    own = _read_cells(path) if path else {}
    for name in cells.keys() & own.keys():
        print(
            f"matrix: {path}: [cell.{_quote_key(name)}] replaces the built-in cell", file=sys.stderr
        )
    cells |= own
    folder = baselines or find_own_folder()
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise CommandError(f"{folder}: not a folder of baselines; name one in --baselines")
    return {name: replace(cell, baselines=folder) for name, cell in cells.items()}


def _read_cells(path: str) -> dict[str, Cell]:
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
        raise CommandError(f"{path}: cell is {_describe_type(tables)}; {_EXAMPLE}")
    if unknown := sorted(set(document) - {"cell"}):
        raise CommandError(f"{path}: unknown entry {', '.join(unknown)}; {_EXAMPLE}")
    return {name: _parse_cell(path, name, table) for name, table in tables.items()}


_EXAMPLE = 'a cell is written: [cell.NAME] and below it ways = ["ssh:me@box"]'


def _quote_key(name: str) -> str:
    """Return the name as TOML requires it after ``cell.``."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'


def _describe_type(value: Any) -> str:
    """Return the type of a TOML value, in words."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    kinds |= {list: "a list", dict: "a table"}
    return kinds.get(type(value), "a time")


def _parse_cell(path: str, name: str, table: Any) -> Cell:
    where = f"{path}: cell {make_printable(name)}"
    if not isinstance(table, Mapping):
        raise CommandError(f"{where} is {_describe_type(table)}; {_EXAMPLE}")
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
                f"{where}: no provider {way!r}; there are {', '.join(providers.list_providers())}"
            )
        takes = providers.load_provider(way)
        if argument.strip() and not takes.argument_is:
            raise CommandError(f'{where}: the provider {way} takes no argument; write: "{way}"')
        if not argument.strip() and takes.argument_is and takes.needs_argument:
            raise CommandError(f"{where}: the provider {way} needs {takes.argument_is}")
    told = {key: value for key, value in table.items() if key in _KINDS}
    for key, value in told.items():
        if type(value) is not _KINDS[key]:
            kind = "a string" if _KINDS[key] is str else "a number"
            raise CommandError(f"{where}: {key} is {_describe_type(value)}, and must be {kind}")
        if key in _ALLOWED and not re.fullmatch(_ALLOWED[key], str(value)):
            raise CommandError(f"{where}: {key} is {value!r}, and must be {_EXAMPLES[key]}")
    return Cell(name, tuple(split), **{"title": name, **told})


_KINDS = {
    "title": str, "platform": str, "release": str, "bits": int, "kernel_bits": int, "python": str,
}  # fmt: skip


_ALLOWED = {"bits": "32|64", "kernel_bits": "32|64", "python": r"3\.\d+"}
_EXAMPLES = {"bits": "32 or 64", "kernel_bits": "32 or 64", "python": 'one such as "3.9"'}


def choose_cells(cells: Mapping[str, Cell], names: Sequence[str]) -> list[Cell]:
    """Return the cells of these names, each once; raise CommandError for an unknown name."""
    for name in names:
        if name not in cells:
            raise CommandError(f"no cell {name!r}: there are {', '.join(cells)}")
    return [cells[name] for name in dict.fromkeys(names)]
