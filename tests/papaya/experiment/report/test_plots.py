"""The plots: the same each time, no word over another, and readable without colour."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from papaya.commands.experiment import DEFAULT_CONNECTIONS, QUICK
from papaya.experiment.analysis.verdicts import FEWEST_WINDOWS, Analysis
from papaya.experiment.report import page
from papaya.experiment.report.curves import Plot
from papaya.experiment.report.layout import arrange_panels
from papaya.experiment.report.output import draw_plots
from papaya.experiment.report.style import (
    COLOURS,
    INK,
    PAPER,
    choose_looks,
    render_png,
    render_svg,
    spread_apart,
)
from papaya.experiment.results import folder as results
from papaya.experiment.subjects import SUBJECTS
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.synthetic import COST
from tests.worlds import ROOT

EVERY = ["cpu", "megabit", "delivery", "ratios", "cv", "time", "latency"]
RECORDED = Path(ROOT) / "docs" / "experiment"
# Costs so close to each other that their names would lie upon each other.
CLOSE = {name: 1 + 0.001 * at for at, name in enumerate(COST)}
# Costs so far from each other that ticks have many digits, and are many.
FAR = {name: 10.0 ** (at - 3) for at, name in enumerate([*COST][:3] + [*COST][-4:])}


def counts(text: object) -> tuple[int, ...]:
    return tuple(int(count) for count in str(text).split(","))


QUICK_COUNTS = counts(QUICK.connections)
SHORT: dict[str, Any] = {"repeats": QUICK.repeats, "seconds": QUICK.seconds}
RUNS: dict[str, dict[str, Any]] = {
    "close": {
        "cost": CLOSE, "connections": (1, 8, 64), "repeats": 5, "seconds": 5,
        "refuse": {("python-threads", 64): "too slow"},
    },
    "far": {"cost": FAR, "connections": counts(DEFAULT_CONNECTIONS), "repeats": 5, "seconds": 5},
    "large": {"cost": CLOSE, "connections": (1000, 1100, 10000), "repeats": 5, "seconds": 20},
    "quick": {"cost": COST, "connections": QUICK_COUNTS, "paper": False, **SHORT},
    "alone": {"cost": {"c-epoll": 0.4}, "connections": (1,), "repeats": 5, "seconds": 5},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Plot]]:
    """Return the plots of each run, and of the recorded one in the manual."""
    folders = {
        name: synthetic.folder(tmp_path_factory.mktemp(name), **{"paper": True, **options})
        for name, options in RUNS.items()
    }
    folders["recorded"] = RECORDED
    return {
        name: draw_plots(Analysis(results.read_run(folder))) for name, folder in folders.items()
    }


@pytest.fixture(scope="module")
def drawn(made: dict[str, list[Plot]]) -> list[Plot]:
    return made["close"]


every_run = pytest.mark.parametrize("run", [*RUNS, "recorded"])


def test_all_are_there(drawn: list[Plot]) -> None:
    assert [plot.name for plot in drawn] == EVERY
    for plot in drawn:
        assert plot.title
        assert plot.caption.endswith(".")


def words(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Bbox]]:
    """Return each text that is drawn in the PNG, with its box in the file's pixels."""
    found: list[tuple[str, Bbox]] = []
    draw = Text.draw

    def noted(self: Text, renderer: Any, *more: Any) -> None:
        if self.get_text().strip() and self.get_visible():
            found.append((self.get_text(), Text.get_window_extent(self, renderer)))
        draw(self, renderer, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", noted)
        render_png(figure)
    return found


@every_run
def test_no_word_lies_over_another_or_off_the_paper(
    made: dict[str, list[Plot]], run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plot in made[run]:
        shown = words(plot.figure, monkeypatch)
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
    made: dict[str, list[Plot]], run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last tick of a panel does not run into the first of the next: 1.00 into 0.00."""
    for plot in made[run]:
        numbers = [
            (text, box)
            for text, box in words(plot.figure, monkeypatch)
            if re.fullmatch(r"[\d.,]+", text)
        ]
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
    made: dict[str, list[Plot]], run: str
) -> None:
    for plot in made[run]:
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


@pytest.mark.parametrize("windows", [FEWEST_WINDOWS - 1, FEWEST_WINDOWS])
def test_nothing_is_plotted_of_fewer_than_ten_windows(tmp_path: Path, windows: int) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4}
    synthetic.folder(tmp_path, cost, connections=(1, 8), repeats=5, seconds=windows / 2)
    names = {plot.name for plot in draw_plots(Analysis(results.read_run(tmp_path)))}
    assert names & {"cv", "time"} == ({"cv", "time"} if windows >= FEWEST_WINDOWS else set())


def test_a_quick_run_has_no_plot_of_windows(made: dict[str, list[Plot]]) -> None:
    names = [plot.name for plot in made["quick"]]
    assert names == ["cpu", "megabit", "delivery", "ratios", "latency"]


def series(axes: Any) -> Iterator[Line2D]:
    """Find the lines with marks of subjects: not grid, whiskers, A/A, the paper's crosses."""
    for line in axes.get_lines():
        if line.get_marker() in ("o", "s", "^", "D"):
            yield line


@every_run
def test_no_two_series_look_the_same(made: dict[str, list[Plot]], run: str) -> None:
    for plot in made[run]:
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


def test_a_png_is_large_enough_for_print(drawn: list[Plot]) -> None:
    for plot in drawn:
        data = render_png(plot.figure)
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
def test_a_file_brings_its_white_ground(made: dict[str, list[Plot]], run: str) -> None:
    """Its ink is dark, so that on a dark page it could not be read without."""
    for plot in made[run]:
        first = re.search(r'<path d="([^"]*)"\s+style="fill: (#\w+)', render_svg(plot.figure))
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


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_first_look_can_be_drawn(tmp_path: Path, repeats: int) -> None:
    """A subject, a number of connections, a start: no interval, no comparison, no latency."""
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1,), repeats=repeats, seconds=2)
    drawn = draw_plots(Analysis(results.read_run(tmp_path)))
    assert {"cpu", "megabit"} <= {plot.name for plot in drawn}
    for plot in drawn:
        assert "c-epoll" in render_svg(plot.figure)


def test_a_use_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    cost = {"c-processes": 0.0, "c-epoll": 0.4}
    synthetic.folder(tmp_path, cost, connections=(1, 2), repeats=6, seconds=2)
    drawn = {
        plot.name: render_svg(plot.figure)
        for plot in draw_plots(Analysis(results.read_run(tmp_path)))
    }
    assert "c-epoll" in drawn["cpu"]
    assert "c-processes" not in drawn["cpu"]
