"""junit: XML that CI services show: a suite a family, a case a fact.

It is valid against junit-10.xsd of Jenkins' xunit plugin, the strictest that readers use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..fact import FAULTS, Fact, Report, show
from ..probe import Probe
from . import Style, describe_platform, find_question, format_documented, group_by_family, safe


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    suites = []
    for family, facts in group_by_family(report, probes).items():
        suite = Element(
            "testsuite",
            name=family,
            time=_seconds(sum(fact.milliseconds for fact in facts)),
            timestamp=make_legal(report.measured_at),
        )
        add_properties(suite, describe_platform(report))
        for fact in facts:
            _add_case(suite, fact, report, probes)
        suites.append(add_counts(suite))
    return document(*suites)


def _add_case(suite: Element, fact: Fact, report: Report, probes: Mapping[str, Probe]) -> None:
    case = SubElement(
        suite, "testcase", classname=fact.family, name=fact.id, time=_seconds(fact.milliseconds)
    )
    if not fact.measured:
        tag = "error" if fact.status in FAULTS else "skipped"
        SubElement(case, tag, type=fact.status, message=make_legal(f"{fact.status}: {fact.reason}"))
    said = {
        "question": find_question(fact, probes),
        "scope": fact.scope,
        "value": show(fact.value) if fact.measured else "",
        "documented": format_documented(fact, report, probes),
        "raw": "" if fact.raw is None else json.dumps(fact.raw),
    }
    lines = [f"{name}: {make_legal(value)}" for name, value in said.items() if value]
    SubElement(case, "system-out").text = "\n".join(lines)


def add_properties(suite: Element, said: Iterable[tuple[str, str]]) -> None:
    """Add what is said of a whole suite; of a case the schema knows none."""
    properties = SubElement(suite, "properties")
    for name, value in said:
        SubElement(properties, "property", name=make_legal(name), value=make_legal(value))


def add_counts(suite: Element) -> Element:
    """Return ``suite`` with the counts of its cases."""
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def document(*suites: Element) -> str:
    """A whole JUnit document of ``suites``, each with its counts."""
    root = Element("testsuites", name="probes")
    # The schema knows ``skipped`` of a suite alone.
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def make_legal(text: str) -> str:
    """``text`` without what XML has no way to write, each such character shown as its escape."""
    return safe(text)
