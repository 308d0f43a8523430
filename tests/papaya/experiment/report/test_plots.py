"""The plots: the same each time, no word over another, and readable without colour."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report.curves import Plot
from papaya.experiment.report.output import draw_plots
from papaya.experiment.report.style import (
    render_png,
    render_svg,
)
from papaya.experiment.results import folder as results
from papaya.experiment.subjects import SUBJECTS
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.report.drawn import (
    RECORDED,
)

EVERY = ["cpu", "megabit", "delivery", "ratios", "cv", "time", "latency"]


def test_all_are_there(drawn: list[Plot]) -> None:
    assert [plot.name for plot in drawn] == EVERY
    for plot in drawn:
        assert plot.title
        assert plot.caption.endswith(".")


@pytest.mark.parametrize("name", EVERY)
def test_each_subject_is_named_in_the_plot(drawn: list[Plot], name: str) -> None:
    text = render_svg(next(plot.figure for plot in drawn if plot.name == name))
    for subject in SUBJECTS.values():
        if name in ("latency", "delivery") and subject.work != "chat":
            continue
        assert subject.name in text


def test_the_documentation_shows_what_the_recorded_run_gives(
    made: dict[str, list[Plot]],
) -> None:
    """By the words and numbers in each plot, as another matplotlib may draw another path."""
    shown = {path.stem: path for path in RECORDED.glob("*.svg")}
    assert shown.keys() <= {plot.name for plot in made["recorded"]}
    for plot in made["recorded"]:
        if plot.name in shown:
            committed = re.findall(r">([^<]+)</text>", shown[plot.name].read_text())
            assert committed == re.findall(r">([^<]+)</text>", render_svg(plot.figure)), plot.name
            for look in {*re.findall("#[0-9a-f]{6}", render_svg(plot.figure))}:
                assert look in shown[plot.name].read_text(), plot.name


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4, "papaya-pool": 0.5}
    run = results.read_run(
        synthetic.folder(tmp_path, cost, connections=(1, 8), repeats=5, seconds=5)
    )
    first, again = draw_plots(Analysis(run)), draw_plots(Analysis(run))
    assert len(first) == len(EVERY)
    for one, other in zip(first, again, strict=True):
        text = render_svg(one.figure)
        assert text == render_svg(other.figure)
        assert "<dc:date>" not in text
        assert render_png(one.figure) == render_png(other.figure)
        # Nor does it matter what was drawn before.
        assert text == render_svg(one.figure)
