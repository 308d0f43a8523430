"""diff: any number of reports beside each other, a row a fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .fact import INFORMATIVE, Fact, Report

if TYPE_CHECKING:
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
    def differs(self) -> bool:
        """Whether two reports disagree; what each calls informative may differ freely."""
        if all(fact.scope == INFORMATIVE for fact in self.facts if fact):
            return False
        kinds = {
            (fact.status, type(fact.value), fact.value) if fact else None for fact in self.facts
        }
        return len(kinds) > 1


def rows(reports: Sequence[Report]) -> list[Row]:
    """A row for every fact that any report has, in the order of the ids."""
    ids = sorted({id for report in reports for id in report.facts})
    return [Row(id, [report.get(id) for report in reports]) for id in ids]


def to_text(reports: Named, rows: Sequence[Row], everything: bool, style: Style) -> str:
    """A table: the platforms above, then the rows that differ, or all."""
    from .renderings import bold, safe

    shown = [row for row in rows if everything or row.differs]
    differing = sum(row.differs for row in rows)
    letters = [letter(number) for number in range(len(reports))]
    lines = [
        f"{letter}  {safe(path)}: {safe(str(report.environment))}"
        for letter, (path, report) in zip(letters, reports)
    ]
    lines.append("")
    table = [["", *letters]] + [[row.id, *map(safe, row.answers)] for row in shown]
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    for number, line in enumerate(table):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        different = everything and number and shown[number - 1].differs
        lines.append(bold(text, style) if different else text)
    if not shown:
        lines = lines[:-2]
    lines.append("")
    lines.append(f"{differing} of {len(rows)} facts differ")
    return "\n".join(lines) + "\n"


def to_json(reports: Named, rows: Sequence[Row], everything: bool) -> str:
    """The same as data: values beside statuses, null where a report has no such fact."""
    document = {
        "reports": [
            {"path": path, "platform": str(report.environment)} for path, report in reports
        ],
        "rows": [
            {
                "id": row.id,
                "differs": row.differs,
                "facts": [
                    {"status": fact.status, "value": fact.value} if fact else None
                    for fact in row.facts
                ],
            }
            for row in rows
            if everything or row.differs
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def letter(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    letters = ""
    while number >= 0:
        letters = chr(ord("A") + number % 26) + letters
        number = number // 26 - 1
    return letters
