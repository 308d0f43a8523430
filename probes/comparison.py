"""Compare any number of reports: a row for each fact.

A fact that a report could not measure tells nothing about its platform: it is not a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .fact import INFORMATIVE, MEASURED, UNSUPPORTED, Fact, Report

UNKNOWN = "?"
"""Stands for a fact that a report does not have: unknown is not "no"."""


@dataclass(frozen=True)
class Row:
    """One fact in each report, or None in a report that does not have it."""

    id: str
    facts: Sequence[Optional[Fact]]

    @property
    def answers(self) -> list[str]:
        """The answer in each report, as text."""
        return [fact.answer if fact else UNKNOWN for fact in self.facts]

    @property
    def answered(self) -> list[Fact]:
        """The facts that tell how the platform behaves: unsupported is an answer too."""
        return [fact for fact in self.facts if fact and fact.status in (MEASURED, UNSUPPORTED)]

    @property
    def informative(self) -> bool:
        """Whether every report that has the fact calls it informative, so that it may differ."""
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


def compare_reports(reports: Sequence[Report]) -> list[Row]:
    """Return a row for every fact that any report has, in the order of the ids."""
    ids = sorted({id for report in reports for id in report.facts})
    return [Row(id, [report.get(id) for report in reports]) for id in ids]
