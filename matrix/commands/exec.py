"""exec: run a program of your own on cells."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.errors import CommandError

from .. import execute as program
from .. import junit, recorded
from ..outcome import CellOutcome, combine_statuses, find_mark, format_json
from ..run import run_all
from .options import CellsRequest, Commands, add_cells_options, add_sending_options, load_chosen


@dataclass(frozen=True)
class ExecRequest:
    """The cells, the command, and what is sent and fetched."""

    cells: CellsRequest
    command: Sequence[str]
    send: str
    all_files: bool
    packages: Sequence[str]
    get: Sequence[str]
    environment: Mapping[str, str]
    user: bool
    timeout: float
    junit: str
    """The JUnit file that the command writes; empty if there is none."""
    facts: Sequence[str]
    """Facts that are compared with another cell's for cells on which a test failed."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "run a program of your own on cells: exec CELL… -- COMMAND…"
    parser = commands.add_parser("exec", help=help)
    parser.set_defaults(run=_run)
    add_cells_options(parser)
    add_sending_options(parser, ".")
    parser.add_argument(
        "--get", action="append", default=[], metavar="PATH",
        help="fetch this file or folder afterwards into results/CELL; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE",
        help="set an environment variable of the command; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--junit", default="", metavar="PATH",
        help="JUnit file that the command writes: fetch it, compare the cells' tests, merge all",
    )  # fmt: skip
    parser.add_argument(
        "--families", action="append", default=[], metavar="FAMILY",
        help="with --junit: show the facts of a family in which a cell with a failed test differs",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS",
        help="longest time of the command (default: 600)",
    )  # fmt: skip


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.command:
        raise CommandError("exec: no command; write it after the cells: exec CELL… -- COMMAND…")
    cells = CellsRequest.from_arguments(arguments)
    if not 0 < arguments.timeout < 1e6:
        raise CommandError("--timeout: must be more than 0 seconds, and less than 1,000,000")
    environment = {}
    for entry in arguments.env:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise CommandError(f"--env {entry}: not a setting; write NAME=VALUE")
        environment[name] = value
    for path in (*arguments.get, arguments.junit):
        if os.path.isabs(path) or ".." in path.split("/"):
            raise CommandError(f"{path}: outside; name a path below the folder sent")
    if arguments.families and not arguments.junit:
        raise CommandError("--families: nothing to explain without the tests of --junit")
    facts = _select_facts(arguments.families) if arguments.families else []
    return execute(
        ExecRequest(
            cells,
            arguments.command,
            arguments.send,
            arguments.all,
            arguments.install,
            arguments.get,
            environment,
            arguments.user,
            arguments.timeout,
            os.path.normpath(arguments.junit) if arguments.junit else "",
            facts,
        )
    )


def _select_facts(families: Sequence[str]) -> list[str]:
    from probes.load_catalogue import load_catalogue
    from probes.selection import select

    try:
        return list(select(load_catalogue(), families, ()))
    except LookupError as error:
        raise CommandError(f"--families: {error.args[0]}") from None


def execute(request: ExecRequest) -> int:
    """Run the command on each cell, print the outcomes, and return the status of all."""
    asked = request.cells
    chosen = load_chosen(asked)
    plan = program.ExecPlan(
        os.path.abspath(asked.results),
        keep=asked.keep,
        install_execnet=asked.install_execnet,
        packages=tuple(request.packages),
        deadline=request.timeout,
        command=tuple(request.command),
        files=program.pack_files(request.send, request.all_files),
        get=tuple(request.get),
        environment=request.environment,
        user=request.user,
        junit=request.junit,
        quiet=asked.as_json,
    )
    outcomes = run_all(chosen, plan, asked.jobs, lambda outcome: None, program.execute)
    order = [cell.name for cell in chosen]
    outcomes.sort(key=lambda outcome: order.index(outcome.cell))
    if asked.as_json:
        print(format_json(outcomes))
    else:
        width = max(map(len, order))
        for outcome in outcomes:
            print("\n".join(_describe(outcome, width, asked.allow_missing)))
    if tests := {outcome.cell: outcome.tests for outcome in outcomes if outcome.tests}:
        paths = {cell: os.path.join(plan.results, cell, plan.junit) for cell in tests}
        junit.merge_files(paths, os.path.join(plan.results, "junit.xml"))
        if not asked.as_json:
            print("\n".join(junit.describe_differing(tests)))
            by_name = {cell.name: cell for cell in chosen}
            for name, other in junit.pair_failing(tests).items() if request.facts else ():
                lines = recorded.describe_differing(by_name[name], by_name[other], request.facts)
                print("\n".join(lines))
    return combine_statuses(outcomes, asked.allow_missing)


def _describe(outcome: CellOutcome, width: int, allow_missing: bool) -> list[str]:
    mark = find_mark(outcome, allow_missing) or "passed"
    lines = [f"{outcome.cell.ljust(width)}  {mark:7}  {outcome.line}"]
    details = [*outcome.changes, *(f"fetched {path}" for path in outcome.fetched)]
    if outcome.kept:
        details.append(f"kept: {outcome.kept}")
    return lines + [f"{'':{width}}  {detail}" for detail in details]
