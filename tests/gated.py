"""Reports and allowed differences for tests of the gate."""

from __future__ import annotations

import datetime
from dataclasses import replace

from probes.allowances import Allowance
from probes.fact import INHERENT, MEASURED, Fact, Platform, Report, Value

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
TODAY = datetime.date(2026, 11, 22)
SETTING = "net.ipv6.bindv6only"


def one(value: Value = None, status: str = MEASURED, scope: str = INHERENT) -> Report:
    reason = "" if status == MEASURED else "because"
    return Report(HERE, {"a.b": Fact("a.b", status, value, scope, reason=reason)})


def beside(report: Report) -> Report:
    """Return the report with another fact, which never changes."""
    return replace(report, facts={**report.facts, "c.d": Fact("c.d", MEASURED, True)})


def allowance(**fields: object) -> Allowance:
    made = Allowance("a.b", "yes", "no", "known", TODAY)
    return replace(made, **fields)  # type: ignore[arg-type]


def by_cause(**fields: object) -> Allowance:
    return allowance(**{"name": SETTING, "was": "0", "now": "1", "is_cause": True, **fields})
