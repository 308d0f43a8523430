"""Cells: the platforms of `cells.toml` and of the user's own file."""

from __future__ import annotations

import os
import platform as host
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from papaya.errors import Refused

from . import ways

HOME = os.path.dirname(os.path.abspath(__file__))
BASELINES = os.path.join(HOME, "baselines")


@dataclass(frozen=True)
class Cell:
    """One platform."""

    name: str
    ways: tuple[tuple[str, str], ...]
    """Name and argument of each way, best first."""
    title: str = ""
    platform: str = ""
    """As the catalogue names it in what platforms document."""
    baselines: str = BASELINES
    """The folder of recorded reports."""

    @property
    def baseline(self) -> str:
        """The file with its recorded report, which may not be there."""
        return os.path.join(self.baselines, f"{recorded_as(self.name)}.json")


def recorded_as(name: str) -> str:
    """What a cell's baseline is named: ``here`` is a different platform on each host."""
    if name != "here":
        return name
    if host.system() != "Linux":
        return f"{host.system().lower()}{host.release().partition('.')[0]}-{host.machine()}"
    try:
        release = host.freedesktop_os_release()
    except OSError:
        release = {}
    version = release.get("VERSION_ID", "").replace(".", "")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(host.machine(), host.machine())
    return f"{release.get('ID', 'linux')}{version}-{machine}"


def load(path: str | None = None, baselines: str | None = None) -> dict[str, Cell]:
    """The cells by name; those of the file ``path`` win over ours.  Raises Refused.

    ``baselines`` is a folder of recorded reports in place of ours.
    """
    cells = _read(os.path.join(HOME, "cells.toml"))
    cells |= _read(path) if path else {}
    folder = baselines or BASELINES
    return {name: replace(cell, baselines=folder) for name, cell in cells.items()}


def _read(path: str) -> dict[str, Cell]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: {error}") from None
    unknown = sorted(set(document) - {"cell"})
    tables = document.get("cell", {})
    if unknown or not isinstance(tables, dict):
        raise Refused(f"{path}: a cell is a table [cell.NAME]; unknown: {', '.join(unknown)}")
    return {name: _cell(path, name, table) for name, table in tables.items()}


def _cell(path: str, name: str, table: Any) -> Cell:
    where = f"{path}: cell {name}"
    if not isinstance(table, Mapping):
        raise Refused(f"{where} is no table")
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
        raise Refused(f"{where}: its name names files, so letters, digits, '-', '_' and '.' only")
    unknown = sorted(set(table) - {"title", "platform", "ways"})
    if unknown:
        raise Refused(
            f"{where} has the unknown {', '.join(unknown)}; there are title, ways, platform"
        )
    said = table.get("ways")
    if not isinstance(said, list) or not said or not all(isinstance(way, str) for way in said):
        raise Refused(f'{where} has no ways = ["NAME:ARGUMENT", …]')
    split = [way.partition(":")[::2] for way in said]
    for way, _ in split:
        if way not in ways.names():
            raise Refused(f"{where}: no way {way!r}; there are {', '.join(ways.names())}")
    title, platform = table.get("title", name), table.get("platform", "")
    if not isinstance(title, str) or not isinstance(platform, str):
        raise Refused(f"{where}: title and platform are strings")
    return Cell(name, tuple(split), title, platform)


def chosen(cells: Mapping[str, Cell], names: list[str]) -> list[Cell]:
    """The cells of these names, each once.  Raises Refused for one there is not."""
    for name in names:
        if name not in cells:
            raise Refused(f"no cell {name!r}: there are {', '.join(cells)}")
    return [cells[name] for name in dict.fromkeys(names)]
