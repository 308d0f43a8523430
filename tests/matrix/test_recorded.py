"""Test the comparison of what is recorded of two cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matrix.cell import load_cells
from matrix.recorded import describe_differing
from probes import Report
from probes.comparison import compare_reports

from .tables import ID

CELLS = load_cells()


def test_facts_that_differ_are_shown_with_both_answers() -> None:
    one, other = CELLS["freebsd13"], CELLS["debian32"]
    assert describe_differing(one, other, [ID, "signals.wait_status_is_kept"]) == [
        "facts in which freebsd13 differs from debian32: 1 of 1; 1 not answered in both",
        f"  {ID}  yes, there no",
    ]


def test_unsupported_is_an_answer_too_and_informative_facts_may_differ() -> None:
    """By the same rule as `probes diff` and `matrix history`."""
    one, other = CELLS["freebsd13"], CELLS["debian32"]
    first, second = Report.load(one.baseline), Report.load(other.baseline)
    rows = compare_reports([first, second])
    unsupported = [row.id for row in rows if row.differs and not first[row.id].measured]
    informative = [row.id for row in rows if row.informative and len(set(row.answers)) == 2]
    assert unsupported
    assert informative
    lines = describe_differing(one, other, [*unsupported, *informative])
    assert [line.split()[0] for line in lines[1:]] == unsupported


def test_a_cell_without_a_baseline(tmp_path: Path) -> None:
    unknown = replace(CELLS["debian32"], baselines=str(tmp_path))
    assert describe_differing(CELLS["freebsd13"], unknown, [ID]) == [
        "no baseline of debian32 is recorded: its facts are not known"
    ]
