"""history: show what changed from each release of a system to the next."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError
from probes.invocation import get_invocation

from .options import Commands, Places, add_results_option

if TYPE_CHECKING:
    from ..cell import Cell
    from ..history import Family

FORMATS = ("text", "markdown", "json")


@dataclass(frozen=True)
class HistoryRequest:
    """Which systems' releases are compared, and how the changes are shown."""

    places: Places
    systems: Sequence[str]
    """Systems, families such as ``debian-amd64``, and names of reports; none: all."""
    reports: Sequence[str]
    """Paths of reports that take the place of recorded ones."""
    results: str
    configured: bool
    """Whether to show facts that a setting of the machine decides."""
    format: str
    output: str | None


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "show what changed from each recorded release of a system to the next, and what to do"
    parser = commands.add_parser("history", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument(
        "words", metavar="SYSTEM|REPORT", nargs="*",
        help="a system such as debian or debian-amd64 (default: all), or a report of yours, with a "
        "/ or .json in its name, which is taken before a recorded one of the same release",
    )  # fmt: skip
    add_results_option(parser)
    parser.add_argument(
        "--configured",
        action="store_true",
        help="also show what changed in facts that a setting of the machine decides",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="same as --format json"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there, whole or not at all")


def _run(arguments: argparse.Namespace) -> int:
    reports = [word for word in arguments.words if "/" in word or word.endswith(".json")]
    return show(
        HistoryRequest(
            Places.from_arguments(arguments),
            [word for word in arguments.words if word not in reports],
            reports,
            arguments.results,
            arguments.configured,
            arguments.format,
            arguments.output,
        )
    )


def show(request: HistoryRequest) -> int:
    """Write the history; raise CommandError for an unknown system."""
    from probes.files import write_output
    from probes.terminal import choose_style

    from ..assemble import explain_absence, load_present, load_reports
    from ..cell import load_cells
    from ..history import find_cells, group_reports
    from ..report.history import History, render_history

    places = request.results, request.places.baselines or ""
    given = load_reports(request.reports)
    names = {name for name, _ in given}
    present, _ = load_present(*places)
    if not given and not present:
        raise CommandError(explain_absence(*places))
    families, unknown = group_reports(
        given + [(name, report) for name, report in present if name not in names]
    )
    if strange := names.intersection(unknown):
        raise CommandError(
            f"{min(strange)}: of a release whose place among the others is not known; "
            "add the release to matrix/releases.py"
        )
    cells = load_cells(request.places.cells)
    named = [f for word in request.systems for f in _choose(word, families, cells)]
    wanted = names.union(request.systems)
    chosen = [f for f in families if f in named or names.intersection(f.names)]
    if not wanted:
        chosen = families
    # An upgrade changes the kernel too: one release on another kernel tells nothing of it.
    apart = [f for f in chosen if f.kernel and not f.steps and not wanted.intersection(f.names)]
    history = History(
        [(family, find_cells(family, cells)) for family in chosen if family not in apart],
        [name for family in apart for name in family.names],
        unknown,
    )
    style = choose_style(request.output)
    write_output(request.output, render_history(request.format, history, request.configured, style))
    return 0


def _choose(word: str, families: Sequence[Family], cells: Mapping[str, Cell]) -> list[Family]:
    """Return the families of a system, of their own name, or with a report of that name."""
    from difflib import get_close_matches

    from ..releases import find_release

    if found := [f for f in families if word.lower() in f.list_words() or word in f.names]:
        return found
    for cell in cells.values():
        release = find_release(cell.release)
        if release and word.lower() == release.system.lower():
            raise CommandError(
                f"no release of {release.system} is recorded; "
                f"to measure one: {get_invocation('matrix')} run {cell.name}"
            )
    names = list(dict.fromkeys(name for f in families for name in (f.system.lower(), f.name)))
    near = get_close_matches(word.lower(), names, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise CommandError(f"unknown system {word!r}; {meant}recorded are {', '.join(names)}")
