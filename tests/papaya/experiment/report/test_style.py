"""Test colours, marks, labels and files of the plots."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.lines import Line2D

from papaya.experiment.report import page
from papaya.experiment.report.curves import Plot
from papaya.experiment.report.style import (
    COLOURS,
    INK,
    PAPER,
    choose_looks,
    spread_apart,
)
from papaya.experiment.subjects import SUBJECTS
from tests.papaya.experiment.report.drawn import (
    every_run,
)


def series(axes: Any) -> Iterator[Line2D]:
    """Find the lines with marks of subjects: not grid, whiskers, A/A, the paper's crosses."""
    for line in axes.get_lines():
        if line.get_marker() in ("o", "s", "^", "D"):
            yield line


@every_run
def test_no_two_series_look_the_same(plots_of: Callable[[str], list[Plot]], run: str) -> None:
    for plot in plots_of(run):
        for axes in plot.figure.axes:
            found = [
                (
                    line.get_color(), line.get_marker(), line.get_fillstyle(),
                    line.get_markerfacecolor(), str(line.get_linestyle()),
                )
                for line in series(axes)
            ]  # fmt: skip
            assert len(set(found)) == len(found), plot.name
            # Neither are two of one colour, mark and filling, as ratios have no lines.
            assert len({look[:4] for look in found}) == len(found), plot.name


def test_each_paradigm_has_its_colour_and_each_language_its_mark() -> None:
    found = choose_looks([*SUBJECTS.values()])
    assert len({*found.values()}) == len(SUBJECTS)
    for one, other in itertools.combinations(SUBJECTS.values(), 2):
        first, second = found[one.name], found[other.name]
        assert (first.colour == second.colour) == (one.paradigm == other.paradigm)
        assert (first.mark == second.mark) == (one.language == other.language)
    hollow = {name for name, look in found.items() if look.filling == "none"}
    assert hollow == {"c-processes-original", "go-goroutines-original"}


def test_a_png_is_large_enough_for_print(folder: Path) -> None:
    files = [*folder.glob("plots/*.png")]
    assert files
    for path in files:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        width, _ = struct.unpack(">II", data[16:24])
        assert width >= 1100


def theme(dark: bool) -> dict[str, str]:
    """Return the page's colours by the names of their variables."""
    light, _, rest = (page.FOLDER / "page.css").read_text().partition("@media")
    return dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", rest if dark else light))


both = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


def linear(colour: str) -> Any:
    """Return red, green and blue in linear light (WCAG 2.2)."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(light: Any) -> Any:
    """Return the place of a colour in CIE L*a*b*, in which a step of 2.3 is just seen."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ np.clip(light, 0.01, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), at severity 1.
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                 [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@both
@pytest.mark.parametrize("seen", SEEN)
def test_the_colour_blind_tell_the_paradigms_apart(seen: str, dark: bool) -> None:
    colours = [theme(dark)[name] for name in (*COLOURS, "text")]
    for one, other in itertools.combinations(colours, 2):
        first, second = (lab(np.array(SEEN[seen]) @ linear(colour)) for colour in (one, other))
        assert np.linalg.norm(first - second) > 25, (one, other)


@both
def test_a_line_stands_out_from_its_ground(dark: bool) -> None:
    """By 3 to 1 (WCAG 2.2, 1.4.11), and text by 4.5 to 1 (1.4.3)."""
    found = theme(dark)
    for name in COLOURS:
        assert contrast(found[name], found["page"]) >= 3, name
    for name in ("text", "faint"):
        assert contrast(found[name], found["page"]) >= 4.5, name


def test_the_light_page_has_the_colours_of_the_files() -> None:
    found = theme(dark=False)
    assert {name: found[name] for name in COLOURS} == COLOURS
    assert (found["page"], found["text"]) == (PAPER, INK)


@every_run
def test_a_file_brings_its_white_ground(plots_of: Callable[[str], list[Plot]], run: str) -> None:
    """Its ink is dark, so that on a dark page it could not be read without."""
    for plot in plots_of(run):
        first = re.search(r'<path d="([^"]*)"\s+style="fill: (#\w+)', plot.svg)
        assert first
        width, height = (72 * inches for inches in plot.figure.get_size_inches())
        places = [float(number) for number in re.findall(r"[\d.]+", first[1])]
        assert first[2] == PAPER
        assert max(places[0::2]) == pytest.approx(width)
        assert max(places[1::2]) == pytest.approx(height)
        assert plot.figure.get_facecolor() == (1, 1, 1, 1)


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 1.5)), st.floats(0.001, 0.3))
def test_names_keep_apart(wanted: list[float], gap: float) -> None:
    wanted.sort()
    places = spread_apart(wanted, gap)
    assert len(places) == len(wanted)
    for below, above in itertools.pairwise(places):
        assert above - below >= gap * (1 - 1e-9) - 1e-9
    if places and len(places) * gap <= 1:
        assert places[-1] <= 1 + 1e-9


def test_names_that_are_apart_stay_where_they_are() -> None:
    assert spread_apart([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread_apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
