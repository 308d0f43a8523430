"""Show a run in a terminal: the answers, and CPU use by connections, drawn by plotext."""

from __future__ import annotations

import importlib
import os
import shutil
import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from ..analysis.verdicts import CPU, Analysis
from .method import describe_run

# plotext has no type hints.
plt: Any = importlib.import_module("plotext")

HEIGHT = 22
LINES = 4
"""More lines than this hide one another, so only their points are drawn."""


def draw(analysis: Analysis, answers: Mapping[str, Sequence[str]], out: TextIO) -> None:
    """Write plots and answers to ``out``, in colour on a terminal unless ``NO_COLOR`` is set."""
    terminal = out.isatty()
    width = max(50, shutil.get_terminal_size().columns)
    colour = terminal and not os.environ.get("NO_COLOR")
    print(textwrap.fill(describe_run(analysis), width), file=out)
    if analysis.too_few:
        print(textwrap.fill(analysis.too_few, width), file=out)
    for group in analysis.groups:
        curves = {
            subject.name: {
                count: interval.value
                for count in analysis.connections
                if (interval := analysis.find_interval(subject.name, count, CPU))
                and interval.value > 0
            }
            for subject in group.subjects
        }
        curves = {name: curve for name, curve in curves.items() if curve}
        if curves:
            text = _draw_plot(curves, width)
            print(f"\n{group.title}: percent of a core by connections", file=out)
            # plotext ends every line with a colour code, even if the line has no colour.
            print(text if colour else plt.uncolorize(text), file=out)
    for heading, sentences in answers.items():
        print(f"\n{heading}", file=out)
        for sentence in sentences:
            print(
                textwrap.fill(sentence, width, initial_indent="- ", subsequent_indent="  "),
                file=out,
            )


def _draw_plot(curves: Mapping[str, Mapping[int, float]], width: int) -> str:
    """Draw lines on logarithmic axes; each has its letter, so that it does not need colour."""
    plt.clear_figure()
    plt.plot_size(width, HEIGHT)
    add = plt.plot if len(curves) <= LINES else plt.scatter
    for letter, (name, curve) in zip(string.ascii_letters, curves.items(), strict=False):
        add([*curve], [*curve.values()], marker=letter, label=name)
    # The terminal's own colours suit a light and a dark ground.
    for part in (plt.canvas_color, plt.axes_color, plt.ticks_color):
        part("default")
    plt.xscale("log")
    plt.yscale("log")
    counts = sorted({count for curve in curves.values() for count in curve})
    plt.xticks(counts, [str(count) for count in counts])
    text: str = plt.build()
    return text
