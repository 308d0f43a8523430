"""Print the verdict of the gate: text · json · markdown · junit · github · sarif.

The differences of the environments come first, because they may explain what changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Optional

from .allowances import find_allowances
from .baseline import DRIFT, FAULT, GONE, LOST, NEW, UNASKED, Change, Verdict
from .differences import Difference
from .probe import Probe

if TYPE_CHECKING:
    from .renderings import Style
    from .renderings.github import Annotation

FAILING = (DRIFT, LOST, GONE, FAULT)

Probes = Mapping[str, Probe]
Group = tuple[Optional[Difference], list[Change]]


def make_headline(verdict: Verdict) -> str:
    """Return the result in one line."""
    failing = verdict.failing(*FAILING)
    allowed = sum(bool(change.allowed_because) for change in verdict.changes)
    new, unasked = (len(verdict.failing(kind)) for kind in (NEW, UNASKED))
    parts = [_count_facts(len(verdict.report))]
    for kind, words in _KINDS.items():
        these = [change for change in failing if change.kind == kind]
        if these:
            by = [f"{len(of)} by {cause.what}" for cause, of in group_by_cause(these) if cause]
            parts.append(f"{len(these)} {words}" + (f" ({', '.join(by)})" if by else ""))
    if verdict.complaints:
        number = len(verdict.complaints)
        parts.append(f"{number} allowed {'difference' if number == 1 else 'differences'} to mend")
    if allowed:
        parts.append(f"{allowed} allowed")
    if new:
        parts.append(f"{new} new")
    if unasked:
        parts.append(f"{unasked} not asked")
    if verdict.unasked:
        parts.append("no fact of the baseline could be measured")
    elif not (failing or verdict.complaints or allowed or new or unasked):
        parts.append("unchanged")
    passed = "gate passed" if verdict.status == 0 else "gate FAILED"
    return f"{passed}: {', '.join(parts)}"


_KINDS = {
    DRIFT: "changed",
    LOST: "no longer measured",
    GONE: "gone",
    FAULT: "failed to be measured",
}


def group_by_cause(changes: Iterable[Change]) -> list[Group]:
    """Return the changes without a cause, then a group for each setting that caused some.

    If only some of a setting's changes are allowed, they are two groups.
    """
    groups: dict[tuple[Optional[Difference], bool], list[Change]] = {(None, False): []}
    for change in changes:
        allowed = bool(change.cause and change.allowed_because)
        groups.setdefault((change.cause, allowed), []).append(change)
    return [(cause, found) for (cause, _), found in groups.items() if found]


def make_heading(cause: Difference, changes: Sequence[Change]) -> str:
    """Return the line above a group: the setting, its change, and how many facts changed."""
    reasons = list(dict.fromkeys(c.allowed_because for c in changes if c.allowed_because))
    allowed = f"; Allowed: {'; '.join(reasons)}" if reasons else ""
    return (
        f"{cause.what}: {_count_facts(len(changes))} changed ({cause.was} -> {cause.now}){allowed}"
    )


def _count_facts(number: int) -> str:
    return "1 fact" if number == 1 else f"{number} facts"


def describe_change(change: Change, probes: Probes) -> str:
    """Return the old and the new answer, the advice and the reference, in one line."""
    by = f" by {change.cause}" if change.cause else ""
    says = f"{change.id}: {change.was} -> {change.now} ({change.scope}, {change.kind}{by})"
    parts = [f"{says}: {change.why_not}" if change.why_not else says]
    probe = probes.get(change.id)
    if probe and change.kind in (DRIFT, LOST, GONE):
        parts.append(f"Advice: {probe.advice} See {probe.reference}")
    if change.allowed_because:
        parts.append(f"Allowed: {change.allowed_because}")
    return "; ".join(parts)


def list_unasked(verdict: Verdict) -> list[str]:
    """Return one line with the facts that need root; none if all were asked."""
    ids = [change.id for change in verdict.failing(UNASKED)]
    return (
        [f"not asked here: needs root, {_count_facts(len(ids))}: {', '.join(ids)}"] if ids else []
    )


def note_newer_lab(verdict: Verdict) -> list[str]:
    """Return one line if the baseline lacks facts because the lab is newer; otherwise none."""
    number = len(verdict.not_in_baseline)
    if not number:
        return []
    return [
        f"the lab is newer than the baseline, which lacks {_count_facts(number)}: approve it again"
    ]


def render_changes(verdict: Verdict, probes: Probes) -> str:
    """Return the differences of the environments, and a line per change, without the result."""
    from .text import make_printable

    lines = [f"environment: {difference}" for difference in verdict.differences]
    lines += note_newer_lab(verdict)
    for cause, found in group_by_cause(each for each in verdict.changes if each.kind != UNASKED):
        lines += [make_heading(cause, found)] if cause else []
        lines += [
            ("  " if cause else "") + describe_change(_drop_cause(each), probes) for each in found
        ]
    lines += list_unasked(verdict)
    lines += verdict.complaints
    return "".join(f"{make_printable(line)}\n" for line in lines)


def _drop_cause(change: Change) -> Change:
    """Return ``change`` without what the heading of its group already has."""
    return replace(change, cause=None, allowed_because="") if change.cause else change


def _render_text(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings import embolden

    return render_changes(verdict, probes) + embolden(make_headline(verdict), style) + "\n"


def _render_json(verdict: Verdict, probes: Probes, style: Style) -> str:
    document = {
        "status": verdict.status,
        "headline": make_headline(verdict),
        "platform": str(verdict.report.environment),
        "environment": [
            {"what": difference.what, "from": difference.was, "to": difference.now}
            for difference in verdict.differences
        ],
        "not_in_baseline": verdict.not_in_baseline,
        "complaints": list(verdict.complaints),
        "causes": [
            {
                "setting": cause.what,
                "from": cause.was,
                "to": cause.now,
                "facts": [change.id for change in verdict.changes if change.cause == cause],
            }
            for cause in dict.fromkeys(c.cause for c in verdict.changes if c.cause)
        ],
        "changes": [
            {
                "id": change.id,
                "kind": change.kind,
                "scope": change.scope,
                "from": change.was,
                "to": change.now,
                "reason": change.why_not,
                "cause": change.cause.what if change.cause else None,
                "allowed": change.allowed_because,
                "advice": probes[change.id].advice if change.id in probes else "",
                "reference": probes[change.id].reference if change.id in probes else "",
            }
            for change in verdict.changes
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _render_markdown(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings.markdown import escape, format_row

    lines = [f"**{make_headline(verdict)}**", ""]
    if verdict.differences:
        lines += [format_row("environment", "was", "is"), format_row(*["---"] * 3)]
        lines += [format_row(each.what, each.was, each.now) for each in verdict.differences]
        lines.append("")
    lines += [text for said in note_newer_lab(verdict) for text in (escape(said), "")]
    for cause, found in group_by_cause(verdict.changes):
        lines += [escape(make_heading(cause, found)), ""] if cause else []
        lines += [
            format_row("fact", "was", "is", "kind", "advice", "reference"),
            format_row(*["---"] * 6),
        ]
        for change in found:
            probe = probes.get(change.id)
            kind = f"{change.kind}, allowed: {change.allowed_because}" * bool(
                change.allowed_because
            )
            lines.append(
                format_row(
                    change.id,
                    change.was,
                    f"{change.now}: {change.why_not}" if change.why_not else change.now,
                    kind or f"{change.kind}, {change.scope}",
                    probe.advice if probe else "",
                    probe.reference if probe else "",
                )
            )
        lines.append("")
    lines += [f"- {escape(complaint)}" for complaint in verdict.complaints]
    return "\n".join(lines) + "\n"


def _render_junit(verdict: Verdict, probes: Probes, style: Style) -> str:
    from xml.etree.ElementTree import Element, SubElement

    from .renderings.junit import add_counts, add_properties, escape, make_document

    changes = {change.id: change for change in verdict.changes}
    gate = Element("testsuite", name="probes gate")
    said = {each.what: f"{each.was} -> {each.now}" for each in verdict.differences}
    said.update(("lab", text) for text in note_newer_lab(verdict))
    add_properties(gate, said.items())
    suites: dict[Optional[Difference], Element] = {None: gate}
    for id in sorted({*verdict.report.facts, *changes}):
        change = changes.get(id)
        cause = change.cause if change else None
        if cause not in suites:
            suites[cause] = Element("testsuite", name=escape(str(cause)))
        case = SubElement(suites[cause], "testcase", classname=id.split(".")[0], name=id)
        if change is None or change.allowed_because or change.kind in (NEW, UNASKED):
            fact = verdict.report.get(id)
            if fact and not fact.measured:
                message = escape(f"{fact.status}: {fact.reason}")
                SubElement(case, "skipped", message=message)
            continue
        tag = "error" if change.kind == FAULT else "failure"
        SubElement(case, tag, message=escape(describe_change(change, probes)))
    for complaint in verdict.complaints:
        case = SubElement(gate, "testcase", classname="allowed", name=escape(complaint))
        SubElement(case, "failure", message=escape(complaint))
    if verdict.unasked:
        case = SubElement(gate, "testcase", classname="gate", name="measured")
        SubElement(case, "failure", message=make_headline(verdict))
    return make_document(*map(add_counts, suites.values()))


def _render_github(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings.github import escape, format_annotations

    return (
        format_annotations(_list_findings(verdict, probes)) + escape(make_headline(verdict)) + "\n"
    )


def _render_sarif(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings.sarif import make_document

    allowed: dict[str, str] = {}
    failing = set()
    for change in verdict.changes:
        title = change.cause.what if change.cause else change.id
        if change.allowed_because:
            allowed[title] = change.allowed_because
        else:
            failing.add(title)
    # If only some facts of a setting are allowed, its result is a finding.
    allowed = {title: because for title, because in allowed.items() if title not in failing}
    # Differences of the environments, and facts that were not asked, are not findings.
    found = [
        each for each in _list_findings(verdict, probes) if each[0] == "error" or each[2] in allowed
    ]
    ids = list(verdict.report.facts)
    return make_document(verdict.report.environment, ids, found, probes, allowed)


def _list_findings(verdict: Verdict, probes: Probes) -> list[Annotation]:
    """Return annotations of the baseline and of the allowed differences."""
    # A user's repository has the baseline, but not the lab's source.
    baseline = (verdict.path, 1) if verdict.path else None
    allowed = (find_allowances(verdict.path), 1) if verdict.path else None
    found: list[Annotation] = []
    environment = [*map(str, verdict.differences), *note_newer_lab(verdict)]
    if environment:
        found.append(("notice", baseline, "environment", "; ".join(environment)))
    for cause, changes in group_by_cause(c for c in verdict.changes if c.kind != UNASKED):
        if cause:
            kind = "notice" if changes[0].allowed_because else "error"
            answers = "; ".join(f"{c.id}: {c.was} -> {c.now}" for c in changes)
            advice = dict.fromkeys(probes[c.id].advice for c in changes if c.id in probes)
            text = f"{make_heading(cause, changes)}; {answers}"
            text += f"; Advice: {' '.join(advice)}" if advice else ""
            found.append((kind, baseline, cause.what, text))
            continue
        for change in changes:
            quiet = change.allowed_because or change.kind == NEW
            kind = "notice" if quiet else "error"
            found.append((kind, baseline, change.id, describe_change(change, probes)))
    found += [("error", allowed, "allowed differences", text) for text in verdict.complaints]
    found += [("notice", baseline, "gate", text) for text in list_unasked(verdict)]
    if verdict.unasked:
        found.append(("error", baseline, "gate", make_headline(verdict)))
    return found


_RENDERINGS: dict[str, Callable[[Verdict, Probes, Style], str]] = {
    "text": _render_text,
    "json": _render_json,
    "markdown": _render_markdown,
    "junit": _render_junit,
    "github": _render_github,
    "sarif": _render_sarif,
}
FORMATS = tuple(_RENDERINGS)


def render_verdict(name: str, verdict: Verdict, probes: Probes, style: Style) -> str:
    """Return the verdict in the format ``name``, one of `FORMATS`."""
    return _RENDERINGS[name](verdict, probes, style)
