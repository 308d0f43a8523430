"""Read a results folder: ``run.json`` describes a run, ``cells.csv`` has a row per trial.

    run = results.read("results")
    run.trials[0].cpu_percent, run.windows[run.trials[0].key]

``windows.csv`` has a row for each half second of a trial.  The records below define the files: a
record's fields are the columns, in this order.  A field that may be None is empty if it was not
measured or does not apply.  A row without its line end, which a killed run leaves, is ignored.
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
"""The work of a subject: the same for all; that of the paper's servers, unequal; the chat."""

Key = tuple[int, str, int, bool]


@dataclass(frozen=True)
class Trial:
    """One fresh start of a subject under one load: a row of ``cells.csv``."""

    block: int
    subject: str
    connections: int
    aa: bool
    """Whether it is the A/A twin of the trial whose other keys are the same."""
    status: str
    """`OK` or `REFUSED`."""
    why: str
    """Why it was refused."""
    attempts: int
    """Number of starts until this one; the starts before it were refused."""
    seconds: float | None
    """Length of the measurement, without the warm-up."""
    cpu_seconds: float | None
    cpu_percent: float | None
    """Of one core."""
    cv: float | None
    """Coefficient of variation of the exact windows: standard deviation / mean."""
    offered_mbps: float | None
    """Sum over all connections."""
    achieved_mbps: float | None
    bytes: int | None
    messages: int | None
    deliveries: int | None
    """Messages that reached a client; None if the subject only reads."""
    us_per_message: float | None
    """Microseconds of CPU."""
    us_per_mbit: float | None
    us_per_delivery: float | None
    voluntary: int | None
    """Context switches."""
    involuntary: int | None
    pss_kib: int | None
    """Largest value seen; it is read every few seconds and at the end."""
    steal_seconds: float | None
    """Time that the hypervisor gave to other guests, summed over all processors."""
    load_cpu_percent: float | None
    stalls: int | None
    lost: int | None
    torn: int | None
    duplicated: int | None
    disordered: int | None
    p50_ms: float | None
    """Latency from the moment a message was due until it was delivered."""
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    accounting: str

    @property
    def key(self) -> Key:
        """Return the fields that identify the trial."""
        return self.block, self.subject, self.connections, self.aa

    def row(self) -> list[str]:
        """Return the fields of its row in ``cells.csv``."""
        return records.format_fields(self)


@dataclass(frozen=True)
class Window:
    """CPU use in half a second of a trial, in percent of a core: a row of ``windows.csv``."""

    block: int
    subject: str
    connections: int
    aa: bool
    at: float
    """Seconds from the start of the measurement to the end of the window."""
    seconds: float
    exact_percent: float
    ticks_percent: float | None
    """The same by the kernel's tick counters, over all processes."""
    paper_percent: float | None
    """The same by the paper's method: the tick counters of the processes that top shows."""

    @property
    def key(self) -> Key:
        """Return the key of its trial."""
        return self.block, self.subject, self.connections, self.aa

    def row(self) -> list[str]:
        """Return the fields of its row in ``windows.csv``."""
        return records.format_fields(self)


TRIAL_COLUMNS = [each.name for each in fields(Trial)]
WINDOW_COLUMNS = [each.name for each in fields(Window)]


@dataclass(frozen=True)
class Subject:
    """A server that is measured, such as ``c-processes``."""

    name: str
    title: str
    paradigm: str
    language: str
    work: str
    """`EQUAL`, `ORIGINAL` or `CHAT`."""


@dataclass(frozen=True)
class Host:
    """The machine that the run was measured on."""

    name: str
    system: str
    release: str
    machine: str
    cpu: str
    cores: int
    hz: int
    """Frequency of the kernel's tick."""
    memory_kib: int
    virtual: str
    """The hypervisor or container; empty if none is known."""


