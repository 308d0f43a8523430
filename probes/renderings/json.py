"""json: the report itself; report.schema.json describes it."""

from __future__ import annotations

from collections.abc import Mapping

from ..fact import Report
from ..probe import Probe
from . import Style


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as JSON."""
    return report.dumps()
