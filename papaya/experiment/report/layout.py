"""Place axes on a figure, in inches.

Make axes with `stack_axes` or `make_grid`, draw in them, then call `settle_axes`: the room that
labels need is known only after drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

WIDTH = 7.4
"""Width of a figure in inches: a printed page."""
MARGIN = 0.08
BESIDE = 0.22
"""Width in inches of the label at the left, which all panels share."""
LONGEST = 21
"""Letters that fit above a panel if four panels share a row."""


def stack_axes(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return axes one below the other, of the given heights in inches."""
    above, below = 0.35, 0.6
    total = sum(heights) + len(heights) * (above + below)
    figure = Figure((WIDTH, total))
    axes, top = [], total
    for height in heights:
        top -= above + height
        axes.append(figure.add_axes((0, top / total, 1, height / total)))
        top -= below
    return figure, axes


def make_grid(
    titles: Sequence[str], height: float, below: str, beside: str, head: float = 0.3
) -> tuple[Figure, list[Axes]]:
    """Return a panel for each title, row by row, each ``height`` inches high.

    ``below`` labels the last panel of each column, ``beside`` all rows together; ``head`` inches
    are left free above.
    """
    rows = arrange_panels(len(titles), max(map(len, titles)))
    width = (1 - BESIDE / WIDTH) / rows[0]
    above, gap = 0.3, 0.35
    total = len(rows) * (height + above + gap) + head + 0.2
    figure = Figure((WIDTH, total))
    axes: list[Axes] = []
    top = total - head
    for at, count in enumerate(rows):
        top -= above + height
        for column in range(count):
            left = BESIDE / WIDTH + column * width
            axes.append(figure.add_axes((left, top / total, width, height / total)))
            axes[-1].set_title(titles[len(axes) - 1])
            if at + 1 == len(rows) or column >= rows[at + 1]:
                axes[-1].set_xlabel(below)
        top -= gap
    middle = (total - head + top + gap) / 2 / total
    figure.text(MARGIN / WIDTH, middle, beside, ha="left", va="center", rotation=90)
    return figure, axes


def arrange_panels(count: int, longest: int) -> list[int]:
    """Return the number of panels in each row, as even as possible, so that none stands alone."""
    most = 4 if longest <= LONGEST else 3
    columns = min(range(min(count, 3), min(count, most) + 1), key=lambda each: -count % each)
    rows = -(-count // columns)
    each, more = divmod(count, rows)
    return [each + 1] * more + [each] * (rows - more)


def settle_axes(figure: Figure, axes: Sequence[Axes]) -> None:
    """Narrow the axes until all labels beside them fit; hide tick labels that overlap."""
    dpi, cells = figure.dpi, [each.get_position() for each in axes]
    left = right = 0.0
    canvas: Any = FigureCanvasAgg(figure)
    # A narrower panel may get other tick labels, so measure again.
    for _ in range(3):
        before = left, right
        for each, cell in zip(axes, cells, strict=True):
            x0, x1 = cell.x0 + left / WIDTH, cell.x1 - right / WIDTH
            each.set_position((x0, cell.y0, x1 - x0, cell.height))
        drawn = canvas.get_renderer()
        for each in axes:
            inner = each.get_window_extent(drawn)
            boxes: list[Bbox] = [text.get_window_extent(drawn) for text in each.texts]
            for axis in (each.xaxis, each.yaxis):
                if box := axis.get_tightbbox(drawn):
                    boxes.append(box)
            left = max(left, *((inner.x0 - box.x0) / dpi + MARGIN for box in boxes))
            right = max(right, *((box.x1 - inner.x1) / dpi + MARGIN for box in boxes))
        if (left, right) == before:
            break
    for each in axes:
        _hide_overlapping(each.get_xticklabels(), drawn, "intervalx", 2)
        _hide_overlapping(each.get_yticklabels(), drawn, "intervaly", 0)


def _hide_overlapping(labels: Sequence[Text], drawn: RendererBase, along: str, gap: float) -> None:
    """Hide each tick label that would touch the next one, from the last to the first."""
    places = [(*sorted(getattr(each.get_window_extent(drawn), along)), each) for each in labels]
    start = float("inf")
    for low, high, label in sorted(places, key=lambda place: place[0], reverse=True):
        fits = high + gap <= start
        label.set_visible(fits)
        start = low if fits else start


def draw_legend(figure: Figure, keys: list[Line2D]) -> None:
    """Draw a legend above all panels."""
    figure.legend(handles=keys, loc="upper left", ncols=len(keys), borderaxespad=0.2)