@dataclass(frozen=True)
class Accounting:
    """The source of the CPU times, and why it was chosen."""

    method: str
    why: str
    clock_hz: int
    """Frequency of the sampling clock whose noise is shown: this kernel's, or the paper's."""
    noise_floor: str
    """A sentence about this kernel's clock."""


@dataclass(frozen=True)
class Cores:
    """The cores of the server and those of the load; empty if not bound."""

    server: tuple[int, ...]
    load: tuple[int, ...]


@dataclass(frozen=True)
class Design:
    """The options of a run: its subjects, loads and times."""

    subjects: tuple[Subject, ...]
    connections: tuple[int, ...]
    mbps: float
    """Megabits per second of each connection."""
    size: int
    """Bytes per message."""
    seconds: float
    warmup: float
    repeats: int
    window: float
    seed: int
    paper: bool
    """Whether the paper's method was applied to the same trials."""
    chat_rate: float
    """Messages per second from all clients of a chat together; each goes to every client."""
    chat_size: int
    """Bytes per message of a chat."""


@dataclass(frozen=True)
class Description:
    """The contents of ``run.json``."""

    schema: int
    started: str
    host: Host
    versions: Mapping[str, str]
    command: tuple[str, ...]
    accounting: Accounting
    cores: Cores
    design: Design
    left_out: Mapping[str, str]
    """Subjects that could not be built or started on this host, and why."""

    def dumps(self) -> str:
        """Return the text of ``run.json``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Run:
    """The contents of a results folder."""

    description: Description
    trials: tuple[Trial, ...]
    windows: Mapping[Key, tuple[Window, ...]]

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """Return the subjects by name, in the order of the design."""
        return {each.name: each for each in self.description.design.subjects}

    @property
    def refused(self) -> list[Trial]:
        """Return the trials that do not count."""
        return [trial for trial in self.trials if trial.status == REFUSED]


def read_run(folder: str | Path) -> Run:
    """Read the results in a folder.  Raise `CommandError` if they cannot be read."""
    folder = Path(folder)
    description = read_description(folder)
    known = {subject.name for subject in description.design.subjects}
    trials: dict[Key, Trial] = {}
    for trial in read_trials(folder):
        if trial.subject not in known:
            raise CommandError(
                f"{folder / 'cells.csv'}: subject {trial.subject} is not in run.json"
            )
        if trial.key in trials:
            raise CommandError(f"{folder / 'cells.csv'}: the trial {trial.key} is listed twice")
        trials[trial.key] = trial
    windows: dict[Key, list[Window]] = {}
    for window in records.read_rows(folder / "windows.csv", Window):
        if window.key not in trials:
            continue  # The run was killed during this trial.
        found = windows.setdefault(window.key, [])
        if found and window.at <= found[-1].at:
            found.clear()  # The same, and the trial was then measured again.
        found.append(window)
    return Run(
        description, tuple(trials.values()), {key: tuple(each) for key, each in windows.items()}
    )


def read_description(folder: str | Path) -> Description:
    """Read ``run.json`` alone.  Raise `CommandError` if it cannot be read."""
    path = Path(folder, "run.json")
    try:
        document = json.loads(records.read_text(path))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise CommandError(f"{path}: schema is {schema!r}; this version reads {SCHEMA}")
    description: Description = records.convert(Description, document, str(path))
    return description


def read_trials(folder: str | Path) -> list[Trial]:
    """Read ``cells.csv`` alone: the finished trials."""
    path = Path(folder, "cells.csv")
    trials = list(records.read_rows(path, Trial))
    for trial in trials:
        if trial.status not in (OK, REFUSED):
            raise CommandError(f"{path}: status is {trial.status!r}; it must be {OK} or {REFUSED}")
        if trial.status == OK and None in (trial.seconds, trial.cpu_seconds, trial.cpu_percent):
            raise CommandError(f"{path}: the trial {trial.key} is {OK} but has no CPU time")
    return trials


def format_rows(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV text, to be appended to a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
