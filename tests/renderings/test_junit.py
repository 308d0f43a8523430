"""junit: XML that a CI service reads, whatever the strings hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given

from probes import Report
from probes.fact import FAULTS
from probes.renderings import render
from probes.text import make_printable
from tests.renderings import PROBES, SAMPLE
from tests.renderings.junit_schema import faults_of
from tests.strategies import lightly, probes_for, reports


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def properties(element: ElementTree.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in element.findall("properties/property")}


def test_the_sample() -> None:
    root = parsed(render("junit", SAMPLE, PROBES))
    assert root.tag == "testsuites"
    assert root.attrib == {"name": "probes", "tests": "18", "failures": "0", "errors": "3"}
    assert [suite.get("skipped") for suite in root] == ["0", "2", "0"]
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
    assert v6only.findtext("system-out") == (
        "question: Is it for IPv6 alone?\nscope: configured\nvalue: no\ndocumented: yes (freebsd)"
    )
    assert (cases["sockets.backlog"].findtext("system-out") or "").endswith("\nraw: [3, 4]")
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
        tags = [child.tag for child in cases[fact.id]]
        kind = "error" if fact.status in FAULTS else "skipped"
        assert tags == ([] if fact.measured else [kind]) + ["system-out"]
        if not fact.measured:
            shown = cases[fact.id][0].get("message")
            assert shown == f"{fact.status}: {make_printable(fact.reason)}"
    for suite in root:
        for count, tag in (("tests", "testcase"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(count) == str(len(list(suite.iter(tag))))
    assert root.get("errors") == str(len(list(root.iter("error"))))


@lightly
@given(reports)
def test_it_is_valid_against_the_schema_of_jenkins(report: Report) -> None:
    for each in (report, SAMPLE):
        assert faults_of(parsed(render("junit", each, probes_for(each)))) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('<testsuites skipped="1"/>', "testsuites has the attribute skipped"),
        ('<testsuites time="1.2.3"/>', "testsuites has the time 1.2.3"),
        ("<testsuites>x</testsuites>", "testsuites holds text"),
        ('<testsuite name="a" tests="1" failures="0"/>', "testsuite has no errors"),
        ("<testcase name='a'><properties/></testcase>", "testcase holds properties"),
        ("<properties><property name='a'/></properties>", "property has no value"),
        ("<testcase name='a'><b/></testcase>", "no element b"),
    ],
)
def test_the_schema_of_the_tests_refuses(text: str, fault: str) -> None:
    assert fault in faults_of(parsed(text))
