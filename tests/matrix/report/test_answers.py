"""Test how platforms are named beside the answers that they give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from matrix.families import list_families
from matrix.report._answers import condense_table, group_by_families, mark_name, tell_platforms
from matrix.table import NOT_KNOWN, Entry, Table, make_table
from probes import Report
from probes.fact import Value
from tests.matrix.reports import ELSEWHERE, FREEBSD, changed, host
from tests.matrix.tables import ID, row

LINUX = [f"linux-{number}" for number in range(8)]


def table(
    values: dict[str, Value], facts: dict[str, dict[str, Any]] | None = None, here: str = ""
) -> Table:
    """Return a table of eight Linuxes and a FreeBSD, which answer no but for ``values``."""
    named: list[tuple[str, Report]] = []
    for at, name in enumerate([*LINUX, "bsd"]):
        told = FREEBSD if name == "bsd" else {**ELSEWHERE, "release": f"6.{at}.0"}
        other = {ID: facts[name]} if facts and name in facts else None
        named.append((name, changed(host(), told, {ID: values.get(name, False)}, other)))
    return condense_table(make_table(named, ["freebsd", "openbsd"], here=[here]))


def answers(made: Table) -> list[tuple[str, str]]:
    return group_by_families(row(made, ID), made.columns, list_families(made.columns))


def failed(status: str) -> dict[str, Any]:
    return {"status": status, "value": None, "scope": "inherent", "reason": "said so"}


def test_the_rarest_answer_comes_first_and_documented_ones_stay_marked() -> None:
    assert answers(table({"bsd": True})) == [
        ("yes", "bsd, (freebsd), (openbsd)"),
        ("no", "Linux, all 8"),
    ]


def test_a_documented_answer_that_is_measured_nowhere_is_told() -> None:
    assert answers(table({}))[0] == ("yes", "(freebsd), (openbsd)")
    assert answers(table({}))[1] == ("no", "all 9 measured including bsd!")


def test_the_minority_is_named() -> None:
    assert answers(table({"bsd": True, "linux-3": "EINTR"})) == [
        ("EINTR", "linux-3!"),
        ("yes", "bsd, (freebsd), (openbsd)"),
        ("no", "Linux but linux-3"),
    ]


def test_a_family_that_breaks_its_promise_is_marked_as_one() -> None:
    assert answers(table({**dict.fromkeys(LINUX, "x"), "bsd": True}))[-1] == ("x", "Linux, all 8!")


def test_what_was_not_measured_is_told_last_and_agrees_with_nothing() -> None:
    facts = {name: failed("blocked") for name in LINUX[:5]}
    facts["linux-5"] = failed("timed out")
    assert answers(table({"bsd": True}, facts)) == [
        ("yes", "bsd, (freebsd), (openbsd)"),
        ("no", "linux-6, linux-7"),
        ("blocked", "Linux but linux-5, linux-6, linux-7"),
        ("timed out", "linux-5"),
    ]
    facts = {name: failed("blocked") for name in LINUX[:2]}
    assert answers(table({"bsd": True}, facts))[1:] == [
        ("no", "Linux, all 6 measured"), ("blocked", "linux-0, linux-1"),
    ]  # fmt: skip


def test_what_nothing_measured_is_never_called_measured() -> None:
    facts = dict.fromkeys([*LINUX, "bsd"], failed("blocked"))
    assert answers(table({}, facts)) == [
        ("yes", "(freebsd), (openbsd)"), ("blocked", "Linux, all 8; bsd"),
    ]  # fmt: skip
    made = condense_table(make_table([(each * 30, host()) for each in "abcdefg"], ["openbsd"]))
    none = replace(row(made, ID), entries=[Entry(NOT_KNOWN) for _ in made.columns])
    assert group_by_families(none, made.columns, []) == [("?", "all 7 with a report")]
    facts["bsd"] = failed("broken")
    assert answers(table({}, facts))[1:] == [("blocked", "Linux, all 8"), ("broken", "bsd")]


def test_unsupported_is_an_answer_of_its_own() -> None:
    facts = {name: failed("unsupported") for name in LINUX[:6]}
    assert answers(table({"bsd": True}, facts))[1:] == [
        ("no", "linux-6, linux-7"), ("unsupported", "Linux but linux-6, linux-7"),
    ]  # fmt: skip


def test_a_text_that_looks_like_a_status_is_not_one() -> None:
    made = table({"bsd": "blocked"}, {"linux-0": failed("blocked")})
    assert [each for each in answers(made) if each[0] == "blocked"] == [
        ("blocked", "bsd!"), ("blocked", "linux-0"),
    ]  # fmt: skip


def test_names_are_marked_by_their_origin() -> None:
    made = table({"bsd": True, "linux-3": True}, here="linux-3")
    names = {column.name: mark_name(column) for column in made.columns}
    assert (names["linux-3"], names["linux-4"]) == ("linux-3*", "linux-4")
    assert names["openbsd"] == "(openbsd)"
    found = row(made, ID)
    place = next(at for at, column in enumerate(made.columns) if column.name == "linux-3")
    told = tell_platforms([place], range(9), found, made.columns, list_families(made.columns))
    assert told == "linux-3*!"
