"""exec: run a program of your own on cells."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.errors import CommandError

from .. import execute as program
from ..cell import choose_cells, load_cells
from ..outcome import CellOutcome, combine_statuses, find_mark, format_json
from ..run import run_all
from .options import CellsRequest, Commands, add_cells_options


@dataclass(frozen=True)
class ExecRequest:
    """The cells, the command, and what is sent and fetched."""

    cells: CellsRequest
    command: Sequence[str]
    send: str
    all_files: bool
    get: Sequence[str]
    environment: Mapping[str, str]
    user: bool
    timeout: float


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "run a program of your own on cells: exec CELL… -- COMMAND…"
    parser = commands.add_parser("exec", help=help)
    parser.set_defaults(run=_run)
    add_cells_options(parser)
    parser.add_argument(
        "--send", default=".", metavar="DIR",
        help="folder that is sent, of which git knows the files (default: the current folder)",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="send every file in that folder, not only git's"
    )
    parser.add_argument(
        "--get", action="append", default=[], metavar="PATH",
        help="fetch this file or folder afterwards into results/CELL; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE",
        help="set an environment variable of the command; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--user", action="store_true", help="run the command as an ordinary user, not as root"
    )
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
    for path in arguments.get:
        if os.path.isabs(path) or ".." in path.split("/"):
            raise CommandError(f"--get {path}: outside; name a path below the folder sent")
    return execute(
        ExecRequest(
            cells,
            arguments.command,
            arguments.send,
            arguments.all,
            arguments.get,
            environment,
            arguments.user,
            arguments.timeout,
        )
    )


def execute(request: ExecRequest) -> int:
    """Run the command on each cell, print the outcomes, and return the status of all."""
    asked = request.cells
    known = load_cells(asked.places.cells, asked.places.baselines)
    chosen = choose_cells(known, asked.cells)
    plan = program.ExecPlan(
        os.path.abspath(asked.results),
        keep=asked.keep,
        install=asked.install,
        deadline=request.timeout,
        command=tuple(request.command),
        files=program.pack_files(request.send, request.all_files),
        get=tuple(request.get),
        environment=request.environment,
        user=request.user,
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
    return combine_statuses(outcomes, asked.allow_missing)


def _describe(outcome: CellOutcome, width: int, allow_missing: bool) -> list[str]:
    mark = find_mark(outcome, allow_missing) or "passed"
    lines = [f"{outcome.cell.ljust(width)}  {mark:7}  {outcome.line}"]
    details = [*outcome.changes, *(f"fetched {path}" for path in outcome.fetched)]
    if outcome.kept:
        details.append(f"kept: {outcome.kept}")
    return lines + [f"{'':{width}}  {detail}" for detail in details]
