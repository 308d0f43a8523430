"""text: for people, and for bug reports.

In a terminal, lines fit the width, and a reason that many facts share is printed once.  In a pipe
or a file, each fact is one line, so that grep works.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, takewhile

from ..fact import FAULTS, Fact, Report
from ..invocation import get_invocation
from ..probe import Probe
from ..text import make_printable
from . import (
    FAINT,
    RED,
    YELLOW,
    Style,
    describe_platform,
    differs,
    embolden,
    find_question,
    group_by_family,
    group_shared_reasons,
    make_note,
    make_reasons,
    paint,
    summarize,
)

LONGEST_ANSWER = 14
"""Columns of the widest answer that the column of questions makes room for."""
LONGEST_QUESTION = 64
"""Columns of the widest question that the column of ids makes room for."""
FEWEST_ROWS = 4
"""Rows from which a table is shorter than single facts."""
FEWEST_WORDS = 3
"""Words of a table's question up to which it is unclear without the texts of the rows."""
DIFFERS, FAULT = "*", "!"


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as text."""
    layout = Layout(report, probes, style)
    lines = [*layout.format_platform()]
    for family, facts in group_by_family(report, probes).items():
        shown = [fact for fact in facts if fact.id not in layout.apart]
        if shown:
            lines += ["", *layout.format_title(family), *layout.format_facts(shown)]
    lines += layout.format_shared_reasons()
    return "\n".join([*lines, "", *layout.format_ending()]) + "\n"


class Layout:
    """The columns of one report, and the lines that fill them."""

    def __init__(self, report: Report, probes: Mapping[str, Probe], style: Style) -> None:
        self.report, self.probes, self.style = report, probes, style
        self.width = None if style.width is None else max(style.width, 24)
        self.reasons = make_reasons(report)
        groups = group_shared_reasons(report).values()
        in_groups = self.width is not None and not style.verbose
        self.groups = list(groups) if in_groups else []
        self.apart = {id for ids in self.groups for id in ids}
        """The facts that are shown in groups, each group under its shared reason."""
        most = LONGEST_ANSWER if self.width is None else min(LONGEST_ANSWER, self.width // 3)
        answers = (count_columns(make_printable(fact.answer)) for fact in report)
        self.answer = max((width for width in answers if width <= most), default=0)
        self.indent = 2 + self.answer + 2
        questions = (count_columns(make_printable(find_question(fact, probes))) for fact in report)
        longest = max((width for width in questions if width <= LONGEST_QUESTION), default=0)
        self.ids = self.indent + longest + 2

    def format_platform(self) -> Iterator[str]:
        """Yield where the report was measured, in a few aligned lines."""
        for label, text in describe_platform(self.report):
            first, *rest = self._wrap(text, 11)
            yield f"{label:9}  {first}"
            yield from (" " * 11 + line for line in rest)

    def format_title(self, text: str) -> Iterator[str]:
        """Return a line that stands out."""
        return (embolden(line, self.style) for line in self._wrap(text, 0))

    def format_facts(self, facts: Sequence[Fact]) -> Iterator[str]:
        """Yield a family: a line per fact, and tables in as many columns as fit."""
        for heading, group in groupby(facts, self._find_heading):
            rows = list(group)
            plain = [fact for fact in rows if not make_note(fact, self.report, self.probes)]
            table = list(self._format_table(heading, plain)) if heading else []
            yield from table
            for fact in rows:
                if not table or fact not in plain:
                    yield from self._format_fact(fact)

    def format_shared_reasons(self) -> Iterator[str]:
        """Yield each shared reason once, with the number of its facts and their ids."""
        for ids in self.groups:
            first = self.report[ids[0]]
            yield ""
            said = self._wrap(
                f"{len(ids)} {first.status}: {make_printable(first.reason)}".rstrip(" "), 2
            )
            yield from ("  " + line for line in said)
            for line in self._wrap(", ".join(ids), 4):
                yield "    " + paint(line, FAINT, self.style)

    def format_ending(self) -> Iterator[str]:
        """Yield what the marks mean, the counts, and the commands for more."""
        marks = [self._find_mark(fact) for fact in self.report]
        legends = (
            (DIFFERS, YELLOW, "differs from what the platform documents"),
            (FAULT, RED, "the lab failed to measure it: try a longer --deadline, or report it"),
        )
        for mark, colour, meaning in legends:
            if mark in marks:
                first, *rest = self._wrap(f"{meaning} ({marks.count(mark)})", 2)
                yield f"{paint(mark, colour, self.style)} {first}"
                yield from ("  " + line for line in rest)
        yield from self.format_title(summarize(self.report))
        more = f"more: {get_invocation()} list (every ID), explain ID, explain FAMILY"
        yield from self._wrap(more, 0)

    def _format_fact(self, fact: Fact) -> Iterator[str]:
        asked = make_printable(find_question(fact, self.probes))
        beside = self.reasons.get(fact.id, make_note(fact, self.report, self.probes))
        beside = make_printable(beside).strip(" ")
        if self.width is None:
            head = f"{self._make_head(fact)}  {asked}"
            yield f"{pad(head, self.ids - 2)}  {fact.id}  {beside}".rstrip()
        else:
            yield from self._lay_out(fact, asked, beside)
        if self.style.verbose:
            yield from self._indent(self._format_details(fact))

    def _lay_out(self, fact: Fact, asked: str, beside: str) -> Iterator[str]:
        """Yield the answer beside the wrapped question, the note, and the id where it fits."""
        assert self.width is not None
        head, used = (
            self._make_head(fact),
            2 + max(count_columns(make_printable(fact.answer)), self.answer) + 2,
        )
        if used > self.indent and used + count_columns(asked) > self.width:
            # An answer that is too wide for its column and for the line has separate lines.
            for line in wrap(make_printable(fact.answer), self.width - 2):
                yield f"{self._paint_mark(fact)} {self._paint(fact, line)}"
            head, used = " " * (self.indent - 2), self.indent
        lines, notes = wrap(asked, self.width - used), self._make_note(beside)
        gap = self._find_gap(
            fact.id, count_columns(lines[-1]) + (self.indent if lines[1:] else used)
        )
        if asked == fact.id:
            pass  # The question of an unknown fact is its id.
        elif gap:
            lines[-1] += " " * gap + paint(fact.id, FAINT, self.style)
        elif notes and self.indent + count_columns(notes[-1]) + 2 + len(fact.id) <= self.width:
            notes[-1] += f"  {fact.id}"
        else:
            notes += self._wrap(fact.id, self.indent)
        yield f"{head}  {lines[0]}"
        yield from (" " * self.indent + line for line in lines[1:])
        yield from self._indent(notes)

    def _find_gap(self, id: str, used: int) -> int:
        """Return the spaces between ``used`` columns and the id; 0 if the id does not fit."""
        assert self.width is not None
        at = max(min(self.ids, self.width - len(id)), used + 2)
        return at - used if at + len(id) <= self.width else 0

    def _make_note(self, beside: str) -> list[str]:
        """Return the lines of a note, cut unless the style is verbose."""
        assert self.width is not None
        lines = self._wrap(beside, self.indent) if beside else []
        if len(lines) > 2 and not self.style.verbose:
            lines = [lines[0], wrap(lines[1], self.width - self.indent - 4)[0] + " ..."]
        return lines

    def _format_details(self, fact: Fact) -> Iterator[str]:
        """Yield what `verbose` adds below a fact, or once below a table."""
        probe = self.probes.get(fact.id)
        said = {"sample": "" if fact.raw is None else str(fact.raw)}
        for label, text in {**said, **(_list_advice(probe) if probe else {})}.items():
            lines = self._wrap(make_printable(text), self.indent + 9) if text.strip(" ") else []
            for number, line in enumerate(lines):
                yield f"{'' if number else label:9}{line}"

    def _find_heading(self, fact: Fact) -> str:
        """Return the question of the fact's table; "" if it is not shown in a table."""
        probe = self.probes.get(fact.id)
        return probe.heading if probe and self.width is not None else ""

    def _format_table(self, heading: str, rows: Sequence[Fact]) -> Iterator[str]:
        """Yield the question, then ``row answer`` in columns; nothing if that is not shorter."""
        assert self.width is not None
        probes = [self.probes[fact.id] for fact in rows]
        if len(rows) < FEWEST_ROWS:
            return
        if self.style.verbose and any(_list_advice(p) != _list_advice(probes[0]) for p in probes):
            return
        answers = [make_printable(fact.answer) for fact in rows]
        rest = max(map(count_columns, answers)) + 1 + 3
        for names in ([find_row_text(probe) for probe in probes], [probe.name for probe in probes]):
            names = [make_printable(name) for name in names]
            widest = max(map(count_columns, names))
            across = (self.width - 2) // (widest + rest)
            if across > 1:
                break
            if len(heading.split()) <= FEWEST_WORDS:
                return  # A name alone would not explain the question.
        else:
            return
        heads = wrap(make_printable(heading.replace("…", "...")), self.width - 2)
        glob = f"{rows[0].family}.{find_common_glob([probe.name for probe in probes])}"
        gap = self._find_gap(glob, 2 + count_columns(heads[-1]))
        heads[-1] += " " * gap + paint(glob, FAINT, self.style) if gap else ""
        yield from ("  " + line for line in heads)
        if not gap:
            yield from ("    " + paint(line, FAINT, self.style) for line in self._wrap(glob, 4))
        cells = [f"{pad(n, widest)} {pad(a, rest - 4)}" for n, a in zip(names, answers)]
        down = -(-len(cells) // across)
        for line in range(down):
            yield "    " + "   ".join(cells[line::down]).rstrip()
        if self.style.verbose:
            yield from self._indent(self._format_details(replace(rows[0], raw=None)))

    def _find_mark(self, fact: Fact) -> str:
        if fact.status in FAULTS:
            return FAULT
        return DIFFERS if differs(fact, self.report, self.probes) else " "

    def _find_colour(self, fact: Fact) -> str:
        return {FAULT: RED, DIFFERS: YELLOW}.get(
            self._find_mark(fact), "" if fact.measured else FAINT
        )

    def _paint(self, fact: Fact, text: str) -> str:
        colour = self._find_colour(fact)
        return paint(text, colour, self.style) if colour else text

    def _paint_mark(self, fact: Fact) -> str:
        return self._paint(fact, self._find_mark(fact)) if self._find_mark(fact) != " " else " "

    def _make_head(self, fact: Fact) -> str:
        """Return mark and answer, padded to their columns."""
        answer = make_printable(fact.answer)
        gap = " " * (self.answer - count_columns(answer))
        return f"{self._paint_mark(fact)} {self._paint(fact, answer)}{gap}"

    def _indent(self, lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
        """Return lines below a question, in its column."""
        return (" " * self.indent + paint(line, FAINT, self.style) for line in lines)

    def _wrap(self, text: str, indent: int) -> list[str]:
        return [text] if self.width is None else wrap(text, self.width - indent)


def _list_advice(probe: Probe) -> dict[str, str]:
    return {"matters": probe.matters, "advice": probe.advice, "see": probe.reference}


def find_row_text(probe: Probe) -> str:
    """Return the text of a row that replaces the … in the table's question."""
    before, _, after = probe.heading.partition("…")
    asked = probe.question
    if asked.startswith(before) and asked.endswith(after):
        return asked[len(before) : len(asked) - len(after)] or probe.name
    return probe.name


def find_common_glob(names: Sequence[str]) -> str:
    """Return the glob of the common beginning and end of ``names``, such as ``has_*``."""
    before = names[0][: _count_common(names)]
    ends = [name[len(before) :][::-1] for name in names]
    return f"{before}*{ends[0][: _count_common(ends)][::-1]}"


def _count_common(names: Sequence[str]) -> int:
    """Return the length of the common beginning of ``names``."""
    return sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*names)))


def count_columns(text: str) -> int:
    """Return the number of columns of a terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int) -> str:
    """Return ``text`` with spaces up to ``width`` columns."""
    return text + " " * (width - count_columns(text))


def wrap(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns, broken between words if possible."""
    lines = [""]
    for word in filter(None, text.split(" ")):
        both = f"{lines[-1]} {word}" if lines[-1] else word
        if count_columns(both) <= width:
            lines[-1] = both
            continue
        lines += [""] * bool(lines[-1])
        for character in word:
            if count_columns(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines
