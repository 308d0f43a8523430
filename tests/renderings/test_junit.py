"""junit: XML that a CI service reads, whatever the strings hold."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given

from probes import Report
from probes.fact import FAULTS
from probes.renderings import render, safe
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def properties(element: ElementTree.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in element.findall("properties/property")}


def test_the_sample() -> None:
    root = parsed(render("junit", SAMPLE, PROBES))
    assert root.tag == "testsuites"
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "18", "failures": "0", "errors": "3", "skipped": "2"
    }  # fmt: skip
    assert [suite.get("name") for suite in root] == ["restarts", "sockets", "strangers"]
    sockets = root[1]
    assert properties(sockets)["kernel"] == "FreeBSD 14.1-RELEASE i386"
    assert properties(sockets)["run as"] == "root, in jail, on bhyve"
    assert sockets.get("timestamp") == "2026-11-22T23:59:59Z"
    cases = {case.attrib["name"]: case for case in sockets.findall("testcase")}
    v6only = cases["sockets.v6only_default"]
    assert v6only.attrib == {
        "classname": "sockets", "name": "sockets.v6only_default", "time": "0.002"
    }  # fmt: skip
    assert properties(v6only) == {
        "question": "Is it for IPv6 alone?", "scope": "configured", "value": "no",
        "documented": "yes (freebsd)",
    }  # fmt: skip
    assert properties(cases["sockets.backlog"])["raw"] == "[3, 4]"
    for id, tag, message in (
        ("sockets.reuseport_lb", "skipped", "unsupported: FreeBSD 11 has none"),
        ("sockets.late", "error", "timed out: no answer within 10 s"),
        ("sockets.broke", "error", "broken: ValueError: x (sockets.py:7)"),
        ("sockets.unsure", "error", "unstable: 2 times asked, it answered yes, no"),
    ):
        found = cases[id].find(tag)
        assert found is not None
        assert found.get("message") == message


@lightly
@given(reports)
def test_any_report_is_well_formed_and_counted(report: Report) -> None:
    root = parsed(render("junit", report, probes_for(report)))
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert cases.keys() == report.facts.keys()
    assert root.get("tests") == str(len(report))
    for fact in report:
        tags = [child.tag for child in cases[fact.id] if child.tag != "properties"]
        kind = "error" if fact.status in FAULTS else "skipped"
        assert tags == ([] if fact.measured else [kind])
        if not fact.measured:
            shown = cases[fact.id][-1].get("message")
            assert shown == f"{fact.status}: {safe(fact.reason)}"
    for count, tag in (("errors", "error"), ("skipped", "skipped")):
        assert root.get(count) == str(len(list(root.iter(tag))))
        assert sum(int(suite.attrib[count]) for suite in root) == int(root.attrib[count])
