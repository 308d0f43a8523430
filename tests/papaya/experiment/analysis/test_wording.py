"""Test numbers, intervals and counts as text."""

from __future__ import annotations

import pytest

from papaya.experiment.analysis.statistics import Interval
from papaya.experiment.analysis.wording import format_interval, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.01234, "0.0123"), (2.1, "2.10"), (9.999, "10.0"), (99.96, "100"),
        (123.4, "123"), (12345, "12,345"), (0.000012, "1.2e-05"), (None, "-"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_an_interval_is_told_with_its_ends() -> None:
    assert format_interval(Interval(2, 1.5, 2.5), " times") == "2.00 times (1.50 to 2.50)"
    assert format_interval(Interval(2)) == "2.00"
    assert format_interval(None) == "-"
