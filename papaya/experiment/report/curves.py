"""Draw values by connections as lines with whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.statistics import Interval
from ..analysis.verdicts import Analysis
from .style import Label, Look, draw_labels, render_svg, set_log_axis

Curve = dict[int, Interval]
"""An estimate by number of connections."""


@dataclass(frozen=True)
class Plot:
    """A figure with the name of its file, its title and its caption."""

    name: str
    title: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """Return the figure as SVG, rendered once for its file and for the page."""
        return render_svg(self.figure)


def find_curve(analysis: Analysis, subject: str, column: str) -> Curve:
    """Return the means of a column by connections, leaving out what a log axis cannot show."""
    found = {n: analysis.find_interval(subject, n, column) for n in analysis.connections}
    return {count: each for count, each in found.items() if each and each.value > 0}


def draw_lines(
    axes: Axes,
    curves: dict[str, Curve],
    styles: dict[str, Look],
    height: float | None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw lines with whiskers, and their names beside them if ``height`` (inches) is given."""
    if height:
        set_log_axis(axes.yaxis, *(limits or find_span([*curves.values()])))
    for at, (name, curve) in enumerate(curves.items()):
        # Shifted a little, so that whiskers do not hide each other.
        shift = 1.1 ** (at / (len(curves) - 1) - 0.5) if len(curves) > 1 else 1
        places = [count * shift for count in curve]
        style = styles[name].line
        for place, each in zip(places, curve.values(), strict=True):
            if each.low is not None and each.high is not None:
                axes.plot([place] * 2, [each.low, each.high], color=style["color"], linewidth=1.2,
                          solid_capstyle="butt")  # fmt: skip
        axes.plot(places, [each.value for each in curve.values()], **style)
    if height:
        last = max(max(curve) for curve in curves.values())
        labels = [
            Label(
                name, max(curve), curve[max(curve)].value, _extrapolate(curve, last), styles[name]
            )
            for name, curve in curves.items()
        ]
        draw_labels(axes, labels, height)


def _extrapolate(curve: Curve, to: int) -> float:
    """Extrapolate a curve along a straight line on logarithmic axes."""
    *before, last = sorted(curve)
    value = curve[last].value
    if not before:
        return value
    slope = log(value / curve[before[-1]].value) / log(last / before[-1])
    return float(value * (to / last) ** slope)


def draw_whisker(axes: Axes, ratio: Interval, at: float, colour: str) -> None:
    """Draw the interval of a ratio as a horizontal whisker."""
    if ratio.low is not None and ratio.high is not None:
        axes.plot([ratio.low, ratio.high], [at, at], color=colour, linewidth=1.6,
                  solid_capstyle="butt")  # fmt: skip


def find_span(curves: Sequence[Curve]) -> tuple[float, float]:
    """Return the least and the greatest value, with whiskers as far as a log axis shows them."""
    every = [each for curve in curves for each in curve.values()]
    values = [each.value for each in every]
    lows = [max(each.low, min(values) / 4) for each in every if each.low is not None]
    highs = [each.high for each in every if each.high is not None]
    return min(values + lows), max(values + highs)
