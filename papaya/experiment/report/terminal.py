"""A run in a terminal: the answers, and use of CPU by connections as plotext draws it."""

from __future__ import annotations

import importlib
import os
import shutil
import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from ..analysis.verdicts import CPU, Analysis
from .method import title

# It has no types.
plt: Any = importlib.import_module("plotext")

HEIGHT = 22
LINES = 4
"""More lines than these hide one another: their points alone are drawn."""


def draw(analysis: Analysis, answers: Mapping[str, Sequence[str]], out: TextIO) -> None:
    """As wide as the terminal is; in colour where it is one, and ``NO_COLOR`` is not set."""
    terminal = out.isatty()
    width = max(50, shutil.get_terminal_size().columns)
    colour = terminal and not os.environ.get("NO_COLOR")
    print(textwrap.fill(title(analysis), width), file=out)
    if analysis.too_few:
        print(textwrap.fill(analysis.too_few, width), file=out)
    for group in analysis.groups:
        curves = {
            subject.name: {
                count: interval.value
                for count in analysis.connections
                if (interval := analysis.interval(subject.name, count, CPU)) and interval.value > 0
            }
            for subject in group.subjects
        }
        curves = {name: curve for name, curve in curves.items() if curve}
        if curves:
            text = _plot(curves, width)
            print(f"\n{group.title}: percent of a core by connections", file=out)
            # It ends each line with the code that ends a colour, even where there is none.
            print(text if colour else plt.uncolorize(text), file=out)
    for heading, sentences in answers.items():
        print(f"\n{heading}", file=out)
        for sentence in sentences:
            print(
                textwrap.fill(sentence, width, initial_indent="- ", subsequent_indent="  "),
                file=out,
            )


def _plot(curves: Mapping[str, Mapping[int, float]], width: int) -> str:
    """Both axes logarithmic; a letter for each line, which tells it without colour."""
    plt.clear_figure()
    plt.plot_size(width, HEIGHT)
    add = plt.plot if len(curves) <= LINES else plt.scatter
    for letter, (name, curve) in zip(string.ascii_letters, curves.items(), strict=False):
        add([*curve], [*curve.values()], marker=letter, label=name)
    # The surroundings in the terminal's own colours, whether it is light or dark.
    for part in (plt.canvas_color, plt.axes_color, plt.ticks_color):
        part("default")
    plt.xscale("log")
    plt.yscale("log")
    counts = sorted({count for curve in curves.values() for count in curve})
    plt.xticks(counts, [str(count) for count in counts])
    text: str = plt.build()
    return text
