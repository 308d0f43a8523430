"""junit: XML that CI services show: a suite a family, a case a fact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..fact import FAULTS, Fact, Report, show
from ..probe import Probe
from . import Style, described, documented, families, question, safe

COUNTS = ("tests", "failures", "errors", "skipped")


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    suites = []
    for family, facts in families(report, probes).items():
        suite = Element(
            "testsuite",
            name=family,
            tests=str(len(facts)),
            failures="0",
            errors=str(sum(fact.status in FAULTS for fact in facts)),
            skipped=str(sum(not fact.measured and fact.status not in FAULTS for fact in facts)),
            time=_seconds(sum(fact.milliseconds for fact in facts)),
            timestamp=legal(report.measured_at),
        )
        properties = SubElement(suite, "properties")
        for label, text in described(report):
            SubElement(properties, "property", name=label, value=legal(text))
        for fact in facts:
            _add_case(suite, fact, report, probes)
        suites.append(suite)
    return document(*suites)


def _add_case(suite: Element, fact: Fact, report: Report, probes: Mapping[str, Probe]) -> None:
    case = SubElement(
        suite, "testcase", classname=fact.family, name=fact.id, time=_seconds(fact.milliseconds)
    )
    properties = SubElement(case, "properties")
    said = {
        "question": question(fact, probes),
        "scope": fact.scope,
        "value": show(fact.value) if fact.measured else "",
        "documented": documented(fact, report, probes),
        "raw": "" if fact.raw is None else json.dumps(fact.raw),
    }
    for name, value in said.items():
        if value:
            SubElement(properties, "property", name=name, value=legal(value))
    if not fact.measured:
        tag = "error" if fact.status in FAULTS else "skipped"
        SubElement(case, tag, type=fact.status, message=legal(f"{fact.status}: {fact.reason}"))


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def document(*suites: Element) -> str:
    """A whole JUnit document of ``suites``, each with its counts."""
    root = Element("testsuites", name="probes")
    for count in COUNTS:
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def legal(text: str) -> str:
    """``text`` without what XML has no way to write, each such character shown as its escape."""
    return safe(text)
