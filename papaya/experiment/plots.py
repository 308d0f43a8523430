"""The plots of a run: figures of matplotlib, with what they show in words.

Whiskers are 95 % intervals; where there are none, the starts were too few for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .analysis import CPU, Analysis, Group, plural, told
from .results import CHAT
from .statistics import FEWEST, Interval
from .style import (
    FAINT,
    GRID,
    INK,
    RC,
    Label,
    Look,
    connections_axis,
    label,
    log_axis,
    looks,
)  # fmt: skip

WIDTH = 7.4
"""Inches of a figure: a page in print."""
STARTS = 3
"""How many starts are drawn over time."""
Curve = dict[int, Interval]
"""A value by connections."""


@dataclass(frozen=True)
class Plot:
    """A figure; the file's name, the title above it, and in words what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure


def plots(analysis: Analysis) -> list[Plot]:
    """All that the run supports."""
    with rc_context(RC):
        found = [
            by_connections(analysis, "cpu", "Use of CPU by connections", "percent of a core", CPU),
            by_connections(
                analysis, "megabit", "CPU by megabit", "µs of CPU a megabit", "us_per_mbit"
            ),
            by_connections(
                analysis, "delivery", "CPU by delivery", "µs of CPU a delivery", "us_per_delivery"
            ),
            ratios(analysis),
            variation(analysis),
            over_time(analysis),
            latency(analysis),
        ]
    return [plot for plot in found if plot]


def by_connections(
    analysis: Analysis, name: str, title: str, unit: str, column: str
) -> Plot | None:
    """A panel for each group, a line for each subject; both axes logarithmic."""
    styles = looks(analysis.subjects)
    panels = []
    for group in analysis.groups:
        curves = {s.name: _curve(analysis, s.name, column) for s in group.subjects}
        curves = {subject: curve for subject, curve in curves.items() if curve}
        if curves:
            panels.append((group, curves))
    if not panels:
        return None
    heights = [max(2.6, 0.2 * len(curves) + 0.6) for _, curves in panels]
    figure, axes = _stacked(heights, right=1.75)
    for (group, curves), each, height in zip(panels, axes, heights, strict=True):
        each.set_title(group.title)
        each.set_ylabel(unit)
        connections_axis(each, analysis.connections)
        _lines(each, curves, styles, height)
    return Plot(
        name,
        title,
        f"Mean over starts in {unit}, with its 95 % interval, by the number of connections; both "
        "axes logarithmic. Colour tells the paradigm; hollow and dashed is the paper's own, "
        f"unequal work. {_few(panels)}{_ends(panels)}",
        figure,
    )


def ratios(analysis: Analysis) -> Plot | None:
    """Every subject by the first of its group at the most connections, and the A/A cells."""
    styles = looks(analysis.subjects)
    panels: list[tuple[Group, list[tuple[str, Interval, Look | None]]]] = []
    for group in analysis.groups:
        rows: list[tuple[str, Interval, Look | None]] = [
            (f"{name}, {found.connections}", found.ratio, styles[name])
            for name, found in analysis.last(group).items()
            if found.ratio
        ]
        rows.sort(key=lambda row: row[1].value)
        names = {subject.name for subject in group.subjects}
        rows += [
            (f"A/A: {twin.subject}, {twin.connections}", twin.ratio, None)
            for twin in analysis.twins
            if twin.ratio and twin.subject in names
        ]
        if rows:
            panels.append((group, rows))
    if not panels:
        return None
    figure, axes = _stacked([0.23 * len(rows) + 0.05 for _, rows in panels], right=1.5, left=2.2)
    for (group, rows), each in zip(panels, axes, strict=True):
        each.set_title(group.title)
        each.set_xlabel(f"times the CPU of {group.subjects[0].name}")
        ends = [end for _, ratio, _ in rows for end in (ratio.value, ratio.low, ratio.high) if end]
        log_axis(each.xaxis, min(*ends, 1), max(*ends, 1))
        each.set_ylim(len(rows) - 0.4, -0.6)
        each.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        each.tick_params(axis="y", length=0)
        each.axvline(1, color=INK, linewidth=0.9)
        for at, (_, ratio, look) in enumerate(rows):
            style = (look or Look(FAINT, "|", False)).line | {"linestyle": "none", "markersize": 4}
            _whisker(each, ratio, at, style["color"])
            each.plot([ratio.value], [at], **style)
            each.annotate(
                told(ratio), (1.03, at), xycoords=("axes fraction", "data"), va="center",
                annotation_clip=False,
            )  # fmt: skip
    return Plot(
        "ratios",
        "Use of CPU by that of another",
        "Ratio of the means at the number of connections beside the name, with its 95 % interval, "
        "on a logarithmic axis; the line at 1 is no difference, and A/A is a subject by itself.",
        figure,
    )


