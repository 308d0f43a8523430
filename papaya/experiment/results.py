"""A results folder: what a run was (``run.json``) and measured (``cells.csv``, ``windows.csv``).

    run = results.read("results")
    run.cells[0].cpu_percent, run.windows[run.cells[0].key]

The records here are the form of the files: the columns are the fields, in this order.
A field that may be None is empty where the thing was not measured or does not apply.
A row counts when its line is whole: one that a killed run left unfinished is passed over.
"""

from __future__ import annotations

import csv
import io
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Refused

SCHEMA = 1
OK, REFUSED = "ok", "refused"
EQUAL, ORIGINAL, CHAT = "equal", "original", "chat"
"""The work of a subject: the same in all; the paper's own, unequal; the whole chat."""

Key = tuple[int, str, int, int, bool]
Record = TypeVar("Record")


@dataclass(frozen=True)
class Cell:
    """A repetition: one fresh start of a subject under one load.  A row of ``cells.csv``."""

    block: int
    subject: str
    connections: int
    repeat: int
    aa: bool
    """Whether it is the A/A twin of the cell whose other keys are the same."""
    status: str
    """`OK` or `REFUSED`."""
    why: str
    """Why it was refused."""
    seconds: float | None
    """The window that was measured, the warm-up dropped."""
    cpu_seconds: float | None
    cpu_percent: float | None
    """Of one core."""
    cv: float | None
    """Of the exact windows: standard deviation by mean."""
    offered_mbps: float | None
    """Of all connections together."""
    achieved_mbps: float | None
    bytes: int | None
    messages: int | None
    deliveries: int | None
    """Messages that came to a client; None where the subject only reads."""
    us_per_message: float | None
    """Microseconds of CPU."""
    us_per_mbit: float | None
    us_per_delivery: float | None
    voluntary: int | None
    """Context switches."""
    involuntary: int | None
    peak_pss_kib: int | None
    steal_seconds: float | None
    """What the hypervisor gave to others meanwhile."""
    load_cpu_percent: float | None
    stalls: int | None
    lost: int | None
    duplicated: int | None
    disordered: int | None
    p50_ms: float | None
    """From the moment a message was due to be sent, until it was delivered."""
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    accounting: str

    @property
    def key(self) -> Key:
        """What tells it from every other."""
        return self.block, self.subject, self.connections, self.repeat, self.aa

    def row(self) -> list[str]:
        """Its line of ``cells.csv``."""
        return _texts(self)


@dataclass(frozen=True)
class Window:
    """CPU use in a short part of a cell.  A row of ``windows.csv``; percent of one core."""

    block: int
    subject: str
    connections: int
    repeat: int
    aa: bool
    at: float
    """Seconds since the measurement began, at the window's end."""
    seconds: float
    exact_percent: float
    ticks_percent: float | None
    """What the kernel's tick counters said of all processes."""
    paper_percent: float | None
    """What the paper's method said: those counters, of the rows that top shows."""

    @property
    def key(self) -> Key:
        """The cell's."""
        return self.block, self.subject, self.connections, self.repeat, self.aa

    def row(self) -> list[str]:
        """Its line of ``windows.csv``."""
        return _texts(self)


CELL_COLUMNS = [each.name for each in fields(Cell)]
WINDOW_COLUMNS = [each.name for each in fields(Window)]


@dataclass(frozen=True)
class Subject:
    """What was measured: ``c-processes``."""

    name: str
    title: str
    paradigm: str
    language: str
    work: str
    """`EQUAL`, `ORIGINAL` or `CHAT`."""


@dataclass(frozen=True)
class Host:
    """Where."""

    name: str
    system: str
    release: str
    machine: str
    cpu: str
    cores: int
    hz: int
    """Of the kernel's tick."""
    memory_kib: int
    virtual: str
    """The hypervisor or container, empty where none is known."""


@dataclass(frozen=True)
class Accounting:
    """How CPU time was counted, and why so."""

    method: str
    why: str
    clock_hz: int
    """Of the clock that top's percentages come from."""
    noise_floor: str


@dataclass(frozen=True)
class Cores:
    """Which cores the server had, and which the load."""

    server: tuple[int, ...]
    load: tuple[int, ...]


@dataclass(frozen=True)
class Design:
    """What was to be measured."""

    subjects: tuple[Subject, ...]
    connections: tuple[int, ...]
    mbps: float
    """Of a connection."""
    size: int
    """Bytes of a message."""
    seconds: float
    warmup: float
    repeats: int
    window: float
    seed: int
    paper: bool
    """Whether the paper's method was followed beside the exact one."""
    chat_rate: float
    """Messages a second of all clients of a chat together, each fanned out to all."""
    chat_size: int
    """Bytes of such a message."""


