"""Test the comparison of what is recorded of two cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matrix.cell import load_cells
from matrix.recorded import describe_differing

from .tables import ID

CELLS = load_cells()


def test_facts_that_differ_are_shown_with_both_answers() -> None:
    one, other = CELLS["freebsd13"], CELLS["debian32"]
    assert describe_differing(one, other, [ID, "signals.wait_status_is_kept"]) == [
        "facts in which freebsd13 differs from debian32: 1 of 1; 1 not measured in both",
        f"  {ID}  yes, there no",
    ]


def test_a_cell_without_a_baseline(tmp_path: Path) -> None:
    unknown = replace(CELLS["debian32"], baselines=str(tmp_path))
    assert describe_differing(CELLS["freebsd13"], unknown, [ID]) == [
        "no baseline of debian32 is recorded: its facts are not known"
    ]
