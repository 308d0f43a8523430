"""The gate: compare a report with a baseline, judge what changed, and approve a new baseline.

A baseline is a report that someone approved.  `allowances` has the differences that are allowed.
"""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from .allowances import Allowance
from .differences import Difference, list_differences, make_gate_key
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
from .probe import is_same

DRIFT = "drift"
"""The answer changed: another value, or the platform now has or lacks the feature."""
LOST = "lost"
"""The baseline has an answer, and this report has none."""
FAULT = "fault"
"""The probe failed: broken, timed out, or unstable."""
GONE = "gone"
"""The report lacks a fact that the baseline has."""
UNASKED = "not asked"
"""The probe needs root, who measured the baseline: shown, and by default not a failure."""
NEW = "new"
"""The baseline has no answer, and this report has one: shown, and not a failure."""
UNKNOWN = "unknown"
"""Stands for a setting that a report does not record."""


@dataclass(frozen=True)
class Change:
    """One fact that differs from the baseline."""

    kind: str
    id: str
    old: Optional[Fact]
    new: Optional[Fact]
    allowed_because: str = ""
    cause: Optional[Difference] = None
    """The setting that the fact hangs on, if both changed."""

    @property
    def was(self) -> str:
        """The answer in the baseline."""
        return self.old.answer if self.old else "absent"

    @property
    def now(self) -> str:
        """The answer in the report."""
        return self.new.answer if self.new else "absent"

    @property
    def scope(self) -> str:
        """The stricter of both scopes."""
        return find_stricter_scope(self.old, self.new)

    @property
    def why_not(self) -> str:
        """Why the fact has no answer, if the probe could not run or failed."""
        return self.new.reason if self.new and self.kind in (LOST, UNASKED, FAULT) else ""


def find_stricter_scope(*facts: Optional[Fact]) -> str:
    """Return the stricter scope, because a report must not make a fact matter less."""
    return min((fact.scope for fact in facts if fact), key=SCOPES.index)


@dataclass(frozen=True)
class Verdict:
    """The result of comparing a report with a baseline."""

    baseline: Report
    report: Report
    changes: Sequence[Change]
    complaints: Sequence[str] = ()
    """What is wrong with allowed differences: expired, or matching nothing any more."""
    unasked: bool = False
    """No fact of the baseline was measured, which is not a pass."""
    path: str = ""
    """The file of the baseline, if it has one."""

    @property
    def differences(self) -> list[Difference]:
        """The differences between the environments of the baseline and the report."""
        return list_differences(self.baseline.environment, self.report.environment)

    @property
    def not_in_baseline(self) -> list[str]:
        """The ids that the baseline lacks because the lab is newer; none if the lab is the same."""
        if self.baseline.environment.probes_hash == self.report.environment.probes_hash:
            return []
        return [id for id in self.report.facts if id not in self.baseline]

    def failing(self, *kinds: str) -> list[Change]:
        """Return the changes of these kinds that are not allowed."""
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
    """Return every fact of ``report`` that differs from ``baseline``, in the order of the ids.

    Facts that both reports call informative are not compared, but a failed probe is returned
    whatever its scope.  Unsupported is an answer: the platform lacks the feature.  Blocked, timed
    out, broken and unstable are not answers.
    """
    changes = []
    for id in sorted({*baseline.facts, *report.facts}):
        old, new = baseline.get(id), report.get(id)
        kind = _find_kind(old, new)
        if kind and (kind == FAULT or find_stricter_scope(old, new) != INFORMATIVE):
            change = Change(kind, id, old, new)
            changes.append(replace(change, cause=_find_cause(baseline, report, change)))
    return changes


def _find_cause(baseline: Report, report: Report, change: Change) -> Optional[Difference]:
    if change.kind != DRIFT or change.scope != CONFIGURED:
        return None
    # The report of an older lab does not record what its facts hang on.
    setting = next((f.hangs_on for f in (change.new, change.old) if f and f.hangs_on), "")
    was, now = (of.environment.sysctls.get(setting, UNKNOWN) for of in (baseline, report))
    return Difference(setting, was, now) if was != now else None


def _find_kind(old: Optional[Fact], new: Optional[Fact]) -> str:
    if new is None:
        return GONE
    if new.status in FAULTS:
        return FAULT
    if old is None:
        return NEW
    if not _has_answer(old):
        return NEW if _has_answer(new) else ""
    if not _has_answer(new):
        return LOST
    return "" if old.status == new.status and is_same(old.value, new.value) else DRIFT


def _has_answer(fact: Fact) -> bool:
    return fact.status in (MEASURED, UNSUPPORTED)


