"""Compare a run with the figures that the paper published.

``paper_results.csv`` names their source and their known faults.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..results.folder import CHAT, EQUAL
from .verdicts import Analysis, Comparison
from .wording import format_count, format_interval, format_number

CUT_OFF = 20
"""Processes that top shows if its output is not a terminal: "around 20" (top(1), FreeBSD 13)."""
PROCESSES, GOROUTINES = "c-processes", "go-goroutines"


@dataclass(frozen=True)
class Published:
    """A row of the paper's results, in percent of a core."""

    paradigm: str
    connections: int
    mean: float
    variance: float
    sd: float
    cv: float

    @property
    def cut_off(self) -> bool:
        """Return whether top left out processes: there is one per connection, and the parent."""
        return self.paradigm == PROCESSES and self.connections + 1 > CUT_OFF


@cache
def load_published() -> dict[tuple[str, int], Published]:
    """Return the published figures by paradigm and number of connections."""
    text = Path(__file__).with_name("paper_results.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = [
        Published(name, int(count), *map(float, numbers))
        for name, count, *numbers in [*csv.reader(lines)][1:]
    ]
    return {(row.paradigm, row.connections): row for row in rows}


def pair_subjects(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Return each work that has both of the paper's paradigms, with the names of the subjects.

    A variant's name begins with its paradigm: ``c-processes-original``.
    """
    found: dict[str, dict[str, str]] = {}
    for subject in analysis.subjects:
        for paradigm in (PROCESSES, GOROUTINES):
            if subject.name == paradigm or subject.name.startswith(f"{paradigm}-"):
                found.setdefault(subject.work, {}).setdefault(paradigm, subject.name)
    return [
        (work, both[PROCESSES], both[GOROUTINES])
        for work, both in sorted(found.items(), key=lambda each: each[0] != EQUAL)
        if len(both) == 2 and work != CHAT
    ]


def compare_published(
    analysis: Analysis,
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return head and rows of a table by connections; no rows if nothing can be compared."""
    here = pair_subjects(analysis)
    head = ["connections", PROCESSES, GOROUTINES, "ratio"]
    for work, *names in here:
        head += [f"{name} here" for name in names] + [f"ratio here, {work} work"]
    rows = []
    for count in analysis.connections:
        theirs = [load_published().get((name, count)) for name in (PROCESSES, GOROUTINES)]
        c, go = theirs
        row = [str(count)]
        row += [f"{format_number(one.mean)}{' †' * one.cut_off}" if one else "-" for one in theirs]
        row.append(f"{format_number(go.mean / c.mean)}{' †' * c.cut_off}" if c and go else "-")
        for _, ours, goes in here:
            row += [format_interval(analysis.find_interval(name, count)) for name in (ours, goes)]
            row.append(format_interval(analysis.compare(goes, ours, count).ratio))
        rows.append(tuple(row))
    return tuple(head), tuple(rows) if here else ()


def answer_questions(analysis: Analysis) -> list[str]:
    """Answer the paper's two questions about CPU use, for equal and for unequal work.

    The answers are for the largest number of connections at which both subjects were measured.
    """
    said = []
    for work, ours, goes in pair_subjects(analysis):
        both = [n for n in analysis.connections if analysis.compare(goes, ours, n).ratio]
        if not both:
            continue
        count = both[-1]
        lead = (
            "With equal work" if work == EQUAL else "With the unequal work of the published servers"
        )
        use = analysis.compare(goes, ours, count)
        verdict = analysis.describe_comparison(use)
        line = f"{lead} and {format_count(count, 'connection')}, {goes} {verdict}."
        one, other = (
            load_published().get((PROCESSES, count)),
            load_published().get((GOROUTINES, count)),
        )
        if one and other:
            line += f" The paper published {format_number(other.mean / one.mean)} times"
            line += ", having counted only some of the processes." if one.cut_off else "."
        line += _describe_stability(analysis.compare_variation(goes, ours, count))
        seen = [analysis.find_paper_figures(name, count) for name in (ours, goes)]
        if seen[0] and seen[1]:
            line += (
                f" On the same trials the paper's method gives "
                f"{format_number(seen[1][0] / seen[0][0])} times the CPU, and a Cv of "
                f"{format_number(seen[1][1])} against {format_number(seen[0][1])}."
            )
        said.append(line)
    return said


def _describe_stability(found: Comparison) -> str:
    ratio = found.ratio
    if ratio is None:
        return ""
    line = f" Its Cv within a trial is {format_interval(ratio, ' times')} that of {found.reference}"
    if ratio.low is None:
        return f"{line}."
    return f"{line}, which is no significant difference." if ratio.holds(1) else f"{line}."