@dataclass(frozen=True)
class Description:
    """``run.json``."""

    schema: int
    started: str
    host: Host
    versions: Mapping[str, str]
    command: tuple[str, ...]
    accounting: Accounting
    cores: Cores
    design: Design
    left_out: Mapping[str, str]
    """Subjects that could not be measured here, and why."""

    def dumps(self) -> str:
        """The text of ``run.json``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Run:
    """All that a results folder tells."""

    description: Description
    cells: tuple[Cell, ...]
    windows: Mapping[Key, tuple[Window, ...]]

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """By name, in the order of the design."""
        return {each.name: each for each in self.description.design.subjects}

    @property
    def refused(self) -> list[Cell]:
        """Repetitions that do not count."""
        return [cell for cell in self.cells if cell.status == REFUSED]


def read(folder: str | Path) -> Run:
    """What is in the folder; `Refused` says in a line why it cannot be told."""
    folder = Path(folder)
    description = read_description(folder)
    known = {subject.name for subject in description.design.subjects}
    cells: dict[Key, Cell] = {}
    for cell in read_cells(folder):
        if cell.subject not in known:
            raise Refused(f"{folder / 'cells.csv'}: {cell.subject} is no subject of run.json")
        if cell.key in cells:
            raise Refused(f"{folder / 'cells.csv'}: the cell {cell.key} is there twice")
        cells[cell.key] = cell
    windows: dict[Key, list[Window]] = {}
    for window in _rows(folder / "windows.csv", Window):
        if window.key not in cells:
            continue  # Its repetition was killed before it ended.
        found = windows.setdefault(window.key, [])
        if found and window.at <= found[-1].at:
            found.clear()  # Likewise, and then done again.
        found.append(window)
    return Run(
        description, tuple(cells.values()), {key: tuple(each) for key, each in windows.items()}
    )


def read_description(folder: str | Path) -> Description:
    """``run.json`` alone."""
    path = Path(folder, "run.json")
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise Refused(f"{path}: schema {SCHEMA} is needed, and this has {schema!r}")
    description: Description = _typed(Description, document, str(path))
    return description


def read_cells(folder: str | Path) -> list[Cell]:
    """``cells.csv`` alone: what is done."""
    path = Path(folder, "cells.csv")
    cells = list(_rows(path, Cell))
    for cell in cells:
        if cell.status not in (OK, REFUSED):
            raise Refused(f"{path}: the status {cell.status!r} is neither {OK} nor {REFUSED}")
        if cell.status == OK and None in (cell.seconds, cell.cpu_seconds, cell.cpu_percent):
            raise Refused(f"{path}: the cell {cell.key} is {OK} and has no CPU time")
    return cells


def lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as the text that is added to a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# Text and records -----------------------------------------------------------------------------


def _texts(record: Any) -> list[str]:
    """A record's fields as a file has them; a line break in one would break the line."""
    values = (getattr(record, each.name) for each in fields(record))
    return [
        "" if value is None
        else str(int(value)) if isinstance(value, bool)
        else " ".join(value.split()).encode(errors="replace").decode() if isinstance(value, str)
        else repr(value)
        for value in values
    ]  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise Refused(f"{path}: no such file; is {path.parent} a results folder?") from None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path}: not UTF-8") from None


def _rows(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The records of a CSV file whose lines are whole."""
    hints = typing.get_type_hints(kind)
    text = _text(path)
    try:
        rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    except csv.Error as error:
        raise Refused(f"{path}: not CSV: {error}") from None
    if rows[:1] != [list(hints)]:
        raise Refused(f"{path}: line 1: the columns must be {','.join(hints)}")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(hints):
            raise Refused(f"{path}: line {number}: {len(row)} columns, not {len(hints)}")
        try:
            values = [_parsed(hint, value) for hint, value in zip(hints.values(), row, strict=True)]
        except ValueError as error:
            raise Refused(f"{path}: line {number}: {error}") from None
        yield kind(*values)


def _parsed(hint: Any, text: str) -> object:
    """A field of a CSV file; ValueError where it is not of that type."""
    if isinstance(hint, types.UnionType):
        if not text:
            return None
        hint = typing.get_args(hint)[0]
    if hint is str:
        return text
    if hint is bool:
        return {"0": False, "1": True}[text] if text in ("0", "1") else _not(hint, text)
    value = hint(text)
    return _not(hint, text) if value in (math.inf, -math.inf) or value != value else value


def _not(hint: type, value: object) -> typing.NoReturn:
    raise ValueError(f"{value!r} is no {hint.__name__}")


def _typed(hint: Any, value: Any, where: str) -> Any:
    """A part of a JSON document as that type; what a later version adds is passed over."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        if missing := [name for name in hints if name not in value]:
            raise Refused(f"{where}: {missing[0]} is missing")
        parts = {n: _typed(h, value[n], f"{where}: {n}") for n, h in hints.items()}
        return hint(**parts)  # type: ignore[operator]
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(inner[0], each, where) for each in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _typed(inner[1], each, where) for name, each in value.items()}
    if hint is float and type(value) is int:
        value = float(value)
    if hint is type(value) and (hint is not float or math.isfinite(value)):
        return value
    raise Refused(f"{where}: {json.dumps(value)[:60]} is not what belongs there")
