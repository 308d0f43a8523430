"""Test lines through values by connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report.output import draw_plots
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_first_look_can_be_drawn(tmp_path: Path, repeats: int) -> None:
    """A subject, a number of connections, a start: no interval, no comparison, no latency."""
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1,), repeats=repeats, seconds=2)
    drawn = draw_plots(Analysis(results.read_run(tmp_path)))
    assert {"cpu", "megabit"} <= {plot.name for plot in drawn}
    for plot in drawn:
        assert "c-epoll" in plot.svg


def test_a_use_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    cost = {"c-processes": 0.0, "c-epoll": 0.4}
    synthetic.folder(tmp_path, cost, connections=(1, 2), repeats=6, seconds=2)
    drawn = {plot.name: plot.svg for plot in draw_plots(Analysis(results.read_run(tmp_path)))}
    assert "c-epoll" in drawn["cpu"]
    assert "c-processes" not in drawn["cpu"]
