"""The plots that have a panel for each subject: variation, and use over time."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..analysis.verdicts import Analysis
from ..analysis.wording import format_count
from . import layout
from .curves import Curve, Plot, lines, span
from .style import FAINT, GRID, INK, PAPER, connections_axis, linear_axis, log_axis, looks

_CROSS: dict[str, Any] = {
    "color": INK, "marker": "x", "markersize": 5.5, "markeredgewidth": 1.1, "linestyle": "none",
    "path_effects": [withStroke(linewidth=2.6, foreground=PAPER)],
}  # fmt: skip
_DOTS: dict[str, Any] = {"color": INK, "marker": "x", "markersize": 2.5, "linestyle": "none"}
STARTS = 3
"""How many starts are drawn over time."""
HEIGHT = 1.35
"""Inches of a panel."""


def variation(analysis: Analysis) -> Plot | None:
    """Draw one panel per subject: exact Cv, a sampling clock's noise, the paper's method."""
    styles = looks(analysis.subjects)
    curves: dict[str, Curve] = {}
    for subject in analysis.subjects:
        found = {
            n: analysis.cv(subject.name, n)
            for n in analysis.connections
            if analysis.long_starts(subject.name, n)
        }
        curves[subject.name] = {n: cv for n, cv in found.items() if cv and cv.value > 0}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    floors = {name: _floor(analysis, name, curve) for name, curve in curves.items()}
    papers = {name: _paper(analysis, name, curve) for name, curve in curves.items()}
    figure, axes = layout.grid([*curves], HEIGHT, "connections", "coefficient of variation")
    low, high = span([*curves.values()])
    others = [value for each in (floors, papers) for line in each.values() for value in line[1]]
    for (name, curve), each in zip(curves.items(), axes, strict=True):
        connections_axis(each, analysis.connections)
        log_axis(each.yaxis, min([low, *others]), max([high, *others]))
        bottom = each.get_ylim()[0]
        each.fill_between(*floors[name], bottom, color=GRID, alpha=0.55, linewidth=0)
        each.plot(*floors[name], color=FAINT, linewidth=0.9, linestyle=":")
        lines(each, {name: curve}, styles, None)
        # Over the exact ones, which it may hide for the most part, and never be hidden by.
        each.plot(*papers[name], **_CROSS, zorder=5)
    layout.settle(figure, axes)
    clock, window = analysis.run.description.accounting.clock_hz, analysis.design.window
    keys = [
        Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.4, label="exact windows"),
        Line2D([], [], color=FAINT, linewidth=0.9, linestyle=":",
               label=f"noise of a clock that samples at {clock} Hz"),
    ]  # fmt: skip
    if any(line[0] for line in papers.values()):
        keys.append(Line2D([], [], **_CROSS, label="the paper's method"))
    layout.legend(figure, keys)
    return Plot(
        "cv",
        "How much the use of CPU varies within a start",
        f"Coefficient of variation of exact windows of {window:g} s by the number of connections, "
        f"with its 95 % interval. The shade is what a clock that samples at {clock} Hz shows of a "
        "use that does not vary at all: what lies in it, such a clock cannot see.",
        figure,
    )


def over_time(analysis: Analysis) -> Plot | None:
    """Draw one panel per subject at its largest number of connections."""
    styles = looks(analysis.subjects)
    last = {
        subject: count
        for group in analysis.groups
        for subject, count in analysis.list_measured(group)
        if analysis.long_starts(subject.name, count)
    }
    if not last:
        return None
    titles = [f"{subject.name}, {count}" for subject, count in last.items()]
    figure, axes = layout.grid(titles, HEIGHT, "seconds", "percent of a core")
    paper = False
    for (subject, count), each in zip(last.items(), axes, strict=True):
        starts = analysis.long_starts(subject.name, count)[:STARTS]
        samples = [(w.at, w.paper_percent) for w in starts[0] if w.paper_percent is not None]
        if samples:
            paper = True
            each.plot(*zip(*samples, strict=True), **_DOTS)
        for start, alpha in zip(starts, (1, 0.7, 0.5), strict=False):
            each.plot(
                [window.at for window in start], [window.exact_percent for window in start],
                color=styles[subject.name].colour, linewidth=1, alpha=alpha,
            )  # fmt: skip
        linear_axis(each.yaxis, 1.08 * each.get_ylim()[1])
        linear_axis(each.xaxis, 1.03 * max(window.at for start in starts for window in start))
    layout.settle(figure, axes)
    if paper:
        layout.legend(figure, [
            Line2D([], [], color=INK, linewidth=1, label="exact windows"),
            Line2D([], [], **_DOTS, label="the paper's method, first start"),
        ])  # fmt: skip
    return Plot(
        "time",
        "Use of CPU over time",
        f"At the number of connections beside the name, of the first {format_count(STARTS)} "
        "at most, "
        "later ones paler; each panel has its own scale, from 0.",
        figure,
    )


def _floor(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """Return the tick clock's noise by connections."""
    means = {n: analysis.interval(name, n) for n in curve}
    floors = {n: analysis.floor(mean.value) for n, mean in means.items() if mean}
    known = {n: floor for n, floor in floors.items() if floor}
    return [*known], [*known.values()]


def _paper(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """Return the Cv that the paper's method saw."""
    found = {n: paper[1] for n in curve if (paper := analysis.paper(name, n)) and paper[1] > 0}
    return [*found], [*found.values()]
