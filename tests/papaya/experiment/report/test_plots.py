"""The plots: the same each time, no word over another, and readable without colour."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from papaya.experiment.report.curves import Plot
from papaya.experiment.report.style import render_svg
from papaya.experiment.subjects import SUBJECTS
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
    text = next(plot.svg for plot in drawn if plot.name == name)
    for subject in SUBJECTS.values():
        if name in ("latency", "delivery") and subject.work != "chat":
            continue
        assert subject.name in text


def test_the_documentation_shows_what_the_recorded_run_gives(
    plots_of: Callable[[str], list[Plot]],
) -> None:
    """By the words and numbers in each plot, as another matplotlib may draw another path."""
    shown = {path.stem: path for path in RECORDED.glob("*.svg")}
    assert shown.keys() <= {plot.name for plot in plots_of("recorded")}
    for plot in plots_of("recorded"):
        if plot.name in shown:
            committed = re.findall(r">([^<]+)</text>", shown[plot.name].read_text())
            assert committed == re.findall(r">([^<]+)</text>", plot.svg), plot.name
            for look in {*re.findall("#[0-9a-f]{6}", plot.svg)}:
                assert look in shown[plot.name].read_text(), plot.name


def test_it_does_not_matter_what_was_drawn_before(drawn: list[Plot]) -> None:
    for plot in drawn:
        assert render_svg(plot.figure) == plot.svg
