"""What the gate says: text · json · markdown · junit · github, of one Verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable

from .baseline import DRIFT, FAULT, GONE, LOST, NEW, UNASKED, Change, Verdict
from .probe import Probe

if TYPE_CHECKING:
    from .renderings import Style

FAILING = (DRIFT, LOST, GONE, FAULT)

Probes = Mapping[str, Probe]


def headline(verdict: Verdict) -> str:
    """One line: what came of it."""
    failing = verdict.failing(*FAILING)
    allowed = sum(bool(change.allowed_because) for change in verdict.changes)
    new, unasked = (len(verdict.failing(kind)) for kind in (NEW, UNASKED))
    number = len(verdict.report)
    parts = [f"{number} {'fact' if number == 1 else 'facts'}"]
    for kind, words in _KINDS.items():
        number = sum(change.kind == kind for change in failing)
        if number:
            parts.append(f"{number} {words}")
    if verdict.complaints:
        parts.append(f"{len(verdict.complaints)} allowed differences to mend")
    if allowed:
        parts.append(f"{allowed} allowed")
    if new:
        parts.append(f"{new} new")
    if unasked:
        parts.append(f"{unasked} not asked")
    if verdict.unasked:
        parts.append("nothing the baseline knows could be measured")
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


def line(change: Change, probes: Probes) -> str:
    """Old and new answer, what to do about it, and where it is written."""
    says = f"{change.id}: {change.was} -> {change.now} ({change.scope}, {change.kind})"
    parts = [f"{says}: {change.why_not}" if change.why_not else says]
    probe = probes.get(change.id)
    if probe and change.kind in (DRIFT, LOST, GONE):
        parts.append(f"Advice: {probe.advice} See {probe.reference}")
    if change.allowed_because:
        parts.append(f"Allowed: {change.allowed_because}")
    return "; ".join(parts)


def not_asked(verdict: Verdict) -> list[str]:
    """What only root may ask, in one line; none where all was asked."""
    ids = [change.id for change in verdict.failing(UNASKED)]
    facts = "1 fact" if len(ids) == 1 else f"{len(ids)} facts"
    return [f"not asked here: needs root, {facts}: {', '.join(ids)}"] if ids else []


def changes(verdict: Verdict, probes: Probes, style: Style) -> str:
    """A line a change, and nothing of what comes of them."""
    from .renderings import safe

    lines = [safe(line(each, probes)) for each in verdict.changes if each.kind != UNASKED]
    lines += map(safe, not_asked(verdict))
    lines += map(safe, verdict.complaints)
    return "".join(f"{line}\n" for line in lines)


def _text(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings import bold

    return changes(verdict, probes, style) + bold(headline(verdict), style) + "\n"


def _json(verdict: Verdict, probes: Probes, style: Style) -> str:
    document = {
        "status": verdict.status,
        "headline": headline(verdict),
        "platform": str(verdict.report.environment),
        "complaints": list(verdict.complaints),
        "changes": [
            {
                "id": change.id,
                "kind": change.kind,
                "scope": change.scope,
                "from": change.was,
                "to": change.now,
                "reason": change.why_not,
                "allowed": change.allowed_because,
                "advice": probes[change.id].advice if change.id in probes else "",
                "reference": probes[change.id].reference if change.id in probes else "",
            }
            for change in verdict.changes
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _markdown(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings.markdown import row

    lines = [f"**{headline(verdict)}**", ""]
    if verdict.changes:
        lines += [row("fact", "was", "is", "kind", "advice", "reference"), row(*["---"] * 6)]
        for change in verdict.changes:
            probe = probes.get(change.id)
            kind = f"{change.kind}, allowed: {change.allowed_because}" * bool(
                change.allowed_because
            )
            lines.append(
                row(
                    change.id,
                    change.was,
                    f"{change.now}: {change.why_not}" if change.why_not else change.now,
                    kind or f"{change.kind}, {change.scope}",
                    probe.advice if probe else "",
                    probe.reference if probe else "",
                )
            )
        lines.append("")
    lines += [f"- {complaint}" for complaint in verdict.complaints]
    return "\n".join(lines) + "\n"


def _junit(verdict: Verdict, probes: Probes, style: Style) -> str:
    from xml.etree import ElementTree

    from .renderings.junit import document, legal

    changes = {change.id: change for change in verdict.changes}
    suite = ElementTree.Element("testsuite", name="probes gate")
    failures = errors = skipped = 0
    for id in sorted({*verdict.report.facts, *changes}):
        case = ElementTree.SubElement(suite, "testcase", classname=id.split(".")[0], name=id)
        change = changes.get(id)
        if change is None or change.allowed_because or change.kind in (NEW, UNASKED):
            fact = verdict.report.get(id)
            if fact and not fact.measured:
                message = legal(f"{fact.status}: {fact.reason}")
                ElementTree.SubElement(case, "skipped", message=message)
                skipped += 1
            continue
        tag = "error" if change.kind == FAULT else "failure"
        failures += tag == "failure"
        errors += tag == "error"
        ElementTree.SubElement(case, tag, message=legal(line(change, probes)))
    for complaint in verdict.complaints:
        case = ElementTree.SubElement(suite, "testcase", classname="allowed", name=legal(complaint))
        ElementTree.SubElement(case, "failure", message=legal(complaint))
        failures += 1
    if verdict.unasked:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name="measured")
        ElementTree.SubElement(case, "failure", message=headline(verdict))
        failures += 1
    for name, number in (
        ("tests", len(suite)), ("failures", failures), ("errors", errors), ("skipped", skipped)
    ):  # fmt: skip
        suite.set(name, str(number))
    return document(suite)


def _github(verdict: Verdict, probes: Probes, style: Style) -> str:
    from .renderings.github import annotations, escape

    found = []
    for change in verdict.changes:
        if change.kind == UNASKED:
            continue
        quiet = change.allowed_because or change.kind == NEW
        kind = "notice" if quiet else "error"
        probe = probes.get(change.id)
        found.append((kind, probe.source if probe else None, change.id, line(change, probes)))
    found += [("error", None, "allowed differences", text) for text in verdict.complaints]
    found += [("notice", None, "gate", text) for text in not_asked(verdict)]
    if verdict.unasked:
        found.append(("error", None, "gate", headline(verdict)))
    return annotations(found) + escape(headline(verdict)) + "\n"


_RENDERINGS: dict[str, Callable[[Verdict, Probes, Style], str]] = {
    "text": _text,
    "json": _json,
    "markdown": _markdown,
    "junit": _junit,
    "github": _github,
}
FORMATS = tuple(_RENDERINGS)


def render(name: str, verdict: Verdict, probes: Probes, style: Style) -> str:
    """The verdict in one of the formats text, json, markdown, junit and github."""
    return _RENDERINGS[name](verdict, probes, style)
