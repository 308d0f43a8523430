"""Test reading, comparing and merging of JUnit files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from matrix import junit
from probes.errors import CommandError

FILE = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="5">
<testcase classname="t.A" name="passes" time="0.1"><system-out>failure</system-out></testcase>
<testcase classname="t.A" name="fails"><failure message="x">text</failure></testcase>
<testcase classname="t" name="breaks"><error message="x"/></testcase>
<testcase classname="t" name="skips"><skipped message="x"/></testcase>
<testcase name="twice"/><testcase name="twice"><failure/></testcase><testcase name="twice"/>
</testsuite></testsuites>
"""
RESULTS = {
    "t.A::passes": "passed",
    "t.A::fails": "failed",
    "t::breaks": "error",
    "t::skips": "skipped",
    "twice": "failed",
}


def test_results_are_read_and_the_worst_of_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(FILE)
    assert junit.read_results(str(path)) == RESULTS
    assert junit.count_results(RESULTS) == "5 tests: 1 passed, 1 skipped, 2 failed, 1 error"
    assert junit.count_results({}) == "no tests"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JUnit file: no element found: line 1, column 0"),
        ("<html></html>", "not a JUnit file: its first element is html"),
        ("<testsuite>", "not a JUnit file: "),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(text)
    with pytest.raises(CommandError) as raised:
        junit.read_results(str(path))
    assert str(raised.value).startswith(f"{path}: {said}")


def test_only_tests_that_differ_are_shown() -> None:
    results = {
        "here": {"a": "passed", "b": "passed", "c": "failed", "d": "passed"},
        "there": {"a": "passed", "b": "failed", "c": "failed"},
    }
    assert junit.list_differing(results) == {
        "b": {"here": "passed", "there": "failed"},
        "d": {"here": "passed"},
    }
    assert junit.describe_differing(results) == [
        "tests that differ: 2 of 4",
        "     here    there",
        "  b  passed  FAILED",
        "  d  passed  -",
    ]
    assert junit.describe_differing({"here": {"a": "failed"}, "there": {"a": "failed"}}) == [
        "1 test, each with the same result on all 2 cells"
    ]


def test_a_failure_is_paired_with_a_cell_where_the_test_passed() -> None:
    results = {
        "one": {"a": "failed", "b": "failed"},
        "two": {"a": "skipped", "b": "failed"},
        "three": {"a": "passed", "b": "failed"},
    }
    assert junit.pair_failing(results) == {"one": "three"}


def test_merged_files_name_the_cell_of_each_suite_and_test(tmp_path: Path) -> None:
    one, other, merged = (str(tmp_path / name) for name in ("one", "other", "merged"))
    Path(one).write_text(FILE)
    Path(other).write_text(
        '<testsuite><testsuite name="inner"><testcase name="t"/></testsuite></testsuite>'
    )
    junit.merge_files({"here": one, "there": other}, merged)
    root = ElementTree.parse(merged).getroot()
    assert [suite.get("name") for suite in root] == ["here: pytest", "there", "there: inner"]
    assert junit.read_results(merged) == {
        **{f"here.{name}": result for name, result in RESULTS.items() if name != "twice"},
        "here::twice": "failed",
        "there::t": "passed",
    }
