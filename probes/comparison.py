"""diff: any number of reports beside each other, a row a fact.

What a report could not measure tells nothing of its platform: it is no difference, and is listed
apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from .fact import INFORMATIVE, MEASURED, UNSUPPORTED, Fact, Report

if TYPE_CHECKING:
    from .probe import Probe
    from .renderings import Style

Named = Sequence[tuple[str, Report]]
"""Reports with the paths they came from."""

UNKNOWN = "?"
"""Shown for a fact a report does not have: unknown is not "no"."""


@dataclass(frozen=True)
class Row:
    """One fact as each report has it."""

    id: str
    facts: Sequence[Optional[Fact]]

    @property
    def answers(self) -> list[str]:
        return [fact.answer if fact else UNKNOWN for fact in self.facts]

    @property
    def answered(self) -> list[Fact]:
        """The facts that tell how the platform behaves: unsupported is an answer too."""
        return [fact for fact in self.facts if fact and fact.status in (MEASURED, UNSUPPORTED)]

    @property
    def informative(self) -> bool:
        """Whether every report that has it calls it informative: it may differ freely."""
        return all(fact.scope == INFORMATIVE for fact in self.facts if fact)

    @property
    def differs(self) -> bool:
        """Whether two reports have different answers."""
        kinds = {(fact.status, type(fact.value), fact.value) for fact in self.answered}
        return len(kinds) > 1 and not self.informative

    @property
    def compared(self) -> bool:
        """Whether every report has an answer, or enough of them to see that it differs."""
        return self.differs or self.informative or len(self.answered) == len(self.facts)


def rows(reports: Sequence[Report]) -> list[Row]:
    """A row for every fact that any report has, in the order of the ids."""
    ids = sorted({id for report in reports for id in report.facts})
    return [Row(id, [report.get(id) for report in reports]) for id in ids]


def to_text(
    reports: Named, rows: Sequence[Row], everything: bool, probes: Mapping[str, Probe], style: Style
) -> str:
    """The platforms, then the rows that differ, or all, then what could not be compared.

    A row is one line, or, if a terminal is too narrow, its question and a line for each answer.
    """
    from .renderings import bold, safe
    from .renderings.text import columns

    letters = [letter(number) for number in range(len(reports))]
    shown = [row for row in rows if row.differs or (everything and row.compared)]
    lines: list[str] = []
    for name, (path, report) in zip(letters, reports):
        lines += _wrapped(f"{safe(path)}: {safe(str(report.environment))}", f"{name}  ", style)
    if shown:
        lines.append("")
    table = _table(shown, letters, probes)
    if style.width is None or max(map(columns, table), default=0) <= style.width:
        marks = [False, *(everything and row.differs for row in shown)]
        lines += [bold(text, style) if mark else text for mark, text in zip(marks, table)]
    else:
        for row in shown:
            lines += _block(row, letters, probes, style, marked=everything and row.differs)
    missing = [row for row in rows if not row.compared]
    if missing:
        lines += ["", "not compared:", *_missing(missing, letters, style)]
    differing = sum(row.differs for row in rows)
    last = f"{differing} of {len(rows)} facts differ"
    last += f", {len(missing)} not compared" if missing else ""
    ending = [bold(line, style) for line in _wrapped(last, "", style)]
    return "\n".join([*lines, "", *ending]) + "\n"


def _table(rows: Sequence[Row], letters: Sequence[str], probes: Mapping[str, Probe]) -> list[str]:
    """A row a line, below the letters of the reports: id, answers, question."""
    from .renderings import safe
    from .renderings.text import columns, pad

    table = [["", *letters, ""]]
    table += [[row.id, *map(safe, row.answers), _question(row, probes)] for row in rows]
    widths = [max(columns(line[at]) for line in table) for at in range(len(table[0]))]
    return ["  ".join(map(pad, line, widths)).rstrip() for line in table] if rows else []


def _block(
    row: Row, letters: Sequence[str], probes: Mapping[str, Probe], style: Style, marked: bool
) -> list[str]:
    """The question, then which reports have which answer."""
    from .renderings import FAINT, bold, painted, safe
    from .renderings.text import columns

    question = _wrapped(_question(row, probes), "", style)
    lines = [bold(text, style) if marked else text for text in question]
    if question and style.width and columns(question[-1]) + 2 + len(row.id) <= style.width:
        lines[-1] += "  " + painted(row.id, FAINT, style)
    else:
        lines += [painted(text, FAINT, style) for text in _wrapped(row.id, "  ", style)]
    by_answer: dict[str, list[str]] = {}
    for name, answer in zip(letters, row.answers):
        by_answer.setdefault(answer, []).append(name)
    for answer, names in by_answer.items():
        lines += _wrapped(f"{', '.join(names)}: {safe(answer)}", "  ", style)
    return lines


def _question(row: Row, probes: Mapping[str, Probe]) -> str:
    return probes[row.id].question if row.id in probes else ""


def _missing(rows: Sequence[Row], letters: Sequence[str], style: Style) -> Iterator[str]:
    """What each report did not measure: once for each reason, with the ids."""
    from .renderings import safe

    found: dict[tuple[str, str], list[str]] = {}
    for at, name in enumerate(letters):
        for row in rows:
            fact = row.facts[at]
            if fact not in row.answered:
                why = f"{fact.status}: {fact.reason}" if fact else "not in the report"
                found.setdefault((name, why), []).append(row.id)
    for (name, why), ids in found.items():
        facts = "1 fact" if len(ids) == 1 else f"{len(ids)} facts"
        yield from _wrapped(f"{safe(why)}; {facts}: {', '.join(ids)}", f"  {name}  ", style)


def _wrapped(text: str, before: str, style: Style) -> list[str]:
    """``text`` behind ``before``, in lines as wide as the terminal."""
    from .renderings.text import wrap

    if style.width is None:
        return [f"{before}{text}"] if text else []
    first, *rest = wrap(text, max(style.width, 24) - len(before))
    return [f"{before}{first}", *(" " * len(before) + line for line in rest)] if text else []


def to_json(
    reports: Named, rows: Sequence[Row], everything: bool, probes: Mapping[str, Probe]
) -> str:
    """The same as data: values beside statuses, null where a report has no such fact."""

    def of(row: Row) -> dict[str, Any]:
        return {
            "id": row.id,
            "question": probes[row.id].question if row.id in probes else "",
            "differs": row.differs,
            "facts": [
                {"status": fact.status, "value": fact.value, "reason": fact.reason}
                if fact
                else None
                for fact in row.facts
            ],
        }

    document = {
        "reports": [
            {"path": path, "platform": str(report.environment)} for path, report in reports
        ],
        "rows": [of(row) for row in rows if row.differs or (everything and row.compared)],
        "not_compared": [of(row) for row in rows if not row.compared],
    }
    return json.dumps(document, indent=1) + "\n"


def letter(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    letters = ""
    while number >= 0:
        letters = chr(ord("A") + number % 26) + letters
        number = number // 26 - 1
    return letters
