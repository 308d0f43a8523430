"""json: the report itself, as `Report.load` and report.schema.json have it."""

from __future__ import annotations

from collections.abc import Mapping

from ..fact import Report
from ..probe import Probe
from . import Style


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    return report.dumps()