def variation(analysis: Analysis) -> Plot | None:
    """A panel for each subject: exact Cv, the tick clock's noise, and what the paper's said."""
    styles = looks(analysis.subjects)
    curves: dict[str, Curve] = {}
    for subject in analysis.subjects:
        found = {n: analysis.cv(subject.name, n) for n in analysis.connections}
        curves[subject.name] = {n: cv for n, cv in found.items() if cv and cv.value > 0}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    floors = {name: _floor(analysis, name, curve) for name, curve in curves.items()}
    papers = {name: _paper(analysis, name, curve) for name, curve in curves.items()}
    figure, axes = _grid(len(curves))
    low, high = _range([*curves.values()])
    others = [value for each in (floors, papers) for line in each.values() for value in line[1]]
    for (name, curve), each in zip(curves.items(), axes, strict=True):
        each.set_title(name)
        connections_axis(each, analysis.connections)
        each.set_xlabel("")
        log_axis(each.yaxis, min([low, *others]), max([high, *others]))
        bottom = each.get_ylim()[0]
        each.fill_between(*floors[name], bottom, color=GRID, alpha=0.55, linewidth=0)
        each.plot(*floors[name], color=FAINT, linewidth=0.9, linestyle=":")
        each.plot(*papers[name], color=FAINT, marker="x", markersize=4.5, linewidth=0, zorder=3)
        _lines(each, {name: curve}, styles, None)
    _shared(figure, axes, "connections", "coefficient of variation")
    keys = [
        Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.4, label="exact windows"),
        Line2D([], [], color=FAINT, linewidth=0.9, linestyle=":", label="noise of a tick clock"),
    ]
    if any(line[0] for line in papers.values()):
        keys.append(
            Line2D([], [], color=FAINT, marker="x", markersize=4.5, linewidth=0,
                   label="the paper's method")
        )  # fmt: skip
    _legend(figure, keys)
    clock, window = analysis.run.description.accounting.clock_hz, analysis.design.window
    return Plot(
        "cv",
        "How much the use of CPU varies within a start",
        f"Coefficient of variation of exact windows of {window:g} s by the number of connections, "
        f"with its 95 % interval. The shade is what a clock of {clock} Hz shows of a use that does "
        "not vary at all: what lies in it, such a clock cannot see.",
        figure,
    )


def over_time(analysis: Analysis) -> Plot | None:
    """A panel for each subject at its most connections."""
    styles = looks(analysis.subjects)
    last = {
        subject: count
        for group in analysis.groups
        for subject, count in analysis.measured(group)
        if analysis.windows(subject.name, count)
    }
    if not last:
        return None
    figure, axes = _grid(len(last))
    paper = False
    for (subject, count), each in zip(last.items(), axes, strict=True):
        starts = analysis.windows(subject.name, count)[:STARTS]
        each.set_title(f"{subject.name}, {count}")
        samples = [(w.at, w.paper_percent) for w in starts[0] if w.paper_percent is not None]
        if samples:
            paper = True
            each.plot(*zip(*samples, strict=True), color=FAINT, linewidth=0.6, alpha=0.7)
        for start, alpha in zip(starts, (1, 0.6, 0.35), strict=False):
            each.plot(
                [window.at for window in start], [window.exact_percent for window in start],
                color=styles[subject.name].colour, linewidth=1, alpha=alpha,
            )  # fmt: skip
        each.set_ylim(bottom=0)
        each.set_xlim(left=0)
    _shared(figure, axes, "seconds", "percent of a core")
    if paper:
        _legend(figure, [
            Line2D([], [], color=INK, linewidth=1, label="exact windows"),
            Line2D([], [], color=FAINT, linewidth=0.6, label="the paper's method, first start"),
        ])  # fmt: skip
    return Plot(
        "time",
        "Use of CPU over time",
        f"At the number of connections beside the name, of the first {plural(STARTS)} at most, "
        "later ones paler; each panel has its own scale, from 0.",
        figure,
    )


def latency(analysis: Analysis) -> Plot | None:
    """A panel for each percentile, a line for each chat."""
    styles = looks(analysis.subjects)
    chats = [subject.name for subject in analysis.subjects if subject.work == CHAT]
    columns = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "largest": "max_ms"}
    panels = {}
    for title, column in columns.items():
        curves = {name: _curve(analysis, name, column) for name in chats}
        if curves := {name: curve for name, curve in curves.items() if curve}:
            panels[title] = curves
    if not panels:
        return None
    height = max(1.9, 0.2 * len(chats))
    figure, axes = _grid(len(panels), columns=2, height=height, right=1.35, head=0)
    low, high = _range([curve for curves in panels.values() for curve in curves.values()])
    for (title, curves), each in zip(panels.items(), axes, strict=True):
        each.set_title(title)
        connections_axis(each, analysis.connections)
        each.set_xlabel("")
        _lines(each, curves, styles, height, (low, high))
    _shared(figure, axes, "connections", "milliseconds")
    return Plot(
        "latency",
        "Latency of the chat",
        "Milliseconds from the moment a message was due to be sent until it was delivered, by the "
        "number of connections, both axes logarithmic; mean over starts of each percentile, and "
        "its 95 % interval.",
        figure,
    )


# What they share ------------------------------------------------------------------------------


def _curve(analysis: Analysis, subject: str, column: str) -> Curve:
    found = {n: analysis.interval(subject, n, column) for n in analysis.connections}
    return {count: each for count, each in found.items() if each and each.value > 0}


