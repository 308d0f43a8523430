"""text: what people read, and paste into bug reports.

In a terminal it keeps to the width, and what many facts lack is said once, with their ids;
in a pipe a fact is a line, so that grep works.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, takewhile

from ..fact import FAULTS, Fact, Report
from ..invocation import called
from ..probe import Probe
from . import (
    FAINT,
    RED,
    YELLOW,
    Style,
    bold,
    describe_platform,
    differs,
    find_question,
    group_by_family,
    group_shared_reasons,
    make_note,
    make_reasons,
    paint,
    safe,
    summarize,
)  # fmt: skip

LONGEST_ANSWER = 14
"""Columns an answer may take before it pushes the question aside."""
LONGEST_QUESTION = 64
"""Columns before the ids, where there is room for them."""
FEWEST_ROWS = 4
"""A table of fewer rows is no shorter as one."""
FEWEST_WORDS = 3
"""A table's question of no more words says too little without the rows' own words."""
DIFFERS, FAULT = "*", "!"


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    layout = Layout(report, probes, style)
    lines = [*layout.platform()]
    for family, facts in group_by_family(report, probes).items():
        shown = [fact for fact in facts if fact.id not in layout.apart]
        if shown:
            lines += ["", *layout.title(family), *layout.facts(shown)]
    lines += layout.lacking()
    return "\n".join([*lines, "", *layout.ending()]) + "\n"


class Layout:
    """Where the columns of one report are."""

    def __init__(self, report: Report, probes: Mapping[str, Probe], style: Style) -> None:
        self.report, self.probes, self.style = report, probes, style
        self.width = None if style.width is None else max(style.width, 24)
        self.reasons = make_reasons(report)
        groups = group_shared_reasons(report).values()
        in_groups = self.width is not None and not style.verbose
        self.groups = list(groups) if in_groups else []
        self.apart = {id for ids in self.groups for id in ids}
        """The facts that are shown in groups, each under the reason its facts share."""
        most = LONGEST_ANSWER if self.width is None else min(LONGEST_ANSWER, self.width // 3)
        answers = (columns(safe(fact.answer)) for fact in report)
        self.answer = max((width for width in answers if width <= most), default=0)
        self.indent = 2 + self.answer + 2
        questions = (columns(safe(find_question(fact, probes))) for fact in report)
        longest = max((width for width in questions if width <= LONGEST_QUESTION), default=0)
        self.ids = self.indent + longest + 2

    def platform(self) -> Iterator[str]:
        """Where it was measured, in a few aligned lines."""
        for label, text in describe_platform(self.report):
            first, *rest = self._wrapped(text, 11)
            yield f"{label:9}  {first}"
            yield from (" " * 11 + line for line in rest)

    def title(self, text: str) -> Iterator[str]:
        """A line that stands out."""
        return (bold(line, self.style) for line in self._wrapped(text, 0))

    def facts(self, facts: Sequence[Fact]) -> Iterator[str]:
        """One family: a fact a line, and tables in as many columns as there is room for."""
        for heading, group in groupby(facts, self._heading):
            rows = list(group)
            plain = [fact for fact in rows if not make_note(fact, self.report, self.probes)]
            table = list(self._table(heading, plain)) if heading else []
            yield from table
            for fact in rows:
                if not table or fact not in plain:
                    yield from self._fact(fact)

    def lacking(self) -> Iterator[str]:
        """What many facts lack: the reason once, how many they are, and which."""
        for ids in self.groups:
            first = self.report[ids[0]]
            yield ""
            said = self._wrapped(f"{len(ids)} {first.status}: {safe(first.reason)}".rstrip(" "), 2)
            yield from ("  " + line for line in said)
            for line in self._wrapped(", ".join(ids), 4):
                yield "    " + paint(line, FAINT, self.style)

    def ending(self) -> Iterator[str]:
        """What the marks mean, how many of each status, and how to learn more."""
        marks = [self._mark(fact) for fact in self.report]
        legends = (
            (DIFFERS, YELLOW, "differs from what the platform documents"),
            (FAULT, RED, "the lab failed to measure it: try a longer --deadline, or report it"),
        )
        for mark, colour, meaning in legends:
            if mark in marks:
                first, *rest = self._wrapped(f"{meaning} ({marks.count(mark)})", 2)
                yield f"{paint(mark, colour, self.style)} {first}"
                yield from ("  " + line for line in rest)
        yield from self.title(summarize(self.report))
        more = f"more: {called()} list (every ID), explain ID, explain FAMILY"
        yield from self._wrapped(more, 0)

    # A fact ------------------------------------------------------------------------------

    def _fact(self, fact: Fact) -> Iterator[str]:
        asked = safe(find_question(fact, self.probes))
        beside = self.reasons.get(fact.id, make_note(fact, self.report, self.probes))
        beside = safe(beside).strip(" ")
        if self.width is None:
            head = f"{self._head(fact)}  {asked}"
            yield f"{pad(head, self.ids - 2)}  {fact.id}  {beside}".rstrip()
        else:
            yield from self._in_columns(fact, asked, beside)
        if self.style.verbose:
            yield from self._aside(self._more(fact))

    def _in_columns(self, fact: Fact, asked: str, beside: str) -> Iterator[str]:
        """The answer, beside it the question, wrapped, then the note; the id where it fits."""
        assert self.width is not None
        head, used = self._head(fact), 2 + max(columns(safe(fact.answer)), self.answer) + 2
        if used > self.indent and used + columns(asked) > self.width:
            # An answer too wide for its column, and for the line, has lines of its own.
            for line in wrap(safe(fact.answer), self.width - 2):
                yield f"{self._marked(fact)} {self._coloured(fact, line)}"
            head, used = " " * (self.indent - 2), self.indent
        lines, notes = wrap(asked, self.width - used), self._make_note(beside)
        gap = self._gap(fact.id, columns(lines[-1]) + (self.indent if lines[1:] else used))
        if asked == fact.id:
            pass  # A stranger's question is its id.
        elif gap:
            lines[-1] += " " * gap + paint(fact.id, FAINT, self.style)
        elif notes and self.indent + columns(notes[-1]) + 2 + len(fact.id) <= self.width:
            notes[-1] += f"  {fact.id}"
        else:
            notes += self._wrapped(fact.id, self.indent)
        yield f"{head}  {lines[0]}"
        yield from (" " * self.indent + line for line in lines[1:])
        yield from self._aside(notes)

    def _gap(self, id: str, used: int) -> int:
        """How many spaces put ``id`` into its column behind ``used`` others; 0 without room."""
        assert self.width is not None
        at = max(min(self.ids, self.width - len(id)), used + 2)
        return at - used if at + len(id) <= self.width else 0

    def _make_note(self, beside: str) -> list[str]:
        """What is said beside an answer, cut short where there is little room."""
        assert self.width is not None
        lines = self._wrapped(beside, self.indent) if beside else []
        if len(lines) > 2 and not self.style.verbose:
            lines = [lines[0], wrap(lines[1], self.width - self.indent - 4)[0] + " ..."]
        return lines

    def _more(self, fact: Fact) -> Iterator[str]:
        """What `verbose` adds below a fact, or once below a table."""
        probe = self.probes.get(fact.id)
        said = {"sample": "" if fact.raw is None else str(fact.raw)}
        for label, text in {**said, **(_advice(probe) if probe else {})}.items():
            lines = self._wrapped(safe(text), self.indent + 9) if text.strip(" ") else []
            for number, line in enumerate(lines):
                yield f"{'' if number else label:9}{line}"

    # A table -----------------------------------------------------------------------------

    def _heading(self, fact: Fact) -> str:
        """The question of the whole table, where this fact is a row that can be shown in one."""
        probe = self.probes.get(fact.id)
        return probe.heading if probe and self.width is not None else ""

    def _table(self, heading: str, rows: Sequence[Fact]) -> Iterator[str]:
        """The question once, then ``row answer`` in columns; nothing where that is no shorter."""
        assert self.width is not None
        probes = [self.probes[fact.id] for fact in rows]
        if len(rows) < FEWEST_ROWS:
            return
        if self.style.verbose and any(_advice(p) != _advice(probes[0]) for p in probes):
            return
        answers = [safe(fact.answer) for fact in rows]
        rest = max(map(columns, answers)) + 1 + 3
        for names in ([find_row_text(probe) for probe in probes], [probe.name for probe in probes]):
            names = [safe(name) for name in names]
            widest = max(map(columns, names))
            across = (self.width - 2) // (widest + rest)
            if across > 1:
                break
            if len(heading.split()) <= FEWEST_WORDS:
                return  # A name alone would not tell what is asked.
        else:
            return
        heads = wrap(safe(heading.replace("…", "...")), self.width - 2)
        glob = f"{rows[0].family}.{find_common_glob([probe.name for probe in probes])}"
        gap = self._gap(glob, 2 + columns(heads[-1]))
        heads[-1] += " " * gap + paint(glob, FAINT, self.style) if gap else ""
        yield from ("  " + line for line in heads)
        if not gap:
            yield from ("    " + paint(line, FAINT, self.style) for line in self._wrapped(glob, 4))
        cells = [f"{pad(n, widest)} {pad(a, rest - 4)}" for n, a in zip(names, answers)]
        down = -(-len(cells) // across)
        for line in range(down):
            yield "    " + "   ".join(cells[line::down]).rstrip()
        if self.style.verbose:
            yield from self._aside(self._more(replace(rows[0], raw=None)))

    # Words -------------------------------------------------------------------------------

    def _mark(self, fact: Fact) -> str:
        if fact.status in FAULTS:
            return FAULT
        return DIFFERS if differs(fact, self.report, self.probes) else " "

    def _colour(self, fact: Fact) -> str:
        return {FAULT: RED, DIFFERS: YELLOW}.get(self._mark(fact), "" if fact.measured else FAINT)

    def _coloured(self, fact: Fact, text: str) -> str:
        colour = self._colour(fact)
        return paint(text, colour, self.style) if colour else text

    def _marked(self, fact: Fact) -> str:
        return self._coloured(fact, self._mark(fact)) if self._mark(fact) != " " else " "

    def _head(self, fact: Fact) -> str:
        """Mark and answer, padded to their columns."""
        answer = safe(fact.answer)
        gap = " " * (self.answer - columns(answer))
        return f"{self._marked(fact)} {self._coloured(fact, answer)}{gap}"

    def _aside(self, lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
        """Lines below a question, in its column."""
        return (" " * self.indent + paint(line, FAINT, self.style) for line in lines)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return [text] if self.width is None else wrap(text, self.width - indent)


def _advice(probe: Probe) -> dict[str, str]:
    return {"matters": probe.matters, "advice": probe.advice, "see": probe.reference}


def find_row_text(probe: Probe) -> str:
    """What a row of a table puts for the … of the table's question."""
    before, _, after = probe.heading.partition("…")
    asked = probe.question
    if asked.startswith(before) and asked.endswith(after):
        return asked[len(before) : len(asked) - len(after)] or probe.name
    return probe.name


def find_common_glob(names: Sequence[str]) -> str:
    """The glob of what all ``names`` have in common at their begin and end: ``has_*``."""
    before = names[0][: _alike(names)]
    ends = [name[len(before) :][::-1] for name in names]
    return f"{before}*{ends[0][: _alike(ends)][::-1]}"


def _alike(names: Sequence[str]) -> int:
    """How many characters all ``names`` begin with in common."""
    return sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*names)))


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int) -> str:
    """``text`` with spaces up to ``width`` columns."""
    return text + " " * (width - columns(text))


def wrap(text: str, width: int) -> list[str]:
    """``text`` in lines of ``width`` columns at most, broken between words where that can be."""
    lines = [""]
    for word in filter(None, text.split(" ")):
        both = f"{lines[-1]} {word}" if lines[-1] else word
        if columns(both) <= width:
            lines[-1] = both
            continue
        lines += [""] * bool(lines[-1])
        for character in word:
            if columns(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines
