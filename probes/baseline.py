"""Hold a report against a recorded one: what changed, what of it was allowed, what now.

A baseline is a report someone approved.  Beside ``NAME.json`` may lie
``NAME.allowed.json``, the differences someone allowed for a time, each of one fact or of all
facts that hang on one setting:

    {"allowed": [{"fact": "abi.time_t_bits", "from": 32, "to": 64,
                  "reason": "the new image has it", "expires": "2027-03-01"},
                 {"cause": "net.ipv6.bindv6only", "from": "0", "to": "1",
                  "reason": "the router's image sets it", "expires": "2027-03-01"}]}
"""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from .allowances import Allowance
from .differences import Difference, differences, gated_as
from .errors import ReportError
from .fact import (
    BLOCKED,
    CONFIGURED,
    FAULTS,
    INFORMATIVE,
    MEASURED,
    SCOPES,
    UNSUPPORTED,
    Fact,
    Report,
)
from .probe import same

DRIFT = "drift"
"""It answers otherwise: another value, or the platform lost or gained the thing."""
LOST = "lost"
"""The baseline knows the answer; here it could not be asked."""
FAULT = "fault"
"""The probe itself failed: broken, timed out, or unstable."""
GONE = "gone"
"""The baseline has a fact that this report does not have at all."""
UNASKED = "not asked"
"""Root measured it for the baseline, and this user may not: named, and by default no failure."""
NEW = "new"
"""Known here for the first time: named, and no failure."""
UNKNOWN = "unknown"
"""Shown for a setting that a report does not record."""


@dataclass(frozen=True)
class Change:
    """One fact that is not as the baseline has it."""

    kind: str
    id: str
    old: Optional[Fact]
    new: Optional[Fact]
    allowed_because: str = ""
    cause: Optional[Difference] = None
    """The setting that it hangs on, if it answers otherwise and the setting is not as it was."""

    @property
    def was(self) -> str:
        return self.old.answer if self.old else "absent"

    @property
    def now(self) -> str:
        return self.new.answer if self.new else "absent"

    @property
    def scope(self) -> str:
        return stricter(self.old, self.new)

    @property
    def why_not(self) -> str:
        """The reason a fact that could not be asked, or failed, gives."""
        return self.new.reason if self.new and self.kind in (LOST, UNASKED, FAULT) else ""


def stricter(*facts: Optional[Fact]) -> str:
    """Return the stricter scope: a report must not declare a fact to be of less account."""
    return min((fact.scope for fact in facts if fact), key=SCOPES.index)


@dataclass(frozen=True)
class Verdict:
    """What came of holding a report against a baseline."""

    baseline: Report
    report: Report
    changes: Sequence[Change]
    complaints: Sequence[str] = ()
    """Allowances that expired or no longer match anything."""
    unasked: bool = False
    """Nothing the baseline knows was asked: that is no pass."""
    path: str = ""
    """The file of the baseline, where it has one."""

    @property
    def differences(self) -> list[Difference]:
        """How the environment of the report differs from that of the baseline."""
        return differences(self.baseline.environment, self.report.environment)

    @property
    def not_in_baseline(self) -> list[str]:
        """The ids that a newer lab asks and the baseline lacks; none if the lab is the same."""
        if self.baseline.environment.probes_hash == self.report.environment.probes_hash:
            return []
        return [id for id in self.report.facts if id not in self.baseline]

    def failing(self, *kinds: str) -> list[Change]:
        return [c for c in self.changes if not c.allowed_because and c.kind in kinds]

    @property
    def status(self) -> int:
        """Exit status: 0 as expected, 1 drifted, 4 a probe failed, 3 nothing was measured."""
        if self.failing(DRIFT, LOST, GONE) or self.complaints:
            return 1
        if self.failing(FAULT):
            return 4
        return 3 if self.unasked else 0