def _lines(
    axes: Axes,
    curves: dict[str, Curve],
    styles: dict[str, Look],
    height: float | None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Lines with whiskers; with names beside them where the axes' height is given."""
    if height:
        log_axis(axes.yaxis, *(limits or _range([*curves.values()])))
    for at, (name, curve) in enumerate(curves.items()):
        # A little apart, so that whiskers do not hide each other.
        shift = 1.1 ** (at / (len(curves) - 1) - 0.5) if len(curves) > 1 else 1
        places = [count * shift for count in curve]
        style = styles[name].line
        for place, each in zip(places, curve.values(), strict=True):
            if each.low is not None and each.high is not None:
                axes.plot([place] * 2, [each.low, each.high], color=style["color"], linewidth=2.6,
                          alpha=0.45, solid_capstyle="butt")  # fmt: skip
        axes.plot(places, [each.value for each in curve.values()], **style)
    if height:
        ends = [(name, max(curve)) for name, curve in curves.items()]
        label(axes, [Label(n, at, curves[n][at].value, styles[n]) for n, at in ends], height)


def _whisker(axes: Axes, ratio: Interval, at: float, colour: str) -> None:
    if ratio.low is not None and ratio.high is not None:
        axes.plot([ratio.low, ratio.high], [at, at], color=colour, linewidth=6, alpha=0.35,
                  solid_capstyle="butt")  # fmt: skip


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The least and the greatest, whiskers included; a whisker may reach below what a log shows."""
    every = [each for curve in curves for each in curve.values()]
    values = [each.value for each in every]
    lows = [max(each.low, min(values) / 4) for each in every if each.low is not None]
    highs = [each.high for each in every if each.high is not None]
    return min(values + lows), max(values + highs)


def _floor(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """The tick clock's noise by connections."""
    means = {n: analysis.interval(name, n) for n in curve}
    floors = {n: analysis.floor(mean.value) for n, mean in means.items() if mean}
    known = {n: floor for n, floor in floors.items() if floor}
    return [*known], [*known.values()]


def _paper(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """The Cv that the paper's method saw."""
    found = {n: paper[1] for n in curve if (paper := analysis.paper(name, n)) and paper[1] > 0}
    return [*found], [*found.values()]


def _few(panels: Sequence[tuple[Group, dict[str, Curve]]]) -> str:
    """Why whiskers are missing, where some are."""
    every = (each for _, curves in panels for curve in curves.values() for each in curve.values())
    return (
        f"Where there is no interval, the starts were fewer than {FEWEST}. "
        if any(each.low is None for each in every)
        else ""
    )


def _ends(panels: Sequence[tuple[Group, dict[str, Curve]]]) -> str:
    """The least and the most at the most connections, for whoever does not see the plot."""
    said = []
    for group, curves in panels:
        last = max(max(curve) for curve in curves.values())
        ends = {name: curve[last].value for name, curve in curves.items() if last in curve}
        least, most = min(ends, key=lambda n: ends[n]), max(ends, key=lambda n: ends[n])
        at = plural(last, "connection")
        said.append(f"{group.title}, at {at}: least {least}, most {most}.")
    return " ".join(said)


# Figures --------------------------------------------------------------------------------------


def _stacked(
    heights: Sequence[float], right: float, left: float = 0.75
) -> tuple[Figure, list[Axes]]:
    """Axes one below the other, of those heights in inches, with margins for names."""
    above, below = 0.35, 0.6
    total = sum(heights) + len(heights) * (above + below)
    figure = Figure((WIDTH, total))
    axes, top = [], total
    for height in heights:
        top -= above + height
        box = (left / WIDTH, top / total, (WIDTH - left - right) / WIDTH, height / total)
        axes.append(figure.add_axes(box))
        top -= below
    return figure, axes


def _grid(
    count: int, columns: int = 3, height: float = 1.35, right: float = 0.1, head: float = 0.3
) -> tuple[Figure, list[Axes]]:
    """As many axes of that height in inches, row by row, each with a margin at its right.

    ``head`` is what is left free above them.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    left, above, below = 0.5, 0.3, 0.3
    width = (WIDTH - 0.25) / columns
    total = rows * (height + above + below) + head + 0.25
    figure = Figure((WIDTH, total))
    axes = []
    for at in range(count):
        row, column = divmod(at, columns)
        x = 0.25 + column * width + left
        y = total - head - (row + 1) * (above + height) - row * below
        box = (x / WIDTH, y / total, (width - left - right) / WIDTH, height / total)
        axes.append(figure.add_axes(box))
    return figure, axes


def _shared(figure: Figure, axes: Sequence[Axes], below: str, beside: str) -> None:
    """Names of the axes, once for the figure."""
    bottom = 0.08 / figure.get_figheight()
    figure.text(0.5, bottom, below, ha="center", va="bottom")
    figure.text(0.07 / WIDTH, 0.5, beside, ha="left", va="center", rotation=90)


def _legend(figure: Figure, keys: list[Line2D]) -> None:
    figure.legend(handles=keys, loc="upper left", ncols=len(keys), borderaxespad=0.2)
