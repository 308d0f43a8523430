"""Draw plots with a panel for each subject: variation, and use over time."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..analysis.verdicts import Analysis
from ..analysis.wording import format_count
from . import layout
from .curves import Curve, Plot, draw_lines, find_span
from .style import (
    FAINT,
    GRID,
    INK,
    PAPER,
    choose_looks,
    set_connections_axis,
    set_linear_axis,
    set_log_axis,
)

_CROSS: dict[str, Any] = {
    "color": INK, "marker": "x", "markersize": 5.5, "markeredgewidth": 1.1, "linestyle": "none",
    "path_effects": [withStroke(linewidth=2.6, foreground=PAPER)],
}  # fmt: skip
_DOTS: dict[str, Any] = {"color": INK, "marker": "x", "markersize": 2.5, "linestyle": "none"}
STARTS = 3
"""Number of trials drawn over time."""
HEIGHT = 1.35
"""Height of a panel in inches."""


def draw_variation(analysis: Analysis) -> Plot | None:
    """Draw a panel per subject: exact Cv, the noise of a sampling clock, the paper's method."""
    styles = choose_looks(analysis.subjects)
    curves: dict[str, Curve] = {}
    for subject in analysis.subjects:
        found = {
            n: analysis.find_cv(subject.name, n)
            for n in analysis.connections
            if analysis.list_long_trials(subject.name, n)
        }
        curves[subject.name] = {n: cv for n, cv in found.items() if cv and cv.value > 0}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    floors = {name: _find_noise(analysis, name, curve) for name, curve in curves.items()}
    papers = {name: _find_paper_cv(analysis, name, curve) for name, curve in curves.items()}
    figure, axes = layout.make_grid([*curves], HEIGHT, "connections", "coefficient of variation")
    low, high = find_span([*curves.values()])
    others = [value for each in (floors, papers) for line in each.values() for value in line[1]]
    for (name, curve), each in zip(curves.items(), axes, strict=True):
        set_connections_axis(each, analysis.connections)
        set_log_axis(each.yaxis, min([low, *others]), max([high, *others]))
        bottom = each.get_ylim()[0]
        each.fill_between(*floors[name], bottom, color=GRID, alpha=0.55, linewidth=0)
        each.plot(*floors[name], color=FAINT, linewidth=0.9, linestyle=":")
        draw_lines(each, {name: curve}, styles, None)
        # On top, because the crosses are small enough to leave the exact marks visible.
        each.plot(*papers[name], **_CROSS, zorder=5)
    layout.settle_axes(figure, axes)
    clock, window = analysis.run.description.accounting.clock_hz, analysis.design.window
    keys = [
        Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.4, label="exact windows"),
        Line2D([], [], color=FAINT, linewidth=0.9, linestyle=":",
               label=f"noise of a clock sampling at {clock} Hz"),
    ]  # fmt: skip
    if any(line[0] for line in papers.values()):
        keys.append(Line2D([], [], **_CROSS, label="the paper's method"))
    layout.draw_legend(figure, keys)
    return Plot(
        "cv",
        "Variation of CPU use within a trial",
        f"Coefficient of variation of exact windows of {window:g} s with 95 % interval, by number "
        f"of connections. The shaded area is what a clock sampling at {clock} Hz shows for a "
        "constant use: such a clock cannot see variation inside it.",
        figure,
    )


def draw_over_time(analysis: Analysis) -> Plot | None:
    """Draw a panel per subject at its largest number of connections."""
    styles = choose_looks(analysis.subjects)
    last = {
        subject: count
        for group in analysis.groups
        for subject, count in analysis.list_measured(group)
        if analysis.list_long_trials(subject.name, count)
    }
    if not last:
        return None
    titles = [f"{subject.name}, {count}" for subject, count in last.items()]
    figure, axes = layout.make_grid(titles, HEIGHT, "seconds", "percent of a core")
    paper = False
    for (subject, count), each in zip(last.items(), axes, strict=True):
        starts = analysis.list_long_trials(subject.name, count)[:STARTS]
        samples = [(w.at, w.paper_percent) for w in starts[0] if w.paper_percent is not None]
        if samples:
            paper = True
            each.plot(*zip(*samples, strict=True), **_DOTS)
        for start, alpha in zip(starts, (1, 0.7, 0.5), strict=False):
            each.plot(
                [window.at for window in start], [window.exact_percent for window in start],
                color=styles[subject.name].colour, linewidth=1, alpha=alpha,
            )  # fmt: skip
        set_linear_axis(each.yaxis, 1.08 * each.get_ylim()[1])
        set_linear_axis(each.xaxis, 1.03 * max(window.at for start in starts for window in start))
    layout.settle_axes(figure, axes)
    if paper:
        layout.draw_legend(figure, [
            Line2D([], [], color=INK, linewidth=1, label="exact windows"),
            Line2D([], [], **_DOTS, label="the paper's method, first trial"),
        ])  # fmt: skip
    return Plot(
        "time",
        "CPU use over time",
        f"The first {format_count(STARTS)} of each subject, later ones paler; the number of "
        "connections follows the name. Each panel has its own scale, from 0.",
        figure,
    )


def _find_noise(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """Return the noise of the sampling clock by connections."""
    means = {n: analysis.find_interval(name, n) for n in curve}
    floors = {n: analysis.find_noise_floor(mean.value) for n, mean in means.items() if mean}
    known = {n: floor for n, floor in floors.items() if floor}
    return [*known], [*known.values()]


def _find_paper_cv(analysis: Analysis, name: str, curve: Curve) -> tuple[list[int], list[float]]:
    """Return the Cv by the paper's method by connections."""
    found = {
        n: paper[1]
        for n in curve
        if (paper := analysis.find_paper_figures(name, n)) and paper[1] > 0
    }
    return [*found], [*found.values()]