def _needs_root(baseline: Report, report: Report, change: Change) -> bool:
    """Return whether the fact is `LOST` because only the baseline was measured by root."""
    if change.kind != LOST or not change.new or change.new.status != BLOCKED:
        return False
    root_only_then = baseline.environment.root and not report.environment.root
    return root_only_then and "needs root" in change.new.reason


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
    """Compare the reports, apply the allowed differences, and return the verdict.

    ``asked``: the ids that were to be measured, if not all; other facts are not gone, and
    allowed differences of other facts need not match.  ``allow``: globs of configured facts that
    may change, or of settings that facts hang on.  They do not allow a fact that is lost or gone,
    which has no answer, or a fact whose setting did not change, which has another cause.
    ``require_all``: facts that need root must be measured too.  ``path``: the baseline's file.

    Raises ReportError if the platforms differ in system, C library, width or architecture, and
    for a glob of ``allow`` that matches no configured fact.
    """
    then, now = make_gate_key(baseline.environment), make_gate_key(report.environment)
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
        elif wanted is None or not wanted.isdisjoint(_list_ids(allowance, baseline, report)):
            why = _explain_mismatch(allowance, baseline, report)
            complaints.append(f"an allowed difference no longer matches: {allowance}{why}")
    for glob in allow:
        _check_allowed(glob, baseline, report)
    for at, change in enumerate(changes):
        if not require_all and _needs_root(baseline, report, change):
            changes[at] = replace(change, kind=UNASKED)
        names = [change.id, *([change.cause.what] if change.cause else [])]
        globs = [glob for glob in allow if fnmatch.filter(names, glob)]
        if globs and change.scope == CONFIGURED and change.kind == DRIFT:
            because = change.allowed_because or f"--allow {globs[0]}"
            changes[at] = replace(change, allowed_because=because)
    unasked = not any(
        _has_answer(old) and _has_answer(new) and find_stricter_scope(old, new) != INFORMATIVE
        for old in baseline
        if (new := report.get(old.id))
    )
    return Verdict(baseline, report, changes, complaints, unasked, path)


def _check_allowed(glob: str, baseline: Report, report: Report) -> None:
    """Raise ReportError unless the glob matches a setting, or facts that settings decide."""
    if fnmatch.filter(_list_settings(baseline, report), glob):
        return
    ids = fnmatch.filter(sorted({*baseline.facts, *report.facts}), glob)
    scopes = {id: find_stricter_scope(baseline.get(id), report.get(id)) for id in ids}
    if CONFIGURED not in scopes.values():
        nothing = "it matches no fact and no setting"
        what = f"{ids[0]} is {scopes[ids[0]]}" if ids else nothing
        raise ReportError(
            f"--allow {glob}: {what}, and --allow is for configured facts; "
            "write an intended difference into NAME.allowed.json"
        )


def _list_settings(*reports: Report) -> list[str]:
    """Return the settings that facts of the reports hang on."""
    return sorted({fact.hangs_on for report in reports for fact in report if fact.hangs_on})


def _list_ids(allowance: Allowance, *reports: Report) -> list[str]:
    """Return the ids of the facts that ``allowance`` may concern."""
    if not allowance.is_cause:
        return [allowance.name]
    return [f.id for report in reports for f in report if f.hangs_on == allowance.name]


def _explain_mismatch(allowance: Allowance, baseline: Report, report: Report) -> str:
    """Return what is wrong with the cause that ``allowance`` names; empty if it names a fact."""
    if not allowance.is_cause:
        return ""
    settings = _list_settings(baseline, report)
    if allowance.name not in settings:
        return f"; no fact hangs on it; facts hang on {', '.join(settings) or 'no setting at all'}"
    was, now = (of.environment.sysctls.get(allowance.name, UNKNOWN) for of in (baseline, report))
    if (was, now) != (allowance.was, allowance.now):
        return f"; the baseline has {was}, the report {now}"
    return "; no fact that hangs on it changed"


def _matches(allowance: Allowance, change: Change) -> bool:
    if allowance.is_cause:
        return change.cause == Difference(allowance.name, allowance.was, allowance.now)
    # The failure of a probe cannot be allowed.
    same_answers = (allowance.was, allowance.now) == (change.was, change.now)
    return allowance.name == change.id and same_answers and change.kind != FAULT


def approve(
    baseline: Optional[Report],
    report: Report,
    reason: str,
    today: datetime.date,
    asked: Iterable[str] = (),
) -> Report:
    """Return ``report`` as the new baseline, with the reason and those of earlier approvals.

    Raises ReportError if a probe failed, nothing was measured, one of the facts ``asked`` for is
    missing, or qemu-user stood in for the kernel.
    """
    if report.environment.hypervisor == "qemu-user":
        raise ReportError(
            "not recorded: qemu-user answered the system calls, which is no platform to expect; "
            "measure on its own kernel"
        )
    faults = [fact.id for fact in report if fact.status in FAULTS]
    if faults:
        raise ReportError(f"not recorded: {', '.join(faults)} could not be measured reliably")
    missing = [id for id in asked if id not in report.facts]
    if missing:
        more = f" and {len(missing) - 1} other facts" if missing[1:] else ""
        raise ReportError(f"not recorded: incomplete report, without {missing[0]}{more}")
    if not any(_has_answer(fact) for fact in report):
        raise ReportError("not recorded: nothing was measured")
    before = baseline.later.get("approvals", []) if baseline else []
    changed = [f"{c.id}: {c.was} -> {c.now}" for c in compare(baseline, report)] if baseline else []
    approval = {"date": today.isoformat(), "reason": reason, "changes": changed}
    kept = before if isinstance(before, list) else []
    return report.with_later(approvals=[*kept, approval])
