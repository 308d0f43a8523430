"""Test how panels and labels are placed."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from papaya.experiment.report.curves import Plot
from papaya.experiment.report.layout import arrange_panels
from papaya.experiment.report.style import (
    render_png,
)
from tests.papaya.experiment.report.drawn import (
    every_run,
)


@functools.cache
def words(plot: Plot) -> list[tuple[str, Bbox]]:
    """Return each text that is drawn in the PNG, with its box in the file's pixels."""
    found: list[tuple[str, Bbox]] = []
    draw = Text.draw

    def noted(self: Text, renderer: Any, *more: Any) -> None:
        if self.get_text().strip() and self.get_visible():
            found.append((self.get_text(), Text.get_window_extent(self, renderer)))
        draw(self, renderer, *more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Text, "draw", noted)
        render_png(plot.figure)
    return found


@every_run
def test_no_word_lies_over_another_or_off_the_paper(
    plots_of: Callable[[str], list[Plot]], run: str
) -> None:
    for plot in plots_of(run):
        shown = words(plot)
        assert len(shown) >= 5
        # In the pixels of the file, of which 150 are an inch.
        width, height = (150 * inches for inches in plot.figure.get_size_inches())
        for text, box in shown:
            assert min(box.x0, box.y0) >= 0, (plot.name, text)
            assert box.x1 <= width, (plot.name, text)
            assert box.y1 <= height, (plot.name, text)
        for (one, first), (other, second) in itertools.combinations(shown, 2):
            over = min(first.x1, second.x1) - max(first.x0, second.x0)
            above = min(first.y1, second.y1) - max(first.y0, second.y0)
            # A box has a little air, that of lines below each other may touch.
            assert over <= 0 or above <= 3, f"{plot.name}: {one!r} and {other!r}"


@every_run
def test_numbers_at_one_height_have_room_between_them(
    plots_of: Callable[[str], list[Plot]], run: str
) -> None:
    """The last tick of a panel does not run into the first of the next: 1.00 into 0.00."""
    for plot in plots_of(run):
        numbers = [(text, box) for text, box in words(plot) if re.fullmatch(r"[\d.,]+", text)]
        for (one, first), (other, second) in itertools.permutations(numbers, 2):
            if abs(first.y0 - second.y0) < 3 and first.x0 < second.x0:
                # A fifth of a digit's width at least.
                assert second.x0 - first.x1 > 2, f"{plot.name}: {one!r} and {other!r}"


def axes_by_rows(figure: Figure) -> list[list[Any]]:
    """Return the panels from the top, each row from the left."""
    rows: dict[float, list[Any]] = {}
    for axes in figure.axes:
        rows.setdefault(round(axes.get_position().y0, 4), []).append(axes)
    return [
        sorted(rows[place], key=lambda axes: axes.get_position().x0)
        for place in sorted(rows, reverse=True)
    ]


@every_run
def test_no_panel_stands_alone_and_each_column_ends_with_its_label(
    plots_of: Callable[[str], list[Plot]], run: str
) -> None:
    for plot in plots_of(run):
        if plot.name not in ("cv", "time", "latency"):
            continue
        rows = axes_by_rows(plot.figure)
        lengths = [len(row) for row in rows]
        assert len(rows) == 1 or min(lengths) > 1
        assert max(lengths) - min(lengths) <= 1
        for row, beneath in zip(rows, [*lengths[1:], 0], strict=True):
            for at, axes in enumerate(row):
                assert bool(axes.get_xlabel()) == (at >= beneath)
        # What all share names none of the axes, so that it cannot stand under an empty place.
        assert [text.get_text() for text in plot.figure.texts] == [
            {"cv": "coefficient of variation", "time": "percent of a core"}.get(
                plot.name, "milliseconds"
            )
        ]


def test_seven_panels_are_four_and_three() -> None:
    assert arrange_panels(7, 10) == [4, 3]
    assert arrange_panels(7, 30) == [3, 2, 2]
    assert arrange_panels(1, 10) == [1]


@given(st.integers(1, 60), st.integers(1, 40))
def test_rows_are_even(count: int, longest: int) -> None:
    rows = arrange_panels(count, longest)
    assert sum(rows) == count
    assert max(rows) <= 4
    assert len(rows) == 1 or min(rows) > 1
    assert max(rows) - min(rows) <= 1
    assert rows == sorted(rows, reverse=True)
