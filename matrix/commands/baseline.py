"""baseline: record the report of a cell as what is expected of it."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError
from probes.invocation import get_invocation
from probes.text import make_printable

from .options import Commands, Places

if TYPE_CHECKING:
    from probes import Report

    from ..cell import Cell

_OLDER = 0.1
"""Share of all facts that a report of an older lab may lack; one that lacks more is incomplete."""


@dataclass(frozen=True)
class BaselineRequest:
    """Which report to record, and why it is what is expected."""

    places: Places
    cell: str
    results: str
    imported: str | None
    """A report that was measured elsewhere."""
    reason: str


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "record the last report of a cell as its baseline"
    parser = commands.add_parser("baseline", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument("cell", metavar="CELL")
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results")
    parser.add_argument(
        "--import", dest="report", metavar="REPORT", help="record a report from elsewhere"
    )
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why this is expected; kept in the baseline"
    )


def _run(arguments: argparse.Namespace) -> int:
    reason = arguments.reason.strip()
    if not reason:
        raise CommandError("--reason: empty; say why this is expected")
    places = Places.from_arguments(arguments)
    return record(
        BaselineRequest(places, arguments.cell, arguments.results, arguments.report, reason)
    )


def record(request: BaselineRequest) -> int:
    """Show what changes, and write the baseline."""
    from probes import Report
    from probes import baseline as baselines
    from probes.environment import hash_probes
    from probes.load_catalogue import load_catalogue

    from ..cell import choose_cells, load_cells

    known = load_cells(request.places.cells, request.places.baselines)
    (cell,) = choose_cells(known, [request.cell])
    path = request.imported or os.path.join(request.results, cell.name, "report.json")
    report = _load_report(cell, path, imported=bool(request.imported))
    old = Report.load(cell.baseline) if os.path.exists(cell.baseline) else None
    if old:
        for change in baselines.compare(old, report):
            print(f"{change.kind}: {change.id}: {change.was} -> {change.now}")
    source = {"imported_from": make_printable(path)} if request.imported else {}
    today = datetime.date.today()
    asked = list(load_catalogue())
    lacking = [id for id in asked if id not in report]
    if request.imported and report.environment.probes_hash != hash_probes() and (
        len(lacking) <= _OLDER * len(asked)
    ):  # fmt: skip
        # An older lab did not have these questions: they are left out of the baseline.
        asked = [id for id in asked if id in report]
        if lacking:
            names = ", ".join(lacking)
            print(f"matrix: a report of an older lab; it lacks {names}", file=sys.stderr)
    approved = baselines.approve(old, report, request.reason, today, asked)
    os.makedirs(cell.baselines, exist_ok=True)
    approved.with_later(**source).save(cell.own_baseline)
    written = os.path.relpath(cell.own_baseline)
    print(f"matrix: wrote {written}: {report.environment}", file=sys.stderr)
    return 0


def _load_report(cell: Cell, path: str, imported: bool) -> Report:
    """Return the report; raise CommandError if it is missing, or not one of ``cell``."""
    from probes import Report

    if not imported and not os.path.exists(path):
        raise CommandError(
            f"{path}: does not exist; measure first: {get_invocation('matrix')} run {cell.name}"
        )
    report = Report.load(path)
    if why := cell.explain_mismatch(report.environment):
        raise CommandError(f"{path}: a report of {why}")
    if not imported and report.later.get("cell") != cell.name:
        raise CommandError(f"{path}: was not measured as the cell {cell.name}")
    return report
