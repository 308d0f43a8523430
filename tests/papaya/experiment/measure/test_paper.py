"""Test the paper's method."""

from __future__ import annotations

import pytest

from papaya.experiment.measure import paper
from tests.worlds import needs_linux

pytestmark = needs_linux


def test_what_the_paper_saw_of_many_processes() -> None:
    before = dict.fromkeys(range(64), 0)
    after = dict.fromkeys(range(64), 1)
    everything, rows = paper.compute_percents(before, after, 0.5, 100)
    assert everything == pytest.approx(128)
    assert rows == pytest.approx(40)
    # One that ended between two screens is on neither.
    assert paper.compute_percents({1: 5, 2: 5}, {1: 6}, 0.5, 100) == pytest.approx((2, 2))
