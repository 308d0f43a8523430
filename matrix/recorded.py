"""Compare what is recorded of two cells."""

from __future__ import annotations

import os
from collections.abc import Collection

from probes import Report
from probes.comparison import compare_reports

from .cell import Cell


def describe_differing(cell: Cell, other: Cell, ids: Collection[str]) -> list[str]:
    """Return lines with those of the facts in which the baselines of two cells differ.

    Facts that are not answered in both are left out, and counted.  Raise ReportError if a baseline
    cannot be read.
    """
    for each in (cell, other):
        if not os.path.exists(each.baseline):
            return [f"no baseline of {each.name} is recorded: its facts are not known"]
    both = compare_reports([Report.load(cell.baseline), Report.load(other.baseline)])
    known = [row for row in both if row.id in ids and len(row.answered) == 2]
    rows = [(row.id, *row.answers) for row in known if row.differs]
    unknown = f"; {len(ids) - len(known)} not answered in both" if len(known) < len(ids) else ""
    lines = [
        f"facts in which {cell.name} differs from {other.name}: "
        f"{len(rows)} of {len(known)}{unknown}"
    ]
    width = max((len(id) for id, _, _ in rows), default=0)
    return lines + [f"  {id.ljust(width)}  {mine}, there {theirs}" for id, mine, theirs in rows]
