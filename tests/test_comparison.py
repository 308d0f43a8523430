"""diff: which rows differ, and what is shown of each."""

from __future__ import annotations

import pytest

from probes import Fact, Platform, Report
from probes.comparison import letter, rows
from probes.fact import INFORMATIVE, INHERENT, Value

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)


def one(value: Value, scope: str = INHERENT) -> Report:
    return Report(HERE, {"a.b": Fact("a.b", "measured", value, scope)})


@pytest.mark.parametrize(
    ("reports", "differs"),
    [
        ([one(1), one(1)], False),
        ([one(1), one(2)], True),
        ([one(1), one(True)], True),
        ([one(1), one(1), Report(HERE, {})], True),
        ([one(1, INFORMATIVE), one(2, INFORMATIVE)], False),
        ([one(1, INFORMATIVE), one(2, INFORMATIVE), Report(HERE, {})], False),
        # One that calls it informative does not hide that others differ.
        ([one(1, INFORMATIVE), one(2)], True),
        ([one(1), one(2, INFORMATIVE)], True),
    ],
)
def test_what_differs(reports: list[Report], differs: bool) -> None:
    (row,) = rows(reports)
    assert row.differs == differs


def test_reports_have_letters() -> None:
    assert [letter(number) for number in (0, 1, 25, 26, 27, 52, 702)] == [
        "A", "B", "Z", "AA", "AB", "BA", "AAA"
    ]  # fmt: skip
