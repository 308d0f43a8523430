"""junit: XML that CI services show: a suite per family, a case per fact.

It is valid against junit-10.xsd of Jenkins' xunit plugin, the strictest schema in use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..fact import FAULTS, Fact, Report, show
from ..probe import Probe
from ..text import make_printable
from . import Style, describe_platform, find_question, format_documented, group_by_family


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as JUnit XML."""
    suites = []
    for family, facts in group_by_family(report, probes).items():
        suite = Element(
            "testsuite",
            name=family,
            time=_format_seconds(sum(fact.milliseconds for fact in facts)),
            timestamp=escape(report.measured_at),
        )
        add_properties(suite, describe_platform(report))
        for fact in facts:
            _add_case(suite, fact, report, probes)
        suites.append(add_counts(suite))
    return make_document(*suites)


def _add_case(suite: Element, fact: Fact, report: Report, probes: Mapping[str, Probe]) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=fact.family,
        name=fact.id,
        time=_format_seconds(fact.milliseconds),
    )
    if not fact.measured:
        tag = "error" if fact.status in FAULTS else "skipped"
        SubElement(case, tag, type=fact.status, message=escape(f"{fact.status}: {fact.reason}"))
    said = {
        "question": find_question(fact, probes),
        "scope": fact.scope,
        "value": show(fact.value) if fact.measured else "",
        "documented": format_documented(fact, report, probes),
        "raw": "" if fact.raw is None else json.dumps(fact.raw),
    }
    lines = [f"{name}: {escape(value)}" for name, value in said.items() if value]
    SubElement(case, "system-out").text = "\n".join(lines)


def add_properties(suite: Element, said: Iterable[tuple[str, str]]) -> None:
    """Add properties to a suite; the schema has none for a case."""
    properties = SubElement(suite, "properties")
    for name, value in said:
        SubElement(properties, "property", name=escape(name), value=escape(value))


def add_counts(suite: Element) -> Element:
    """Set the counts of a suite's cases, and return the suite."""
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _format_seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def make_document(*suites: Element) -> str:
    """Return a JUnit document of suites that have their counts."""
    root = Element("testsuites", name="probes")
    # In the schema, only a suite has ``skipped``.
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def escape(text: str) -> str:
    """Return ``text`` with escapes for the characters that XML cannot express."""
    return make_printable(text)
