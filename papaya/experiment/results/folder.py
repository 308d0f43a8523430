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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from probes.errors import CommandError

from . import records

SCHEMA = 1
OK, REFUSED = "ok", "refused"
EQUAL, ORIGINAL, CHAT = "equal", "original", "chat"
"""The work of a subject: the same in all; the paper's own, unequal; the whole chat."""

Key = tuple[int, str, int, bool]


@dataclass(frozen=True)
class Trial:
    """A repetition: one fresh start of a subject under one load.  A row of ``cells.csv``."""

    block: int
    subject: str
    connections: int
    aa: bool
    """Whether it is the A/A twin of the cell whose other keys are the same."""
    status: str
    """`OK` or `REFUSED`."""
    why: str
    """Why it was refused."""
    attempts: int
    """How often it was tried: those before this one were refused."""
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
    pss_kib: int | None
    """The most that was seen; it is looked at every few seconds and at the end."""
    steal_seconds: float | None
    """Time that the hypervisor gave to other guests, summed over all processors."""
    load_cpu_percent: float | None
    stalls: int | None
    lost: int | None
    torn: int | None
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
        return self.block, self.subject, self.connections, self.aa

    def row(self) -> list[str]:
        """Its line of ``cells.csv``."""
        return records.texts(self)


@dataclass(frozen=True)
class Window:
    """CPU use in a short part of a cell.  A row of ``windows.csv``; percent of one core."""

    block: int
    subject: str
    connections: int
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
        return self.block, self.subject, self.connections, self.aa

    def row(self) -> list[str]:
        """Its line of ``windows.csv``."""
        return records.texts(self)


TRIAL_COLUMNS = [each.name for each in fields(Trial)]
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
    """Of the sampling clock whose noise is shown: this kernel's, or the paper's."""
    noise_floor: str
    """What this kernel's own is like, in words."""


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
        """Return the text of ``run.json``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Run:
    """All that a results folder tells."""

    description: Description
    cells: tuple[Trial, ...]
    windows: Mapping[Key, tuple[Window, ...]]

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """By name, in the order of the design."""
        return {each.name: each for each in self.description.design.subjects}

    @property
    def refused(self) -> list[Trial]:
        """Repetitions that do not count."""
        return [cell for cell in self.cells if cell.status == REFUSED]


def read(folder: str | Path) -> Run:
    """Read the results in a folder.  Raise `CommandError` if they cannot be read."""
    folder = Path(folder)
    description = read_description(folder)
    known = {subject.name for subject in description.design.subjects}
    cells: dict[Key, Trial] = {}
    for cell in read_cells(folder):
        if cell.subject not in known:
            raise CommandError(f"{folder / 'cells.csv'}: {cell.subject} is no subject of run.json")
        if cell.key in cells:
            raise CommandError(f"{folder / 'cells.csv'}: the cell {cell.key} is there twice")
        cells[cell.key] = cell
    windows: dict[Key, list[Window]] = {}
    for window in records.rows(folder / "windows.csv", Window):
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
        document = json.loads(records.text(path))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise CommandError(f"{path}: schema {SCHEMA} is needed, and this has {schema!r}")
    description: Description = records.convert(Description, document, str(path))
    return description


def read_cells(folder: str | Path) -> list[Trial]:
    """``cells.csv`` alone: what is done."""
    path = Path(folder, "cells.csv")
    cells = list(records.rows(path, Trial))
    for cell in cells:
        if cell.status not in (OK, REFUSED):
            raise CommandError(f"{path}: the status {cell.status!r} is neither {OK} nor {REFUSED}")
        if cell.status == OK and None in (cell.seconds, cell.cpu_seconds, cell.cpu_percent):
            raise CommandError(f"{path}: the cell {cell.key} is {OK} and has no CPU time")
    return cells


def lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as the text that is added to a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
