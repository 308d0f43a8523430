"""exec: run a program of your own on cells."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError

from .options import Commands, Places

if TYPE_CHECKING:
    from ..outcome import CellOutcome


@dataclass(frozen=True)
class ExecRequest:
    """The cells, the command, and what is sent and fetched."""

    places: Places
    cells: Sequence[str]
    command: Sequence[str]
    send: str
    all_files: bool
    get: Sequence[str]
    environment: Mapping[str, str]
    user: bool
    timeout: float
    jobs: int
    results: str
    keep: bool
    allow_missing: bool
    install: bool
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "run a program of your own on cells: exec CELL… -- COMMAND…"
    parser = commands.add_parser("exec", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument("cells_to_run", metavar="CELL", nargs="+")
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
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="cells at once (default: 2)"
    )
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results")
    parser.add_argument(
        "--keep", action="store_true", help="leave the platforms up, and print how to end them"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="skip platforms that cannot be started"
    )
    parser.add_argument(
        "--install", action="store_true", help="install execnet into this Python if it is missing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON; output goes to files only")


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.command:
        raise CommandError("exec: no command; write it after the cells: exec CELL… -- COMMAND…")
    if arguments.jobs < 1:
        raise CommandError("--jobs: must be 1 or more")
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
            Places.from_arguments(arguments),
            arguments.cells_to_run,
            arguments.command,
            arguments.send,
            arguments.all,
            arguments.get,
            environment,
            arguments.user,
            arguments.timeout,
            arguments.jobs,
            arguments.results,
            arguments.keep,
            arguments.allow_missing,
            arguments.install,
            arguments.json,
        )
    )


def execute(request: ExecRequest) -> int:
    """Run the command on each cell, print the outcomes, and return the status of all."""
    from .. import execute as program
    from ..cell import choose_cells, load_cells
    from ..outcome import combine_statuses
    from ..run import run_all

    known = load_cells(request.places.cells, request.places.baselines)
    chosen = choose_cells(known, request.cells)
    plan = program.ExecPlan(
        os.path.abspath(request.results),
        keep=request.keep,
        install=request.install,
        deadline=request.timeout,
        command=tuple(request.command),
        files=program.pack_files(request.send, request.all_files),
        get=tuple(request.get),
        environment=request.environment,
        user=request.user,
        quiet=request.as_json,
    )
    outcomes = run_all(chosen, plan, request.jobs, lambda outcome: None, program.execute)
    outcomes.sort(key=lambda outcome: [cell.name for cell in chosen].index(outcome.cell))
    if request.as_json:
        print(json.dumps([{**asdict(o), "line": o.line} for o in outcomes], indent=1))
    else:
        width = max(len(cell.name) for cell in chosen)
        for outcome in outcomes:
            print("\n".join(_describe(outcome, width, request.allow_missing)))
    return combine_statuses(outcomes, request.allow_missing)


def _describe(outcome: CellOutcome, width: int, allow_missing: bool) -> list[str]:
    mark = "passed"
    if outcome.missing:
        mark = "SKIPPED" if allow_missing else "MISSING"
    elif outcome.status:
        mark = "FAILED"
    lines = [f"{outcome.cell.ljust(width)}  {mark:7}  {outcome.line}"]
    details = [*outcome.changes, *(f"fetched {path}" for path in outcome.fetched)]
    if outcome.kept:
        details.append(f"kept: {outcome.kept}")
    return lines + [f"{'':{width}}  {detail}" for detail in details]
