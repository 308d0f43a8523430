"""Test that the Pythons of one host become one column, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from matrix.cell import BASELINES
from matrix.pythons import format_versions, merge_pythons
from matrix.table import VARIES, Entry, Table, make_table
from probes import Report
from probes.fact import Value
from tests.matrix.reports import ELSEWHERE, changed, host
from tests.matrix.tables import ID, row


def python(version: str, value: Value = True, **environment: Any) -> Report:
    """Return the report of a Python of one host."""
    told = {**ELSEWHERE, "python": f"CPython {version}", **environment}
    return changed(host(), told, {ID: value})


def merged(*reports: Report, here: tuple[str, ...] = ()) -> Table:
    named = [(f"p{at}", report) for at, report in enumerate(reports)]
    return merge_pythons(make_table(named, ["freebsd"], here=here))


def names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def entry(table: Table, at: int = 0) -> Entry:
    return row(table, ID).entries[at]


def test_versions_are_ordered_as_numbers() -> None:
    table = merged(python("3.10.13"), python("3.9.18"), python("3.11.7"))
    assert names(table) == ["CPython 3.9 to 3.11", "freebsd"]
    assert "3.9.18 (p1), 3.10.13 (p0), 3.11.7 (p2)" in table.columns[0].description
    assert entry(table).status == "measured"
    assert entry(table).answer == "yes"


def test_an_answer_that_depends_on_python_is_told_by_ranges() -> None:
    versions = ("3.9.18", "none"), ("3.10.13", "A"), ("3.11.7", "A"), ("3.12.1", "B")
    found = merged(*(python(*each) for each in versions))
    assert entry(found).status == VARIES
    assert entry(found).answer == "none; A from 3.10; B from 3.12"
    assert row(found, ID).differs
    assert [version for version, _ in entry(found).parts] == ["3.9", "3.10", "3.11", "3.12"]
    # Between 3.9 and 3.13 lie versions that nobody measured.
    gap = merged(python("3.9.18", "none"), python("3.13.0", "A"), python("3.14.0", "A"))
    assert names(gap)[0] == "CPython 3.9, 3.13, 3.14"
    assert entry(gap).answer == "none with 3.9; A with 3.13 to 3.14"


def test_one_that_is_blocked_neither_agrees_nor_differs() -> None:
    blocked = {"status": "blocked", "value": None, "scope": "inherent", "reason": "said so"}
    other = changed(python("3.10.1"), {}, facts={ID: blocked})
    found = merged(python("3.9.1"), other)
    assert entry(found).answer == "yes; blocked from 3.10"
    assert entry(found).says == ("bool", True)
    assert len(row(found, ID).entries[0].claims) == 1
    none = merged(changed(python("3.9.1"), {}, facts={ID: blocked}), other)
    assert entry(none).answer == "blocked"
    assert entry(none).says is None


def test_an_answer_that_only_some_document_otherwise_is_marked() -> None:
    found = entry(merged(python("3.9.1", False), python("3.10.1", True)))
    assert found.breaks_promise
    assert found.promise == ("linux", False)
    assert not entry(merged(python("3.9.1", False), python("3.10.1", False))).breaks_promise


def test_any_version_is_a_version() -> None:
    found = merged(python("3.9.1"), python("9" * 5000), python("new"), python("3.9.1."))
    assert len(found.columns) == 2


def test_true_and_one_are_two_answers() -> None:
    assert entry(merged(python("3.9.1", True), python("3.10.1", 1))).answer == "yes; 1 from 3.10"


@pytest.mark.parametrize(
    "environment",
    [
        {"release": "6.2.0"}, {"libc": "musl"}, {"machine": "s390x"}, {"pointer_bits": 32},
        {"root": not host().environment.root}, {"scratch_filesystem": "elsewhere"},
        {"sysctls": {"net.core.somaxconn": "7"}}, {"hypervisor": "gvisor"},
        {"python": "PyPy 3.10.1"}, {"python": ""},
    ],
)  # fmt: skip
def test_what_differs_in_more_than_python_stays_apart(environment: dict[str, Any]) -> None:
    told = {"python": "CPython 3.10.1", **environment}
    assert names(merged(python("3.9.1"), changed(python("3.9.1"), told))) == ["p0", "p1", "freebsd"]


def test_another_version_of_the_lab_with_the_same_facts_is_merged() -> None:
    assert len(names(merged(python("3.9.1"), python("3.10.1", probes_hash="other")))) == 2
    few = python("3.10.1")
    few = Report(few.environment, {id: fact for id, fact in few.facts.items() if id != ID})
    assert names(merged(python("3.9.1"), few)) == ["p0", "p1", "freebsd"]


def test_what_was_measured_here_is_not_merged_with_what_is_recorded() -> None:
    three = python("3.9.1"), python("3.10.1"), python("3.11.1")
    assert names(merged(*three, here=("p0",))) == ["p0", "CPython 3.10 to 3.11", "freebsd"]


def test_two_reports_of_one_python_are_merged_if_they_agree() -> None:
    three = python("3.9.1"), python("3.10.1"), python("3.9.1")
    assert names(merged(*three)) == ["CPython 3.9 to 3.10", "freebsd"]
    assert names(merged(*three[:2], python("3.9.1", False)))[1] == "p2"
    assert names(merged(three[0], three[2])) == ["p0", "p1", "freebsd"]


def test_two_hosts_have_two_names() -> None:
    both = [python(v, release=r) for r in ("6.1.0", "6.2.0") for v in ("3.9.1", "3.10.1")]
    assert names(merged(*both)) == ["CPython 3.9 to 3.10", "CPython 3.9 to 3.10 of p2", "freebsd"]


def test_two_of_one_minor_version_are_named_in_full() -> None:
    found = merged(python("3.13.0", "b"), python("3.13.0rc1", "a"), python("3.12.1", "a"))
    assert names(found)[0] == "CPython 3.12.1, 3.13.0rc1, 3.13.0"
    assert entry(found).answer == "a with 3.12.1, 3.13.0rc1; b with 3.13.0"


def test_the_age_is_that_of_the_oldest() -> None:
    reports = [
        changed(python(f"3.{minor}.1"), {}, measured_at=f"2026-11-2{minor - 8}T00:00:00Z")
        for minor in (10, 9, 11)
    ]
    assert merged(*reports).columns[0].measured_at == "2026-11-21T00:00:00Z"


def test_the_recorded_pythons_differ_as_the_manual_of_python_says() -> None:
    reports = [
        (name, Report.load(f"{BASELINES}/{name}.json"))
        for name in ("python3.13", "python3.9", "python3.12", "python3.10", "python3.11", "musl")
    ]
    found = merge_pythons(make_table(reports, []))
    assert names(found) == ["CPython 3.9 to 3.13", "musl"]
    answer = row(found, "signals.python_signal_flags").entries[0].answer
    assert answer == "none; SA_ONSTACK from 3.10"


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (["3.9"], "3.9"), (["3.9", "3.10"], "3.9 to 3.10"), (["3.9", "3.11"], "3.9, 3.11"),
        (["2.7", "3.0"], "2.7, 3.0"), (["3.9.1", "3.9.2"], "3.9.1, 3.9.2"),
    ],
)  # fmt: skip
def test_ranges_of_versions(versions: list[str], text: str) -> None:
    assert format_versions(versions) == text