def compare(baseline: Report, report: Report) -> list[Change]:
    """Every fact of ``report`` that is not as ``baseline`` has it, in the order of the ids.

    Facts that neither report calls more than informative are never compared.  That a probe
    failed is told of any.
    Unsupported is an answer: the platform lacks the thing.  Blocked, timed out, broken
    and unstable are none.
    """
    changes = []
    for id in sorted({*baseline.facts, *report.facts}):
        old, new = baseline.get(id), report.get(id)
        kind = _kind(old, new)
        if kind and (kind == FAULT or stricter(old, new) != INFORMATIVE):
            change = Change(kind, id, old, new)
            changes.append(replace(change, cause=_cause(baseline, report, change)))
    return changes


def _cause(baseline: Report, report: Report, change: Change) -> Optional[Difference]:
    if change.kind != DRIFT or change.scope != CONFIGURED:
        return None
    # A report of an older lab does not say what its facts hang on.
    setting = next((f.hangs_on for f in (change.new, change.old) if f and f.hangs_on), "")
    was, now = (of.environment.sysctls.get(setting, UNKNOWN) for of in (baseline, report))
    return Difference(setting, was, now) if was != now else None


def _kind(old: Optional[Fact], new: Optional[Fact]) -> str:
    if new is None:
        return GONE
    if new.status in FAULTS:
        return FAULT
    if old is None:
        return NEW
    if not _answered(old):
        return NEW if _answered(new) else ""
    if not _answered(new):
        return LOST
    return "" if old.status == new.status and same(old.value, new.value) else DRIFT


def _answered(fact: Fact) -> bool:
    return fact.status in (MEASURED, UNSUPPORTED)


def _for_want_of_root(baseline: Report, report: Report, change: Change) -> bool:
    """Whether it is `LOST` as its question needs root, who measured the baseline alone."""
    if change.kind != LOST or not change.new or change.new.status != BLOCKED:
        return False
    root_then_alone = baseline.environment.root and not report.environment.root
    return root_then_alone and "needs root" in change.new.reason


def judge(
    baseline: Report,
    report: Report,
    allowances: Iterable[Allowance] = (),
    today: Optional[datetime.date] = None,
    asked: Optional[Iterable[str]] = None,
    allow: Sequence[str] = (),
    require_all: bool = False,
    path: str = "",
) -> Verdict:
    """Compare, and take the allowances into account.

    ``asked``: the ids that were to be measured, where that is not all of them; what
    was not asked is neither gone nor an allowance that no longer matches.  ``allow``:
    globs of configured facts that may answer otherwise here, or of settings that facts hang on;
    a fact that is lost or gone did not answer, and one whose setting is as it was has another
    cause.  ``require_all``: what only root may ask has to be asked too.  ``path``: the
    baseline's file.

    Raises ReportError if the two are of different platforms (system, C library, width or
    architecture), and for a glob that is of no configured fact.
    """
    then, now = gated_as(baseline.environment), gated_as(report.environment)
    if then != now:
        raise ReportError(
            f"the baseline is of {then}, the report of {now}: "
            "a gate compares a platform with itself; `diff` compares any two"
        )
    today = today or datetime.date.today()
    wanted = None if asked is None else set(asked)
    changes = [
        change
        for change in compare(baseline, report)
        if wanted is None or change.id in wanted or change.kind != GONE
    ]
    complaints = []
    for allowance in allowances:
        matched = [at for at, change in enumerate(changes) if _matches(allowance, change)]
        if today > allowance.expires:
            complaints.append(f"an allowed difference has expired: {allowance}")
        elif matched:
            for at in matched:
                changes[at] = replace(changes[at], allowed_because=allowance.reason)
        elif wanted is None or not wanted.isdisjoint(_about(allowance, baseline, report)):
            why = _why_unmatched(allowance, baseline, report)
            complaints.append(f"an allowed difference no longer matches: {allowance}{why}")
    for glob in allow:
        _check_allowed(glob, baseline, report)
    for at, change in enumerate(changes):
        if not require_all and _for_want_of_root(baseline, report, change):
            changes[at] = replace(change, kind=UNASKED)
        names = [change.id, *([change.cause.what] if change.cause else [])]
        globs = [glob for glob in allow if fnmatch.filter(names, glob)]
        if globs and change.scope == CONFIGURED and change.kind == DRIFT:
            because = change.allowed_because or f"--allow {globs[0]}"
            changes[at] = replace(change, allowed_because=because)
    unasked = not any(
        _answered(old) and _answered(new) and stricter(old, new) != INFORMATIVE
        for old in baseline
        if (new := report.get(old.id))
    )
    return Verdict(baseline, report, changes, complaints, unasked, path)


