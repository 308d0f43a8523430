"""Texts about a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from probes.baseline import Verdict, judge
from probes.fact import (
    BLOCKED,
    BROKEN,
    MEASURED,
    Fact,
    Report,
)
from probes.load_catalogue import load_catalogue
from probes.render_verdict import FORMATS, render_verdict
from probes.renderings import Style
from tests.gated import HERE, TODAY, allowance, beside, one
from tests.renderings.junit_schema import faults_of

THEN, NOW = replace(HERE, probes_hash="aa"), replace(HERE, probes_hash="bb", release="7.0")
DIFFER = ["kernel release: 6.1.0 -> 7.0", "hash of the probes: aa -> bb"]
NEWER = "the lab is newer than the baseline, which lacks 1 fact: approve it again"


def of_a_newer_lab() -> Verdict:
    """Another kernel, another lab, a fact of it that the baseline lacks, and a drift."""
    before = Report(THEN, {"a.b": Fact("a.b", MEASURED, True)})
    facts = {"a.b": Fact("a.b", MEASURED, False), "c.d": Fact("c.d", MEASURED, "<|>")}
    return judge(before, Report(NOW, facts), today=TODAY, path="ci/base,line.json")


def test_how_the_environments_differ_comes_first() -> None:
    verdict = of_a_newer_lab()
    lines = render_verdict("text", verdict, {}, Style()).splitlines()
    assert lines[:3] == [*(f"environment: {each}" for each in DIFFER), NEWER]
    assert lines[3].startswith("a.b: yes -> no")
    document = json.loads(render_verdict("json", verdict, {}, Style()))
    assert document["environment"][0] == {"what": "kernel release", "from": "6.1.0", "to": "7.0"}
    assert document["not_in_baseline"] == ["c.d"]
    markdown = render_verdict("markdown", verdict, {}, Style())
    assert "| kernel release | 6.1.0 | 7.0 |" in markdown
    assert markdown.index("kernel release") < markdown.index(NEWER) < markdown.index("| a.b |")
    suite = ElementTree.fromstring(render_verdict("junit", verdict, {}, Style()))[0]
    assert {p.attrib["name"]: p.attrib["value"] for p in suite.iter("property")} == {
        "kernel release": "6.1.0 -> 7.0", "hash of the probes": "aa -> bb", "lab": NEWER,
    }  # fmt: skip
    first = render_verdict("github", verdict, {}, Style()).splitlines()[0]
    assert first.startswith("::notice file=ci/base%2Cline.json,line=1,title=environment::")
    assert all(each in first for each in (*DIFFER, NEWER))


def test_where_nothing_differs_nothing_is_said_of_it() -> None:
    verdict = judge(one(True), one(True), today=TODAY)
    for name in FORMATS:
        text = render_verdict(name, verdict, {}, Style())
        assert "newer" not in text
        assert "->" not in text
    assert "environment" not in render_verdict("markdown", verdict, {}, Style())


def test_the_lab_is_newer_if_it_asks_more_and_its_hash_is_another() -> None:
    before, after = one(True), beside(one(True))
    same_lab = judge(before, after, today=TODAY)
    assert same_lab.not_in_baseline == []
    other = replace(after, environment=replace(HERE, probes_hash="bb"))
    assert judge(before, other, today=TODAY).not_in_baseline == ["c.d"]
    # A newer lab that asks nothing new, or less.
    assert judge(replace(other, environment=HERE), other, today=TODAY).not_in_baseline == []
    assert judge(other, before, today=TODAY).not_in_baseline == []


def test_annotations_name_the_users_files_and_not_our_source() -> None:
    stale = [allowance(name="x.y")]
    drifted = judge(one(True), one(False), stale, TODAY, path="ci/here.json")
    text = render_verdict("github", drifted, load_catalogue(), Style())
    assert "::error file=ci/here.json,line=1,title=a.b::" in text
    assert "::error file=ci/here.allowed.json,line=1,title=allowed differences::" in text
    assert "probes/catalogue" not in text
    # What came by standard input has no name.
    drifted = judge(one(True), one(False), stale, TODAY)
    text = render_verdict("github", drifted, load_catalogue(), Style())
    assert "::error title=a.b::" in text
    assert "file=" not in text


@pytest.mark.parametrize("case", ["drift", "fault", "stale", "nothing", "unasked", "fine"])
def test_what_the_gate_says_is_valid_junit(case: str) -> None:
    cases: dict[str, Callable[[], Verdict]] = {
        "drift": lambda: judge(one(True), one(False), today=TODAY),
        "fault": lambda: judge(one(True), one(status=BROKEN), today=TODAY),
        "stale": lambda: judge(one(True), one(True), [allowance()], TODAY),
        "nothing": lambda: judge(one(status=BLOCKED), one(status=BLOCKED), today=TODAY),
        "unasked": of_a_newer_lab,
        "fine": lambda: judge(one(True), one(True), today=TODAY),
    }
    verdict = cases[case]()
    root = ElementTree.fromstring(render_verdict("junit", verdict, {}, Style()))
    assert faults_of(root) == []
    suite = root[0]
    for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"),
                       ("skipped", "skipped")):  # fmt: skip
        assert suite.get(count) == str(len(list(suite.iter(tag))))
        assert root.get(count) == (None if tag == "skipped" else suite.get(count))
