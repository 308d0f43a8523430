"""run: measure cells and compare them with their baselines."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from probes.errors import CommandError
from probes.invocation import get_invocation

from ..cell import choose_cells, load_cells
from ..outcome import INTERRUPTED, CellOutcome, combine_statuses
from ..run import RunPlan, run_all
from .options import Commands, Places


@dataclass(frozen=True)
class RunRequest:
    """Which cells to run, how, and how to print the outcomes."""

    places: Places
    cells: Sequence[str]
    plan: RunPlan
    results: str
    """The folder of results as it was given."""
    jobs: int
    allow_missing: bool
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "measure cells and compare them with their baselines"
    parser = commands.add_parser("run", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument("cells_to_run", metavar="CELL", nargs="+")
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="cells at once (default: 2)"
    )
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results")
    parser.add_argument(
        "--keep", action="store_true", help="leave the platforms up, and print how to end them"
    )
    parser.add_argument(
        "--no-selftest", action="store_true", help="measure only; do not try the chat"
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="skip platforms that cannot be started: SKIPPED is no failure",
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="GLOB",
        help="configured facts that may differ from the baseline; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--require-all", action="store_true",
        help="fail if facts that root measured for the baseline cannot be asked here",
    )  # fmt: skip
    parser.add_argument(
        "--install", action="store_true", help="install execnet into this Python if it is missing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.jobs < 1:
        raise CommandError("--jobs: must be 1 or more")
    plan = RunPlan(
        os.path.abspath(arguments.results),
        arguments.keep,
        not arguments.no_selftest,
        tuple(arguments.allow),
        arguments.require_all,
        arguments.install,
    )
    request = RunRequest(
        Places.from_arguments(arguments),
        arguments.cells_to_run,
        plan,
        arguments.results,
        arguments.jobs,
        arguments.allow_missing,
        arguments.json,
    )
    return run(request)


def run(request: RunRequest) -> int:
    """Run the cells, print each outcome as it comes, and return the status of all."""
    known = load_cells(request.places.cells, request.places.baselines)
    chosen = choose_cells(known, request.cells)
    width = max(len(one.name) for one in chosen)

    def report(outcome: CellOutcome) -> None:
        mark = _mark(outcome, request.allow_missing)
        _append_summary(outcome.cell, mark, outcome.line)
        if not request.as_json:
            for line in _describe(outcome, mark, width, request):
                print(line, flush=True)

    outcomes = run_all(chosen, request.plan, request.jobs, report)
    if left := [o.cell for o in outcomes if o.status == INTERRUPTED]:
        line = f"interrupted; not finished: {', '.join(left)}"
        print(f"matrix: {line}; the same command measures all its cells again", file=sys.stderr)
    if request.as_json:
        print(json.dumps([{**asdict(o), "line": o.line} for o in outcomes], indent=1))
    return combine_statuses(outcomes, request.allow_missing)


def _mark(outcome: CellOutcome, allow_missing: bool) -> str:
    """Return the word for a failure; empty if there is none."""
    if outcome.missing:
        return "SKIPPED" if allow_missing else "MISSING"
    return "FAILED" if outcome.status else ""


def _describe(outcome: CellOutcome, mark: str, width: int, request: RunRequest) -> list[str]:
    """Return the lines that tell a user of the outcome."""
    result = "  ".join(filter(None, [outcome.way, f"{mark} {outcome.line}".lstrip()]))
    lines = [f"{outcome.cell.ljust(width)}  {result}"]
    details = list(outcome.changes)
    if outcome.baseline and not outcome.why:
        details.append(f"to record one: {_format_recording_command(request, outcome.cell)}")
    if outcome.seconds and not outcome.why:
        steps = (f"{step} {seconds:.1f}" for step, seconds in outcome.seconds.items())
        details.append(f"seconds: {', '.join(steps)}")
    return lines + [f"{'':{width}}  {detail}" for detail in details]


def _format_recording_command(request: RunRequest, cell: str) -> str:
    """Return the command that records what was just measured, with the options of this one."""
    words = ["baseline", cell]
    given = {
        "cells": request.places.cells,
        "baselines": request.places.baselines,
        "results": request.results,
    }
    for name, value in given.items():
        if value not in (None, "results"):
            words += [f"--{name}", str(value)]
    return f"{get_invocation('matrix')} {shlex.join(words)} --reason TEXT"


def _append_summary(cell: str, mark: str, line: str) -> None:
    """Append the outcome to the file from which toxfile.py prints a table after several runs."""
    if path := os.environ.get("MATRIX_SUMMARY"):
        entry = {"cell": cell, "mark": mark or "passed", "line": line}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
