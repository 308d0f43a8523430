"""doctor: say which cells can run here, and what the others lack."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..availability import examine_ways
from ..cell import choose_cells, load_cells
from ..execnet_package import explain_lack
from .options import Commands, Places


@dataclass(frozen=True)
class DoctorRequest:
    """Which cells to look at; none: all of them."""

    places: Places
    cells: Sequence[str]
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "say which cells can run here; for the others, what they lack and what to type"
    parser = commands.add_parser("doctor", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument("cells_to_run", metavar="CELL", nargs="*")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    places = Places.from_arguments(arguments)
    return examine(DoctorRequest(places, arguments.cells_to_run, arguments.json))


def examine(request: DoctorRequest) -> int:
    """Print a line for each provider of each cell; return 3 if a cell that was named cannot run."""
    without = explain_lack()
    known = load_cells(request.places.cells, request.places.baselines)
    chosen = choose_cells(known, request.cells or list(known))
    rows = []
    for one in chosen:
        for way in examine_ways(one):
            lacks = "; and ".join(filter(None, [way.lacks, without]))
            note = "" if lacks else way.note
            rows.append(
                {"cell": one.name, "way": way.name, "runs": not lacks, "lacks": lacks, "note": note}
            )
            if not request.as_json:
                mark = f"no   {lacks}" if lacks else f"yes  {note}".rstrip()
                print(f"{one.name:18} {way.name:20} {mark}", flush=True)
    if request.as_json:
        print(json.dumps(rows, indent=1))
    able = {row["cell"] for row in rows if row["runs"]}
    # Without names the command answers a question; a cell that is named is a demand.
    demanded = chosen if request.cells else []
    return 0 if all(one.name in able for one in demanded) else 3
