"""table: which rows differ, and that a promise is never taken for a measurement."""

from __future__ import annotations

import datetime
import json

import pytest

from matrix.report import render_table
from matrix.table import (
    DOCUMENTED,
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    NOT_KNOWN,
    RECORDED,
    Column,
    make_table,
)
from probes import Report
from probes.load_catalogue import load_catalogue
from tests.matrix.reports import ELSEWHERE, changed, host
from tests.matrix.tables import ID, answers, row


def test_rows_that_differ_are_just_those_that_were_changed(linux: Report) -> None:
    values = {ID: "changed", "locks.flock_second_open_conflicts": "changed"}
    table = make_table([("a", linux), ("b", changed(linux, ELSEWHERE, values))], [])
    assert [row.id for row in table.select_differing().rows] == sorted(values)
    assert len(table.rows) == len(load_catalogue())


def test_true_is_not_one(linux: Report) -> None:
    ones = changed(linux, ELSEWHERE, {ID: 1}), changed(linux, ELSEWHERE, {ID: True})
    assert row(make_table([("a", ones[0]), ("b", ones[1])], []), ID).differs


def test_informative_facts_differ_freely(linux: Report) -> None:
    other = changed(linux, ELSEWHERE, {"abi.page_size": 16384})
    assert linux["abi.page_size"].scope == "informative"
    assert not make_table([("a", linux), ("b", other)], []).select_differing().rows


@pytest.mark.parametrize(
    ("status", "differs"),
    [("unsupported", True), ("blocked", False), ("timed out", False), ("broken", False)],
)
def test_only_what_tells_of_the_platform_differs(linux: Report, status: str, differs: bool) -> None:
    fact = {"status": status, "value": None, "scope": "inherent", "reason": "said so"}
    other = changed(linux, ELSEWHERE, facts={ID: fact})
    found = row(make_table([("a", linux), ("b", other)], []), ID)
    assert found.differs == differs
    assert found.entries[1].answer == status


def test_a_fact_that_a_report_lacks_is_unknown_and_differs_from_nothing(linux: Report) -> None:
    few = Report(linux.environment, {id: f for id, f in linux.facts.items() if id != ID})
    found = row(make_table([("a", linux), ("b", few)], []), ID)
    assert found.entries[1].status == NOT_KNOWN
    assert found.entries[1].answer == "?"
    assert not found.differs


def test_a_fact_of_another_catalogue_is_shown_last_in_its_family(linux: Report) -> None:
    fact = {"status": "measured", "value": 7, "scope": "inherent"}
    table = make_table([("a", changed(linux, ELSEWHERE, facts={"sockets.aaa": fact}))], [])
    assert [row.id for row in table.rows if row.family == "sockets"][-1] == "sockets.aaa"
    assert row(table, "sockets.aaa").question == "sockets.aaa"


def test_a_documented_value_is_never_shown_as_measured(linux: Report) -> None:
    table = make_table([("here", linux)], ["freebsd", "openbsd"], here=["here"])
    assert [column.kind for column in table.columns] == [
        MEASURED_HERE, DOCUMENTED_ONLY, DOCUMENTED_ONLY,
    ]  # fmt: skip
    for found in table.rows:
        assert found.entries[0].status == "measured"
        assert {cell.status for cell in found.entries[1:]} <= {DOCUMENTED, NOT_KNOWN}
        assert all(cell.fact is None for cell in found.entries[1:])
    assert row(table, ID).entries[1].status == DOCUMENTED
    document = json.loads(render_table("json", table, show_all=True))
    statuses = {
        (cell or {}).get("status") for found in document["rows"] for cell in found["cells"][1:]
    }
    assert statuses == {DOCUMENTED, None}
    text = render_table("markdown", table, show_all=True)
    line = next(line for line in text.splitlines() if line.startswith(f"| {ID}"))
    assert line.count("(yes)") == 2, line
    assert answers(render_table("text", table, show_all=True), ID)["yes"] == [
        "(freebsd)",
        "(openbsd)",
    ]


def test_a_report_lacking_a_fact_is_not_filled_from_the_manual(linux: Report) -> None:
    few = Report(linux.environment, {})
    assert {c.status for r in make_table([("few", few)], []).rows for c in r.entries} == {NOT_KNOWN}


def test_posix_is_no_platforms_own_word() -> None:
    probe = load_catalogue()["signals.unknown_sa_flags_accepted"]
    only_posix = next(
        p
        for p in load_catalogue().values()
        if "posix" in p.documented and "openbsd" not in p.documented
    )
    assert "openbsd" not in probe.documented
    table = make_table([], ["openbsd", "posix"])
    assert [cell.status for cell in row(table, only_posix.id).entries] == [NOT_KNOWN, DOCUMENTED]


@pytest.mark.parametrize(
    ("name", "id", "value"),
    [("freebsd", "abi.long_bits", 64), ("freebsd-32", "abi.long_bits", 32)],
)
def test_documented_width(name: str, id: str, value: int) -> None:
    assert row(make_table([], [name]), id).entries[0].value == value


def test_what_breaks_its_promise_is_marked(freebsd: Report) -> None:
    wrong = changed(freebsd, {}, {ID: False})
    assert row(make_table([("bsd", wrong)], []), ID).entries[0].breaks_promise
    assert not row(make_table([("bsd", freebsd)], []), ID).entries[0].breaks_promise
    assert answers(render_table("text", make_table([("b", wrong)], []), True), ID) == {"no": ["b!"]}
    # It is named though many others, which promise otherwise, answer the same.
    others = [(name, host()) for name in "cdefg"]
    table = make_table([("b", wrong), *others], ["freebsd"])
    assert row(table, ID).entries[1].answer == "no"
    assert answers(render_table("text", table, True, wide=True), ID) == {
        "yes": ["(freebsd)"], "no": ["the other 5 measured", "b!"],
    }  # fmt: skip
    assert answers(render_table("text", table, True), ID) == {
        "yes": ["(freebsd)"], "no": ["all 6 measured including b!"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "measured here just now"), (59, "measured here just now"),
        (60, "measured here 1 minute ago"), (300, "measured here 5 minutes ago"),
        (7199, "measured here 119 minutes ago"), (7200, "measured here 2 hours ago"),
        (172799, "measured here 47 hours ago"), (172800, "measured here 2 days ago"),
        (-59, "measured here just now"), (-3600, "measured here in the future: is a clock wrong?"),
    ],
)  # fmt: skip
def test_the_age_of_what_was_measured(seconds: int, said: str) -> None:
    now = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
    at = (now - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert Column("here", MEASURED_HERE, "-", measured_at=at).describe_origin(now) == said


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_report_without_a_time_has_no_age(text: str) -> None:
    assert Column("a", RECORDED, "-", measured_at=text).describe_origin() == "report"


@pytest.mark.parametrize(("way", "emulated"), [("qemu/emulated", True), ("qemu/kvm", False)])
def test_an_emulated_platform_is_shown_as_emulated(way: str, emulated: bool) -> None:
    (column,) = make_table([("box", host().with_later(way=way))], []).columns
    assert column.description.endswith("; emulated by QEMU") is emulated
