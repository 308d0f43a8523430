"""Draw a run with matplotlib: a panel for each group; each plot has a caption.

Whiskers are 95 % intervals; a point without a whisker has too few trials for an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.lines import Line2D

from ..analysis.statistics import Interval
from ..analysis.verdicts import Analysis, Group
from ..analysis.wording import format_count, format_interval
from ..results.folder import CHAT
from . import layout
from .curves import Curve, Plot, draw_lines, draw_whisker, find_curve, find_span
from .style import FAINT, INK, Look, choose_looks, set_connections_axis, set_log_axis

LATENCY = 2.2
"""Height of a panel in inches."""


def draw_by_connections(
    analysis: Analysis, name: str, title: str, unit: str, column: str
) -> Plot | None:
    """Draw one panel per group with one line per subject; both axes are logarithmic."""
    styles = choose_looks(analysis.subjects)
    panels = []
    for group in analysis.groups:
        curves = {s.name: find_curve(analysis, s.name, column) for s in group.subjects}
        curves = {subject: curve for subject, curve in curves.items() if curve}
        if curves:
            panels.append((group, curves))
    if not panels:
        return None
    heights = [max(2.6, 0.2 * len(curves) + 0.6) for _, curves in panels]
    figure, axes = layout.stack_axes(heights)
    for (group, curves), each, height in zip(panels, axes, heights, strict=True):
        each.set_title(group.title)
        each.set_ylabel(unit)
        each.set_xlabel("connections")
        set_connections_axis(each, analysis.connections)
        draw_lines(each, curves, styles, height)
    layout.settle_axes(figure, axes)
    return Plot(
        name,
        title,
        f"Mean over trials in {unit} with 95 % interval, by number of connections; both axes are "
        "logarithmic. The colour shows the paradigm, the mark the language; hollow marks and "
        f"dashed lines are the paper's unequal work. {_describe_extremes(panels)}",
        figure,
    )


def draw_ratios(analysis: Analysis) -> Plot | None:
    """Draw each subject's ratio to the first of its group, and the A/A ratios."""
    styles = choose_looks(analysis.subjects)
    panels: list[tuple[Group, list[tuple[str, Interval, Look | None]]]] = []
    for group in analysis.groups:
        rows: list[tuple[str, Interval, Look | None]] = [
            (f"{name}, {found.connections}", found.ratio, styles[name])
            for name, found in analysis.find_last_comparisons(group).items()
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
    figure, axes = layout.stack_axes([0.23 * len(rows) + 0.05 for _, rows in panels])
    for (group, rows), each in zip(panels, axes, strict=True):
        each.set_title(group.title)
        each.set_xlabel(f"times the CPU of {group.subjects[0].name}")
        ends = [end for _, ratio, _ in rows for end in (ratio.value, ratio.low, ratio.high) if end]
        set_log_axis(each.xaxis, min(*ends, 1), max(*ends, 1))
        each.set_ylim(len(rows) - 0.4, -0.6)
        each.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        each.tick_params(axis="y", length=0)
        each.axvline(1, color=INK, linewidth=0.9)
        for at, (_, ratio, look) in enumerate(rows):
            style = (look or Look(FAINT, "|")).line | {"linestyle": "none"}
            draw_whisker(each, ratio, at, style["color"])
            each.plot([ratio.value], [at], **style)
            each.annotate(
                format_interval(ratio), (1.03, at), xycoords=("axes fraction", "data"), va="center",
                annotation_clip=False,
            )  # fmt: skip
    layout.settle_axes(figure, axes)
    return Plot(
        "ratios",
        "CPU use relative to another subject",
        "Ratio of the means with 95 % interval, on a logarithmic axis; the number of connections "
        "follows the name. The line at 1 means no difference; A/A is a subject relative to itself.",
        figure,
    )


def draw_latency(analysis: Analysis) -> Plot | None:
    """Draw one panel per distinct percentile, with one line per chat."""
    styles = choose_looks(analysis.subjects)
    chats = [subject.name for subject in analysis.subjects if subject.work == CHAT]
    columns = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "largest": "max_ms"}
    panels = {}
    for title, column in columns.items():
        curves = {name: find_curve(analysis, name, column) for name in chats}
        if curves := {name: curve for name, curve in curves.items() if curve}:
            panels[title] = curves
    if not panels:
        return None
    figure, axes = layout.make_grid([*panels], LATENCY, "connections", "milliseconds")
    low, high = find_span([curve for curves in panels.values() for curve in curves.values()])
    for curves, each in zip(panels.values(), axes, strict=True):
        set_connections_axis(each, analysis.connections)
        set_log_axis(each.yaxis, low, high)
        draw_lines(each, curves, styles, None)
    layout.settle_axes(figure, axes)
    shown = [name for name in chats if any(name in curves for curves in panels.values())]
    layout.draw_legend(figure, [Line2D([], [], **styles[name].line, label=name) for name in shown])
    return Plot(
        "latency",
        "Latency of the chat",
        "Milliseconds from the moment a message was due until it was delivered, by number of "
        "connections; both axes are logarithmic. Mean of each percentile over trials with 95 % "
        "interval. p99.9 is shown if it differs from the largest.",
        figure,
    )


def _describe_extremes(panels: Sequence[tuple[Group, dict[str, Curve]]]) -> str:
    """Name the lowest and the highest line, for readers who cannot see the plot."""
    said = []
    for group, curves in panels:
        last = max(max(curve) for curve in curves.values())
        ends = {name: curve[last].value for name, curve in curves.items() if last in curve}
        least, most = min(ends, key=lambda n: ends[n]), max(ends, key=lambda n: ends[n])
        at = format_count(last, "connection")
        said.append(f"{group.title}, at {at}: lowest {least}, highest {most}.")
    return " ".join(said)
