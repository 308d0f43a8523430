"""shell: give the user's terminal a shell on a cell's platform."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from probes.errors import CommandError

from .. import terminal
from ..cell import choose_cells, load_cells
from ..execute import pack_files
from ..interrupts import block_stopping
from ..run import run_one
from .options import Commands, Places, add_sending_options


@dataclass(frozen=True)
class ShellRequest:
    """The cell, and what it has."""

    places: Places
    cell: str
    send: str | None
    all_files: bool
    packages: Sequence[str]
    user: bool
    results: str


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("shell", help="open a shell on a cell")
    parser.set_defaults(run=_run)
    parser.add_argument("cell", metavar="CELL")
    add_sending_options(parser, None)
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results")


def _run(arguments: argparse.Namespace) -> int:
    return open_shell(
        ShellRequest(
            Places.from_arguments(arguments),
            arguments.cell,
            arguments.send,
            arguments.all,
            arguments.install,
            arguments.user,
            arguments.results,
        )
    )


def open_shell(request: ShellRequest) -> int:
    """Bring the cell up, open the shell, take the cell down; return the shell's exit status."""
    known = load_cells(request.places.cells, request.places.baselines)
    (cell,) = choose_cells(known, [request.cell])
    if not (os.isatty(0) and os.isatty(1)):
        raise CommandError("shell: needs a terminal; `exec` runs a command without one")
    plan = terminal.ShellPlan(
        os.path.abspath(request.results),
        packages=tuple(request.packages),
        files=pack_files(request.send, request.all_files) if request.send else b"",
        user=request.user,
    )
    # Not in a process of its own, since a terminal stops all but those of the foreground.
    with block_stopping():
        outcome = run_one(cell, plan, terminal.open_shell)
    if outcome.why:
        raise CommandError(f"{cell.name}: {outcome.why}", outcome.status)
    print(f"{cell.name}: {outcome.line}", file=sys.stderr)
    status = outcome.exit_status or 0
    return status if status >= 0 else 128 - status
