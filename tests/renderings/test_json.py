"""json: what is printed is what is saved and read."""

from __future__ import annotations

from hypothesis import given

from probes import Report
from probes.renderings import render
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, reports


@lightly
@given(reports)
def test_it_is_the_report(report: Report) -> None:
    text = render("json", report, {})
    assert text == report.dumps()
    assert Report.loads(text).dumps() == text


def test_keys_are_sorted() -> None:
    lines = render("json", SAMPLE, PROBES).splitlines()
    top = [line.split('"')[1] for line in lines if line.startswith(' "')]
    assert top == ["environment", "facts", "measured_at", "schema", "seconds"]