def _check_allowed(glob: str, baseline: Report, report: Report) -> None:
    """What a machine's settings decide may differ from machine to machine, and nothing else."""
    if fnmatch.filter(_settings(baseline, report), glob):
        return
    ids = fnmatch.filter(sorted({*baseline.facts, *report.facts}), glob)
    scopes = {id: stricter(baseline.get(id), report.get(id)) for id in ids}
    if CONFIGURED not in scopes.values():
        nothing = "it matches no fact and no setting"
        what = f"{ids[0]} is {scopes[ids[0]]}" if ids else nothing
        raise ReportError(
            f"--allow {glob}: {what}, and only configured facts can be allowed so; "
            "a difference that is meant goes into NAME.allowed.json"
        )


def _settings(*reports: Report) -> list[str]:
    """Return the settings that facts of the reports hang on."""
    return sorted({fact.hangs_on for report in reports for fact in report if fact.hangs_on})


def _about(allowance: Allowance, *reports: Report) -> list[str]:
    """Return the ids of the facts that ``allowance`` may be about."""
    if not allowance.is_cause:
        return [allowance.name]
    return [f.id for report in reports for f in report if f.hangs_on == allowance.name]


def _why_unmatched(allowance: Allowance, baseline: Report, report: Report) -> str:
    """Say what is wrong with the cause that ``allowance`` names; empty if it names a fact."""
    if not allowance.is_cause:
        return ""
    settings = _settings(baseline, report)
    if allowance.name not in settings:
        return f"; no fact hangs on it, but on {', '.join(settings) or 'no setting at all'}"
    was, now = (of.environment.sysctls.get(allowance.name, UNKNOWN) for of in (baseline, report))
    if (was, now) != (allowance.was, allowance.now):
        return f"; the baseline has {was}, the report {now}"
    return "; no fact that hangs on it changed"


def _matches(allowance: Allowance, change: Change) -> bool:
    if allowance.is_cause:
        return change.cause == Difference(allowance.name, allowance.was, allowance.now)
    # That a probe fails is nothing to get used to.
    same_answers = (allowance.was, allowance.now) == (change.was, change.now)
    return allowance.name == change.id and same_answers and change.kind != FAULT


def approve(
    baseline: Optional[Report],
    report: Report,
    reason: str,
    today: datetime.date,
    asked: Iterable[str] = (),
) -> Report:
    """``report`` as the new baseline: with the reason, and those of the baselines before it.

    Raises ReportError where a probe failed, where nothing was measured, and where one of
    the facts ``asked`` for is missing: what was not measured is not recorded.
    """
    faults = [fact.id for fact in report if fact.status in FAULTS]
    if faults:
        raise ReportError(f"not recorded: {', '.join(faults)} could not be measured reliably")
    missing = [id for id in asked if id not in report.facts]
    if missing:
        raise ReportError(
            f"not recorded: the report is a part, it lacks {len(missing)} facts, {missing[0]} first"
        )
    if not any(_answered(fact) for fact in report):
        raise ReportError("not recorded: nothing was measured")
    before = baseline.later.get("approvals", []) if baseline else []
    changed = [f"{c.id}: {c.was} -> {c.now}" for c in compare(baseline, report)] if baseline else []
    approval = {"date": today.isoformat(), "reason": reason, "changes": changed}
    kept = before if isinstance(before, list) else []
    return report.with_later(approvals=[*kept, approval])
