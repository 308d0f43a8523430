"""Where axes stand on a figure, in inches, and what they share."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 7.4
"""Inches of a figure: a page in print."""


def stacked(
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


def grid(
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


def shared(figure: Figure, axes: Sequence[Axes], below: str, beside: str) -> None:
    """Names of the axes, once for the figure."""
    bottom = 0.08 / figure.get_figheight()
    figure.text(0.5, bottom, below, ha="center", va="bottom")
    figure.text(0.07 / WIDTH, 0.5, beside, ha="left", va="center", rotation=90)


def legend(figure: Figure, keys: list[Line2D]) -> None:
    figure.legend(handles=keys, loc="upper left", ncols=len(keys), borderaxespad=0.2)
