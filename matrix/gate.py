"""Compare a cell's report with its baseline.  The judging itself is `probes.baseline`'s."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from papaya import settings
from probes import Report
from probes import baseline as baselines
from probes.allowances import find_allowances, load_allowances
from probes.errors import CommandError, ReportError
from probes.fact import FAULTS
from probes.load_catalogue import load_catalogue
from probes.probe import Probe
from probes.render_verdict import describe_change

from .cell import Cell
from .outcome import DOWN, EMULATED, FAULTY, CellOutcome


def compare_with_baseline(
    cell: Cell, report: Report, outcome: CellOutcome, allow: Sequence[str], require_all: bool
) -> None:
    """Compare ``report`` with the baseline of ``cell``, and write the result into ``outcome``.

    Raise CommandError if the report is not one of this cell, measured nothing, or if the
    baseline cannot be read.
    """
    if why := cell.explain_mismatch(report.environment):
        raise CommandError(f"it is {why}", DOWN)
    if not any(fact.measured for fact in report):
        raise CommandError("nothing was measured: each fact of its report says why", DOWN)
    faults = [fact.id for fact in report if fact.status in FAULTS]
    if faults:
        outcome.status = FAULTY
    path = cell.find_baseline(report.environment)
    baseline = _load_baseline(cell, path)
    if not baseline:
        outcome.emulated = report.environment.hypervisor == "qemu-user"
        outcome.baseline = EMULATED if outcome.emulated else "no baseline"
        outcome.baseline += f", {len(faults)} failed" if faults else ""
        outcome.changes = [f"{id}: {report[id].status}: {report[id].reason}" for id in faults]
        return
    try:
        verdict = baselines.judge(
            baseline,
            report,
            load_allowances(find_allowances(path)),
            allow=allow,
            require_all=require_all,
        )
    except ReportError as error:
        raise CommandError(str(error)) from None
    failing = verdict.failing(baselines.DRIFT, baselines.LOST, baselines.GONE, baselines.FAULT)
    probes = load_catalogue() if failing else {}
    outcome.changes = [
        *(_describe(change, probes) for change in failing),
        *verdict.complaints,
    ]
    outcome.unasked = len(verdict.failing(baselines.UNASKED))
    outcome.status = verdict.status


def _load_baseline(cell: Cell, path: str) -> Report | None:
    """Return the baseline; None if there is none, or if it is of another host's Python."""
    if not os.path.exists(path):
        return None
    try:
        baseline = Report.load(path)
    except ReportError as error:
        raise CommandError(str(error)) from None
    why = cell.explain_mismatch(baseline.environment)
    if why and not cell.is_here:
        raise CommandError(f"{path}: a baseline of {why}")
    return None if why else baseline


def _describe(change: baselines.Change, probes: Mapping[str, Probe]) -> str:
    """Say what changed, what to do about it, and which of papaya's settings depend on it."""
    names = [s.name for s in settings.SETTINGS if change.id in s.facts]
    depending = f"; papaya's settings that depend on it: {', '.join(names)}" if names else ""
    return describe_change(change, probes) + depending
