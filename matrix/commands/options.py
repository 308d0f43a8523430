"""Options that several commands have, and the parts of requests that are made from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probes.command_line import Parser
from probes.errors import CommandError

from ..availability import list_available
from ..cell import Cell, choose_cells, load_cells
from ..outcome import DOWN

Commands = Any
"""What `argparse.ArgumentParser.add_subparsers` returns; its class has no public name."""


@dataclass(frozen=True)
class Places:
    """Where cells and baselines are read from; None is the built-in place."""

    cells: str | None = None
    baselines: str | None = None

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Places:
        """Return what the options of `add_place_options` named."""
        return cls(arguments.cells, arguments.baselines)


def add_place_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add --cells and --baselines."""
    parser.add_argument(
        "--cells", metavar="FILE", default=default, help="your own cells, beside the built-in ones"
    )
    parser.add_argument(
        "--baselines", metavar="DIR", default=default,
        help="recorded reports, in place of the shipped ones",
    )  # fmt: skip


@dataclass(frozen=True)
class CellsRequest:
    """Which cells are brought up, how many at once, and where their results go."""

    places: Places
    cells: Sequence[str]
    all_here: bool
    """Instead of ``cells`` all that can run on this host."""
    jobs: int
    results: str
    """The folder of results as it was given."""
    keep: bool
    allow_missing: bool
    install_execnet: bool
    as_json: bool

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> CellsRequest:
        """Return what the options of `add_cells_options` asked for."""
        if arguments.jobs < 1:
            raise CommandError("--jobs: must be 1 or more")
        if bool(arguments.cells_to_run) == arguments.all_here:
            raise CommandError("no cells, or two choices of them: name cells, or use --all-here")
        return cls(
            Places.from_arguments(arguments),
            arguments.cells_to_run,
            arguments.all_here,
            arguments.jobs,
            arguments.results,
            arguments.keep,
            arguments.allow_missing,
            arguments.install_execnet,
            arguments.json,
        )


def load_chosen(request: CellsRequest) -> list[Cell]:
    """Return the cells that were asked for; raise CommandError if there are none."""
    known = load_cells(request.places.cells, request.places.baselines)
    if not request.all_here:
        return choose_cells(known, request.cells)
    print("matrix: looking for cells that can run here", file=sys.stderr, flush=True)
    chosen = list_available(known.values())
    if not chosen:
        raise CommandError("no cell can run here: `doctor` says what each lacks", DOWN)
    names = ", ".join(cell.name for cell in chosen)
    print(f"matrix: {len(chosen)} of {len(known)}: {names}", file=sys.stderr, flush=True)
    return chosen


def add_cells_options(parser: Parser) -> None:
    """Add the cells, and the options of every command that brings them up."""
    parser.add_argument("cells_to_run", metavar="CELL", nargs="*")
    parser.add_argument(
        "--all-here", action="store_true", help="run all cells that `doctor` says can run here"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="cells at once (default: 2)"
    )
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results")
    parser.add_argument(
        "--keep", action="store_true", help="leave the platforms up, and print how to end them"
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="skip platforms that cannot be started: SKIPPED is no failure",
    )
    parser.add_argument(
        "--install-execnet",
        action="store_true",
        help="install execnet into this Python if it is missing",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_sending_options(parser: Parser, folder: str | None) -> None:
    """Add what a user's program or shell has; ``folder`` is sent unless another is named."""
    what = "folder that is sent, of which git knows the files"
    parser.add_argument(
        "--send", default=folder, metavar="DIR",
        help=f"{what} (default: {'the current folder' if folder else 'none'})",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="send every file of the folder, not only git's"
    )
    parser.add_argument(
        "--install", nargs="+", action="extend", default=[], metavar="PACKAGE",
        help="packages for the cells of a release of Debian, such as gcc libc6-dev make",
    )  # fmt: skip
    parser.add_argument(
        "--user", action="store_true", help="run it as an ordinary user, not as root"
    )


@dataclass(frozen=True)
class TableRequest:
    """Which reports, and which documented platforms, a table shows."""

    places: Places
    reports: Sequence[str]
    results: str
    documented: Sequence[str] | None
    """Names of platforms whose documented values are shown; None: every system without a report."""

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> TableRequest:
        """Return what the options of `add_table_options` asked for."""
        places = Places.from_arguments(arguments)
        return cls(places, arguments.reports, arguments.results, arguments.documented)


def add_results_option(parser: Parser) -> None:
    """Add the place of the reports that are shown beside the baselines."""
    parser.add_argument(
        "--results", default="results", metavar="DIR",
        help="where `run` left its reports (default: results)",
    )  # fmt: skip


def add_table_options(parser: Parser) -> None:
    """Add the options that choose what a table shows."""
    parser.add_argument(
        "reports", metavar="REPORT", nargs="*",
        help="default: those in --results, and the baselines of the platforms without one there",
    )  # fmt: skip
    add_results_option(parser)
    parser.add_argument(
        "--documented", metavar="NAME", action="append",
        help="add a column of what this platform documents, such as freebsd; may be repeated "
        "(default: every system without a report)",
    )  # fmt: skip
    parser.add_argument(
        "--measured", action="store_const", const=[], dest="documented",
        help="show no platform that is only documented",
    )  # fmt: skip
