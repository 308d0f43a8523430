"""run: measure cells and compare them with their baselines."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import dataclass

from probes.invocation import get_invocation

from ..outcome import (
    INTERRUPTED,
    CellOutcome,
    combine_statuses,
    find_mark,
    format_json,
)
from ..run import RunPlan, run_all
from .options import CellsRequest, Commands, add_cells_options, load_chosen


@dataclass(frozen=True)
class RunRequest:
    """Which cells to run, and how to measure them."""

    cells: CellsRequest
    plan: RunPlan


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "measure cells and compare them with their baselines"
    parser = commands.add_parser("run", help=help)
    parser.set_defaults(run=_run)
    add_cells_options(parser)
    parser.add_argument(
        "--no-selftest", action="store_true", help="measure only; do not try the chat"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="GLOB",
        help="configured facts that may differ from the baseline; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--require-all", action="store_true",
        help="fail if facts that root measured for the baseline cannot be asked here",
    )  # fmt: skip
    # The older spelling, from before `exec` installed packages.
    parser.add_argument(
        "--install", dest="install_execnet", action="store_true", help=argparse.SUPPRESS
    )


def _run(arguments: argparse.Namespace) -> int:
    cells = CellsRequest.from_arguments(arguments)
    plan = RunPlan(
        os.path.abspath(cells.results),
        cells.keep,
        not arguments.no_selftest,
        tuple(arguments.allow),
        arguments.require_all,
        cells.install_execnet,
    )
    return run(RunRequest(cells, plan))


def run(request: RunRequest) -> int:
    """Run the cells, print each outcome as it comes, and return the status of all."""
    asked = request.cells
    chosen = load_chosen(asked)
    width = max(len(one.name) for one in chosen)

    def report(outcome: CellOutcome) -> None:
        mark = find_mark(outcome, asked.allow_missing)
        _append_summary(outcome.cell, mark, outcome.line)
        if not asked.as_json:
            for line in _describe(outcome, mark, width, asked):
                print(line, flush=True)

    outcomes = run_all(chosen, request.plan, asked.jobs, report)
    if left := [o.cell for o in outcomes if o.status == INTERRUPTED]:
        line = f"interrupted; not finished: {', '.join(left)}"
        print(f"matrix: {line}; the same command measures all its cells again", file=sys.stderr)
    if asked.as_json:
        print(format_json(outcomes))
    return combine_statuses(outcomes, asked.allow_missing)


def _describe(outcome: CellOutcome, mark: str, width: int, asked: CellsRequest) -> list[str]:
    """Return the lines that tell a user of the outcome."""
    result = "  ".join(filter(None, [outcome.way, f"{mark} {outcome.line}".lstrip()]))
    lines = [f"{outcome.cell.ljust(width)}  {result}"]
    details = list(outcome.changes)
    if outcome.baseline and not outcome.why and not outcome.emulated:
        details.append(f"to record one: {_format_recording_command(asked, outcome.cell)}")
    if outcome.seconds and not outcome.why:
        steps = (f"{step} {seconds:.1f}" for step, seconds in outcome.seconds.items())
        details.append(f"seconds: {', '.join(steps)}")
    return lines + [f"{'':{width}}  {detail}" for detail in details]


def _format_recording_command(asked: CellsRequest, cell: str) -> str:
    """Return the command that records what was just measured, with the options of this one."""
    words = ["baseline", cell]
    given = {
        "cells": asked.places.cells,
        "baselines": asked.places.baselines,
        "results": asked.results,
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
