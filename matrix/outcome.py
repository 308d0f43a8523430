"""Outcome: the result of running one cell, and the exit status of all."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import junit

FAILED, DOWN, FAULTY, INTERRUPTED = 1, 3, 4, 130
"""Exit statuses: the gate or the selftest failed; no platform; a probe failed; interrupted."""

EMULATED = "emulated by qemu-user, compared with nothing"
"""Why such a report is neither compared nor recorded."""


@dataclass
class CellOutcome:
    """The result of running one cell.  Its fields are those of ``matrix run --json``."""

    cell: str
    status: int = 0
    way: str = ""
    """The provider that brought the platform up."""
    platform: str = ""
    facts: int = 0
    missing: bool = False
    """No provider brought the platform up: it cannot be measured from here."""
    kept: str = ""
    """How to get into a platform that was left up, and how to end it."""
    changes: list[str] = field(default_factory=list)
    """One line for each difference from the baseline that is not allowed."""
    unasked: int = 0
    """Number of facts that need root, measured for the baseline by root and not asked here."""
    baseline: str = ""
    """Why the report was not compared with a baseline; empty if it was."""
    emulated: bool = False
    """Whether the facts speak of an emulator of system calls, so that they are not recorded."""
    selftest: dict[str, dict[str, Any]] = field(default_factory=dict)
    untried: str = ""
    """Why papaya cannot run on the platform."""
    why: str = ""
    """Why the run ended early."""
    exit_status: int | None = None
    """The exit status of a user's command; negative if a signal ended it."""
    tests: dict[str, str] = field(default_factory=dict)
    """The result of each test in a user's JUnit file, by the test's name."""
    fetched: list[str] = field(default_factory=list)
    """Paths of the files that a user's command made, and that were fetched."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each step: up, send, measure, selftest, down."""

    @property
    def line(self) -> str:
        """The result in one line."""
        if self.why:
            return self.why
        took = format_duration(sum(self.seconds.values()))
        if self.exit_status is not None:
            tests = [junit.count_results(self.tests)] if self.tests else []
            return ", ".join([describe_status(self.exit_status), *tests, took])
        passed = sum(is_passed(checks) for checks in self.selftest.values())
        parts = [f"{self.facts} facts"]
        parts.append(self.baseline or f"{len(self.changes)} changed")
        if self.unasked:
            parts.append(f"{self.unasked} not asked: needs root")
        if self.selftest:
            parts.append(f"selftest {passed}/{len(self.selftest)}")
        if self.untried:
            parts.append(f"no selftest: {self.untried}")
        return ", ".join([*parts, took])


def is_passed(checks: dict[str, Any]) -> bool:
    """Return whether every check of an engine passed."""
    return bool(checks) and all(result is True for result in checks.values())


def find_mark(outcome: CellOutcome, allow_missing: bool) -> str:
    """Return the word for a failure; empty if there is none."""
    if outcome.missing:
        return "SKIPPED" if allow_missing else "MISSING"
    return "FAILED" if outcome.status else ""


def format_json(outcomes: Sequence[CellOutcome]) -> str:
    """Return the outcomes as JSON, each with its line."""
    return json.dumps([{**asdict(o), "line": o.line} for o in outcomes], indent=1)


def describe_status(status: int) -> str:
    """Return ``exit status 2``, or ``killed by SIGSEGV`` for -11."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def format_duration(seconds: float) -> str:
    """Return seconds as people write them: ``12.3 s``, ``2 min 5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def combine_statuses(outcomes: Sequence[CellOutcome], allow_missing: bool) -> int:
    """Return the exit status of all: a failed gate or selftest precedes a missing platform."""
    statuses = {o.status for o in outcomes if not (allow_missing and o.missing)}
    order = (INTERRUPTED, FAILED, FAULTY, DOWN, 2)
    return next((status for status in order if status in statuses), 0)
