"""Test the plots of variation and of use over time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from papaya.experiment.analysis.verdicts import FEWEST_WINDOWS, Analysis
from papaya.experiment.report.curves import Plot
from papaya.experiment.report.output import draw_plots
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic


@pytest.mark.parametrize("windows", [FEWEST_WINDOWS - 1, FEWEST_WINDOWS])
def test_nothing_is_plotted_of_fewer_than_ten_windows(tmp_path: Path, windows: int) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4}
    synthetic.folder(tmp_path, cost, connections=(1, 8), repeats=5, seconds=windows / 2)
    names = {plot.name for plot in draw_plots(Analysis(results.read_run(tmp_path)))}
    assert names & {"cv", "time"} == ({"cv", "time"} if windows >= FEWEST_WINDOWS else set())


def test_a_quick_run_has_no_plot_of_windows(plots_of: Callable[[str], list[Plot]]) -> None:
    names = [plot.name for plot in plots_of("quick")]
    assert names == ["cpu", "megabit", "delivery", "ratios", "latency"]
