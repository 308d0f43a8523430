"""Define how plots look: colours, marks, axes, labels beside lines, SVG and PNG.

The colour shows the paradigm and the mark the language; dashes and the filling of the mark
distinguish subjects that share both.  Colour-blind readers can distinguish the colours, and every
line has its name beside it or in a legend, so no reader depends on colour.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..analysis.wording import format_number
from ..results.folder import ORIGINAL, Subject

INK, FAINT, GRID, PAPER = "#1a1d21", "#545b64", "#d5d9df", "#ffffff"
COLOURS = {
    "processes": "#284ad9", "threads": "#d95814", "events": "#0aa875", "goroutines": "#b07ebf",
    "coroutines": "#631675",
}  # fmt: skip
"""Colours by paradigm on white; page.css has those for a dark page.  Others are `FAINT`."""
MARKS = {"C": "o", "Python": "s", "Go": "^"}
"""Marks by language; others have `OTHER_MARK`."""
OTHER_MARK = "D"
FILLED, HOLLOW = "full", "none"
VARIANTS: tuple[tuple[str, Any], ...] = (
    (FILLED, "-"), ("left", (0, (7, 1.5))), ("bottom", (0, (4, 1.5, 1, 1.5))),
    ("right", (0, (1, 1))), ("top", (0, (7, 1.5, 1, 1.5, 1, 1.5))),
)  # fmt: skip
"""Filling and dashes of the first, second … subject with the same colour and mark."""
SIZE = 8.5
"""Size of all text in points."""
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": SIZE, "axes.titlesize": SIZE + 1,
    "axes.labelsize": SIZE, "xtick.labelsize": SIZE, "ytick.labelsize": SIZE,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "axes.edgecolor": FAINT,
    "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "legend.frameon": False, "figure.facecolor": PAPER, "axes.facecolor": "none",
    # The same run gives the same file: ids are not random, and text stays text.
    "text.parse_math": False, "svg.hashsalt": "papaya", "svg.fonttype": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The look of a subject, the same in every plot."""

    colour: str
    mark: str
    filling: str = FILLED
    dashes: Any = "-"

    @property
    def line(self) -> dict[str, Any]:
        """Return the arguments for a line through points."""
        hollow = self.filling == HOLLOW
        return {
            "color": self.colour, "marker": self.mark, "markersize": 5.5, "linewidth": 1.4,
            "linestyle": self.dashes, "fillstyle": FILLED if hollow else self.filling,
            "markerfacecolor": PAPER if hollow else self.colour, "markerfacecoloralt": PAPER,
        }  # fmt: skip


def choose_looks(subjects: Sequence[Subject]) -> dict[str, Look]:
    """Return the look of each subject by its name.

    All differ, unless more subjects share colour and mark than there are `VARIANTS`.
    """
    found: dict[str, Look] = {}
    alike: Counter[tuple[str, str]] = Counter()
    for subject in subjects:
        colour = COLOURS.get(subject.paradigm, FAINT)
        mark = MARKS.get(subject.language, OTHER_MARK)
        if subject.work == ORIGINAL:
            found[subject.name] = Look(colour, mark, HOLLOW, "--")
            continue
        found[subject.name] = Look(colour, mark, *VARIANTS[alike[colour, mark] % len(VARIANTS)])
        alike[colour, mark] += 1
    return found


def set_connections_axis(axes: Axes, counts: Sequence[int]) -> None:
    """Make the axis of connections logarithmic, with a tick for each number measured."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([float(count) for count in counts]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlim(min(counts) / 1.25, max(counts) * 1.25)


def set_log_axis(axis: Any, low: float, high: float, room: float = 1.15) -> None:
    """Make an axis logarithmic, labelled in plain numbers, with a margin beyond both ends."""
    low, high = low / room, high * room
    scale = axis.axes.set_yscale if axis.axis_name == "y" else axis.axes.set_xscale
    scale("log")
    limits = axis.axes.set_ylim if axis.axis_name == "y" else axis.axes.set_xlim
    limits(low, high)
    wide = high / low
    steps = (1.0,) if wide > 2000 else (1.0, 2.0, 5.0) if wide > 12 else (1.0, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(LogLocator(subs=steps, numticks=99))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))


def set_linear_axis(axis: Any, high: float) -> None:
    """Scale an axis from 0 to ``high``, with few ticks in plain numbers."""
    limits = axis.axes.set_ylim if axis.axis_name == "y" else axis.axes.set_xlim
    limits(0, high)
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))


def format_tick(value: float) -> str:
    """Return a tick's number without trailing zeros: ``0.05``, ``2``, ``1,000``."""
    text = format_number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True)
class Label:
    """A name at the right of a line, and the line's last point."""

    text: str
    x: float
    y: float
    towards: float
    """The line extrapolated: names are sorted by it, so that no leaders cross."""
    look: Look


def draw_labels(axes: Axes, labels: Sequence[Label], height: float) -> None:
    """Write names at the right edge of axes ``height`` inches high, none over another.

    Call it after the limits of the axes are set.
    """
    labels = sorted(labels, key=lambda each: each.towards)
    place = axes.transAxes.inverted()
    wanted = [
        float(place.transform(axes.transData.transform((each.x, each.towards)))[1])
        for each in labels
    ]
    gap = SIZE * 1.35 / 72 / height
    for each, at in zip(labels, spread_apart(wanted, gap), strict=True):
        axes.annotate(
            each.text, (each.x, each.y), (1.04, at), textcoords="axes fraction",
            va="center", ha="left", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": each.look.colour, "linewidth": 0.7,
                "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4,
                "linestyle": ":" if each.look.filling == HOLLOW else "-",
            },
        )  # fmt: skip


def spread_apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places near the ``wanted`` ones (ascending), each at least ``gap`` from the next.

    They are nearest by least squares: places that are too close become a block around their mean
    (isotonic regression by pooling adjacent violators).
    """
    blocks: list[tuple[float, int]] = []
    for at, place in enumerate(wanted):
        mean, count = place - at * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, many = blocks.pop()
            mean = (mean * count + before * many) / (count + many)
            count += many
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    top = max(1.0, (len(wanted) - 1) * gap)
    return [min(mean, top - (len(flat) - 1) * gap) + at * gap for at, mean in enumerate(flat)]


def render_svg(figure: Figure) -> str:
    """Return the figure as SVG; the same figure gives the same text."""
    file = io.StringIO()
    with rc_context(RC):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def render_png(figure: Figure) -> bytes:
    """Return the figure as PNG with 150 pixels per inch."""
    file = io.BytesIO()
    with rc_context(RC):
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()
