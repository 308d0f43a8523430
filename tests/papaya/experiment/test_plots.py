"""The plots: the same each time, no word over another, and readable without colour."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from papaya.experiment import results
from papaya.experiment.analysis import Analysis
from papaya.experiment.curves import Plot
from papaya.experiment.plots import plots
from papaya.experiment.style import COLOURS, INK, PAPER, apart, looks, png, svg
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.synthetic import COST, SUBJECTS

EVERY = ["cpu", "megabit", "delivery", "ratios", "cv", "time", "latency"]
DARK = "#14171b"
# Costs so close to each other that their names would lie upon each other.
CLOSE = {name: 1 + 0.001 * at for at, name in enumerate(COST)}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = synthetic.folder(
        tmp_path_factory.mktemp("run"), CLOSE, connections=(1, 8, 64), repeats=5, seconds=4,
        paper=True, refuse={("python-threads", 64): "too slow"},
    )  # fmt: skip
    return Analysis(results.read(folder))


@pytest.fixture(scope="module")
def drawn(analysis: Analysis) -> list[Plot]:
    return plots(analysis)


def test_all_are_there(drawn: list[Plot]) -> None:
    assert [plot.name for plot in drawn] == EVERY
    for plot in drawn:
        assert plot.title
        assert plot.caption.endswith(".")


@pytest.mark.parametrize("name", EVERY)
def test_no_word_lies_over_another_or_off_the_paper(
    drawn: list[Plot], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[tuple[str, Bbox]] = []
    draw = Text.draw

    def noted(self: Text, renderer: Any, *more: Any) -> None:
        if self.get_text().strip():
            words.append((self.get_text(), Text.get_window_extent(self, renderer)))
        draw(self, renderer, *more)

    monkeypatch.setattr(Text, "draw", noted)
    figure = next(plot.figure for plot in drawn if plot.name == name)
    png(figure)
    assert len(words) > 10
    # In the pixels of the file, of which 150 are an inch.
    width, height = (150 * inches for inches in figure.get_size_inches())
    for text, box in words:
        assert min(box.x0, box.y0) >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (one, first), (other, second) in itertools.combinations(words, 2):
        over = min(first.x1, second.x1) - max(first.x0, second.x0)
        above = min(first.y1, second.y1) - max(first.y0, second.y0)
        # A box has a little air, that of lines below each other may touch.
        assert over <= 2 or above <= 3, f"{one!r} and {other!r}"


@pytest.mark.parametrize("name", EVERY)
def test_each_subject_is_named_in_the_plot(drawn: list[Plot], name: str) -> None:
    text = svg(next(plot.figure for plot in drawn if plot.name == name))
    for subject in SUBJECTS.values():
        if name in ("latency", "delivery") and subject.work != "chat":
            continue
        assert subject.name in text


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4, "papaya-pool": 0.5}
    run = results.read(synthetic.folder(tmp_path, cost, connections=(1, 8), repeats=5, seconds=2))
    first, again = plots(Analysis(run)), plots(Analysis(run))
    assert len(first) == len(EVERY)
    for one, other in zip(first, again, strict=True):
        text = svg(one.figure)
        assert text == svg(other.figure)
        assert "<dc:date>" not in text
        assert png(one.figure) == png(other.figure)
        # Nor does it matter what was drawn before.
        assert text == svg(one.figure)


def test_a_png_is_large_enough_for_print(drawn: list[Plot]) -> None:
    for plot in drawn:
        data = png(plot.figure)
        assert data.startswith(b"\x89PNG")
        width, _ = struct.unpack(">II", data[16:24])
        assert width >= 1100


def test_no_subject_looks_like_another() -> None:
    """By colour and mark; and where they share the colour, by the mark alone."""
    found = looks([*SUBJECTS.values()])
    assert len({(look.colour, look.mark) for look in found.values()}) == len(SUBJECTS)
    for one, other in itertools.combinations(SUBJECTS.values(), 2):
        same = found[one.name].colour == found[other.name].colour
        assert same == (one.paradigm == other.paradigm)
    assert {name for name, look in found.items() if look.original} == {
        "c-processes-original", "go-goroutines-original",
    }  # fmt: skip


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", COLOURS.values())
@pytest.mark.parametrize("ground", [PAPER, DARK])
def test_a_line_stands_out_from_its_ground(colour: str, ground: str) -> None:
    """3 to 1 (WCAG 2.2, 1.4.11); ink becomes the theme's in the page."""
    if (colour, ground) == (INK, DARK):
        colour = "#e8eaed"
    dark, light = sorted([luminance(colour), luminance(ground)])
    assert (light + 0.05) / (dark + 0.05) >= 3


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 1.5)), st.floats(0.001, 0.3))
def test_names_keep_apart(wanted: list[float], gap: float) -> None:
    wanted.sort()
    places = apart(wanted, gap)
    assert len(places) == len(wanted)
    for below, above in itertools.pairwise(places):
        assert above - below >= gap * (1 - 1e-9) - 1e-9
    if places and len(places) * gap <= 1:
        assert places[-1] <= 1 + 1e-9


def test_names_that_are_apart_stay_where_they_are() -> None:
    assert apart([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_first_look_can_be_drawn(tmp_path: Path, repeats: int) -> None:
    """A subject, a number of connections, a start: no interval, no comparison, no latency."""
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1,), repeats=repeats, seconds=2)
    drawn = plots(Analysis(results.read(tmp_path)))
    assert {"cpu", "megabit", "cv", "time"} <= {plot.name for plot in drawn}
    for plot in drawn:
        assert "c-epoll" in svg(plot.figure)
    assert "the starts were fewer than 5" in drawn[0].caption


def test_a_use_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    cost = {"c-processes": 0.0, "c-epoll": 0.4}
    synthetic.folder(tmp_path, cost, connections=(1, 2), repeats=6, seconds=2)
    drawn = {plot.name: svg(plot.figure) for plot in plots(Analysis(results.read(tmp_path)))}
    assert "c-epoll" in drawn["cpu"]
    assert "c-processes" not in drawn["cpu"]
