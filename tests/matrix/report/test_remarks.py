"""Test what is said below a table."""

from __future__ import annotations

from matrix.report._remarks import list_remarks
from matrix.table import make_table
from probes import Report


def test_only_signs_that_are_in_the_table_are_explained(linux: Report) -> None:
    assert list(list_remarks(make_table([("a", linux)], []), 7)) == ["0 of 7 facts differ"]


def test_each_sign_is_explained_and_what_differs_is_counted(linux: Report, freebsd: Report) -> None:
    reports = [("here", linux), ("bsd", freebsd)]
    table = make_table(reports, ["openbsd", "freebsd"], here=["here"])
    broken = sum(entry.breaks_promise for row in table.rows for entry in row.entries)
    assert broken
    assert list(list_remarks(table, 9)) == [
        "*    measured here",
        "( )  documented, not measured",
        f"!    measured, and not what the platform documents ({broken})",
        "?    unknown",
        f"{sum(row.differs for row in table.rows)} of 9 facts differ",
    ]
