"""Read tables of an analysis."""

from __future__ import annotations

import functools
import re

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report.tables import Table, make_tables

COUNTS = (1, 8, 64)


@functools.cache
def tables(analysis: Analysis) -> list[Table]:
    """Return every table, made once for all tests that read one."""
    return make_tables(analysis)


def table(analysis: Analysis, name: str) -> Table:
    return next(each for each in tables(analysis) if each.name == name)


def interval(text: str) -> tuple[float, float, float]:
    found = re.fullmatch(r"([\d.,]+) \(([\d.,]+) to ([\d.,]+)\)(?: =)?", text)
    assert found, text
    value, low, high = (float(each.replace(",", "")) for each in found.groups())
    return value, low, high
