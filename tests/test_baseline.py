"""Test the gate's comparison: it names every fact that changed, and no other."""

from __future__ import annotations

import datetime
import json
import string
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.allowances import Allowance
from probes.baseline import DRIFT, FAULT, GONE, LOST, NEW, UNASKED, approve, compare, judge
from probes.errors import ReportError
from probes.fact import (
    BLOCKED,
    BROKEN,
    CONFIGURED,
    FAULTS,
    INFORMATIVE,
    INHERENT,
    MEASURED,
    STATUSES,
    TIMED_OUT,
    UNSTABLE,
    UNSUPPORTED,
    Fact,
    Report,
)
from probes.render_verdict import describe_change, render_verdict
from probes.renderings import Style
from tests.gated import HERE, SETTING, TODAY, allowance, beside, by_cause, one
from tests.renderings.junit_schema import faults_of

names = st.text(string.ascii_lowercase, min_size=1, max_size=3)
ids = (
    st.tuples(names, names)
    .map(".".join)
    .filter(lambda id: all(p.isidentifier() for p in id.split(".")))
)
values = st.one_of(
    st.booleans(), st.integers(-3, 70), st.sampled_from(["ok", "EINTR", "1"]), st.none()
)


@st.composite
def facts(
    draw: st.DrawFn, id: str = "a.b", scopes: tuple[str, ...] = (INHERENT, CONFIGURED)
) -> Fact:
    status = draw(st.sampled_from(STATUSES))
    value = draw(values) if status == MEASURED else None
    reason = "" if status == MEASURED else "because"
    return Fact(id, status, value, draw(st.sampled_from(scopes)), reason=reason)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    chosen = draw(st.lists(ids, max_size=6, unique=True))
    return Report(HERE, {id: draw(facts(id, (INHERENT, CONFIGURED, INFORMATIVE))) for id in chosen})


@given(reports())
def test_a_report_equals_itself(report: Report) -> None:
    assert {change.kind for change in compare(report, report)} <= {FAULT}


@given(reports(), st.data())
def test_a_change_of_one_value_is_always_named(report: Report, data: st.DataObject) -> None:
    measured = [f for f in report if f.measured and f.scope != INFORMATIVE]
    if not measured:
        return
    fact = data.draw(st.sampled_from(measured))
    other = data.draw(values.filter(lambda v: (type(v), v) != (type(fact.value), fact.value)))
    after = replace(report, facts={**report.facts, fact.id: replace(fact, value=other)})
    named = [c for c in compare(report, after) if c.kind != FAULT]
    assert [(c.kind, c.id) for c in named] == [(DRIFT, fact.id)]
    assert judge(report, after, today=TODAY).status == 1


@given(reports(), reports(), st.randoms())
def test_order_never_matters(before: Report, after: Report, random: object) -> None:
    def shuffled(report: Report) -> Report:
        items = list(report.facts.items())
        random.shuffle(items)  # type: ignore[attr-defined]
        return replace(report, facts=dict(items))

    assert compare(before, after) == compare(shuffled(before), shuffled(after))


@given(reports(), reports())
def test_what_agrees_is_never_named_and_what_differs_always(before: Report, after: Report) -> None:
    named = {change.id for change in compare(before, after)}
    for id in {*before.facts, *after.facts}:
        old, new = before.get(id), after.get(id)
        if all(fact.scope == INFORMATIVE for fact in (old, new) if fact):
            assert (id in named) == (new is not None and new.status in FAULTS)
        elif old and new and (old.status, type(old.value), old.value) == (
            new.status, type(new.value), new.value
        ):  # fmt: skip
            assert (id in named) == (new.status in FAULTS)
        elif old and new and (old.measured or new.measured):
            assert id in named


@pytest.mark.parametrize(
    ("before", "after", "kind", "status"),
    [
        (one(True), one(False), DRIFT, 1),
        (one(True), one(1), DRIFT, 1),
        (one(True), one(status=UNSUPPORTED), DRIFT, 1),
        (one(status=UNSUPPORTED), one(True), DRIFT, 1),
        (one(True), one(status=BLOCKED), LOST, 1),
        (one(True), one(status=BROKEN), FAULT, 4),
        (one(True), one(status=TIMED_OUT), FAULT, 4),
        (one(True), one(status=UNSTABLE), FAULT, 4),
        (one(True), Report(HERE, {}), GONE, 1),
        (one(True, scope=CONFIGURED), one(False, scope=CONFIGURED), DRIFT, 1),
    ],
)
def test_what_fails_the_gate(before: Report, after: Report, kind: str, status: int) -> None:
    verdict = judge(before, after, today=TODAY)
    assert [change.kind for change in verdict.changes] == [kind]
    assert verdict.status == status


def test_what_the_baseline_does_not_know_is_named_and_passes() -> None:
    known = Fact("a.c", MEASURED, 1)
    before = Report(HERE, {"a.b": Fact("a.b", BLOCKED, reason="no root"), "a.c": known})
    after = Report(HERE, {"a.b": Fact("a.b", MEASURED, 1), "a.c": known, "a.d": known})
    verdict = judge(before, after, today=TODAY)
    assert [(c.kind, c.id) for c in verdict.changes] == [(NEW, "a.b"), (NEW, "a.d")]
    assert verdict.status == 0


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in (MEASURED, UNSUPPORTED)])
def test_nothing_measured_is_no_pass(status: str) -> None:
    assert judge(one(status=status), one(status=status), today=TODAY).status != 0
    assert judge(Report(HERE, {}), Report(HERE, {}), today=TODAY).status != 0
    # The baseline knows none of its facts.
    assert judge(one(status=status), one(True), today=TODAY).status == 3


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"system": "FreeBSD"}, "freebsd-glibc-64 on amd64"),
        ({"libc": "musl"}, "linux-musl-64 on amd64"),
        ({"pointer_bits": 32}, "linux-glibc-32 on i386"),
        ({"machine": "aarch64"}, "linux-glibc-64 on arm64"),
        ({"machine": "riscv64"}, "linux-glibc-64 on riscv64"),
        ({"hypervisor": "gvisor"}, "linux-glibc-64 on amd64, kernel gvisor"),
        ({"hypervisor": "qemu-user"}, "linux-glibc-64 on amd64, kernel qemu-user"),
    ],
)
def test_another_platform_is_refused(other: dict[str, Any], named: str) -> None:
    elsewhere = replace(one(1), environment=replace(HERE, **other))
    said = "a gate compares a platform with itself"
    with pytest.raises(ReportError, match=f"report of {named}: {said}"):
        judge(one(1), elsewhere)
    with pytest.raises(ReportError, match=f"baseline is of {named}, the report"):
        judge(elsewhere, one(1))
    assert judge(elsewhere, elsewhere).status == 0


@pytest.mark.parametrize(
    "other", [{"release": "7"}, {"machine": "amd64"}, {"root": True}, {"libc_version": "9"}]
)
def test_the_same_platform_is_not(other: dict[str, Any]) -> None:
    assert judge(one(1), replace(one(1), environment=replace(HERE, **other))).status == 0


def test_a_32_bit_machine_is_one_however_it_is_spelt() -> None:
    was = replace(one(1), environment=replace(HERE, machine="i686", pointer_bits=32))
    for machine in ("i386", "i586", "x86_64"):
        now = replace(one(1), environment=replace(HERE, machine=machine, pointer_bits=32))
        assert judge(was, now).status == 0


def test_an_allowed_difference_passes_until_its_last_day() -> None:
    verdict = judge(one(True), one(False), [allowance()], TODAY)
    assert verdict.status == 0
    assert verdict.changes[0].allowed_because == "known"
    tomorrow = TODAY + datetime.timedelta(days=1)
    verdict = judge(one(True), one(False), [allowance()], tomorrow)
    assert verdict.status == 1
    assert "expired" in verdict.complaints[0]


@pytest.mark.parametrize("stale", [{"name": "a.c"}, {"was": "no"}, {"now": "EINTR"}])
def test_an_allowed_difference_that_matches_nothing_fails(stale: dict[str, str]) -> None:
    verdict = judge(one(True), one(True), [allowance(**stale)], TODAY)
    assert verdict.status == 1
    assert "no longer matches" in verdict.complaints[0]


def test_what_was_not_asked_is_neither_gone_nor_stale() -> None:
    before = Report(HERE, {id: Fact(id, MEASURED, True) for id in ("a.b", "a.c")})
    after = Report(HERE, {"a.c": Fact("a.c", MEASURED, True)})
    verdict = judge(before, after, [allowance()], TODAY, asked=["a.c"])
    assert (verdict.status, verdict.changes, verdict.complaints) == (0, [], [])
    # A fact that was measured anyway is compared.
    after = Report(HERE, {**after.facts, "a.b": Fact("a.b", MEASURED, 7)})
    verdict = judge(before, after, today=TODAY, asked=["a.c"])
    assert [(c.kind, c.id) for c in verdict.changes] == [(DRIFT, "a.b")]


def test_what_root_alone_may_ask_is_named_and_no_failure() -> None:
    fact = Fact("a.b", BLOCKED, reason="a second user id needs root: run the lab as root")
    root, user = replace(HERE, root=True), replace(HERE, root=False)
    both = {"a.b": Fact("a.b", MEASURED, True), "c.d": Fact("c.d", MEASURED, True)}
    mine = {**both, "a.b": fact}
    verdict = judge(Report(root, both), Report(user, mine), today=TODAY)
    assert (verdict.status, [change.kind for change in verdict.changes]) == (0, [UNASKED])
    told = render_verdict("text", verdict, {}, Style())
    assert told == (
        "environment: run as root: yes -> no\n"
        "not asked here: needs root, 1 fact: a.b\n"
        "gate passed: 2 facts, 1 not asked\n"
    )
    assert "<skipped" in render_verdict("junit", verdict, {}, Style())
    assert "::notice" in render_verdict("github", verdict, {}, Style())
    assert json.loads(render_verdict("json", verdict, {}, Style()))["changes"][0]["kind"] == UNASKED
    # Lost, if all facts are required, if root asks, or if something else is missing.
    assert judge(Report(root, both), Report(user, mine), require_all=True).status == 1
    assert judge(Report(root, both), Report(root, mine)).status == 1
    assert judge(Report(user, both), Report(user, mine)).status == 1
    other = {**both, "a.b": replace(fact, reason="needs a C compiler")}
    assert judge(Report(root, both), Report(user, other)).status == 1
    # A gate that asked nothing does not pass.
    alone = {"a.b": fact}
    assert judge(Report(root, {"a.b": both["a.b"]}), Report(user, alone)).status == 3


def hanging(setting: str, *answers: bool, **other: Any) -> Report:
    """Return a report of a host with this value of SETTING, and of facts that depend on it."""
    environment = replace(HERE, sysctls={SETTING: setting} if setting else {})
    facts = [
        replace(Fact(f"a.{letter}", MEASURED, answer, CONFIGURED, hangs_on=SETTING), **other)
        for letter, answer in zip("bcde", answers)
    ]
    facts.append(Fact("x.y", MEASURED, True, CONFIGURED))
    return Report(environment, {fact.id: fact for fact in facts})


THEN_0, NOW_1 = hanging("0", False, False, True), hanging("1", True, True, True)


def test_what_changed_with_a_setting_has_it_as_its_cause() -> None:
    changes = compare(THEN_0, NOW_1)
    assert [(change.id, str(change.cause)) for change in changes] == [
        ("a.b", f"{SETTING}: 0 -> 1"), ("a.c", f"{SETTING}: 0 -> 1")
    ]  # fmt: skip
    # A baseline of an older lab records neither the setting nor which facts depend on it.
    older = hanging("", False, False, True, hangs_on="")
    assert str(compare(older, NOW_1)[0].cause) == f"{SETTING}: unknown -> 1"
    newer = hanging("1", True, True, True, hangs_on="")
    assert compare(THEN_0, newer)[0].cause


@pytest.mark.parametrize(
    "after",
    [
        hanging("0", True, True),
        hanging("1", True, True, scope=INHERENT),
        hanging("1", True, True, status=BLOCKED, value=None, reason="a filter"),
        hanging("1", True, True, status=BROKEN, value=None, reason="it broke"),
    ],
    ids=["the setting is as it was", "inherent", "blocked", "broken"],
)
def test_a_setting_causes_nothing_else(after: Report) -> None:
    before = hanging("0", False, False)
    changes = compare(before, after)
    assert [change.id for change in changes] == ["a.b", "a.c"]
    assert [change.cause for change in changes] == [None, None]
    for allow in ([], [SETTING]):
        assert judge(before, after, today=TODAY, allow=allow).status in (1, 4)
    verdict = judge(before, after, [by_cause()], TODAY)
    assert not any(change.allowed_because for change in verdict.changes)
    assert "no longer matches" in verdict.complaints[0]


def test_one_entry_allows_all_that_a_setting_changed() -> None:
    assert judge(THEN_0, NOW_1, today=TODAY).status == 1
    verdict = judge(THEN_0, NOW_1, [by_cause()], TODAY)
    assert (verdict.status, verdict.complaints) == (0, [])
    assert [change.allowed_because for change in verdict.changes] == ["known", "known"]
    late = judge(THEN_0, NOW_1, [by_cause()], TODAY + datetime.timedelta(days=1))
    assert late.status == 1
    assert late.complaints == [
        f"an allowed difference has expired: {SETTING}: 0 -> 1 (until {TODAY}: known)"
    ]


def test_an_entry_by_cause_excuses_no_other_fact() -> None:
    other = Fact("x.y", MEASURED, False, CONFIGURED)
    drifted = replace(NOW_1, facts={**NOW_1.facts, "x.y": other})
    verdict = judge(THEN_0, drifted, [by_cause()], TODAY)
    assert verdict.status == 1
    assert [c.id for c in verdict.changes if not c.allowed_because] == ["x.y"]


@pytest.mark.parametrize(
    ("stale", "why"),
    [
        ({"now": "2"}, "the baseline has 0, the report 1"),
        ({"name": "net.ipv6.bindv6onyl"}, f"no fact hangs on it; facts hang on {SETTING}"),
    ],
)
def test_an_entry_by_cause_that_matches_nothing_says_why(stale: dict[str, str], why: str) -> None:
    verdict = judge(THEN_0, NOW_1, [by_cause(**stale)], TODAY)
    assert verdict.status == 1
    assert verdict.complaints[0].endswith(f": known); {why}")
    if "name" not in stale:
        # An entry for a fact that is not asked is not stale.
        assert judge(THEN_0, NOW_1, [by_cause(**stale)], TODAY, asked=["x.y"]).complaints == []
        assert judge(THEN_0, NOW_1, [by_cause(**stale)], TODAY, asked=["a.e", "a.b"]).complaints
    same = judge(hanging("0", True), hanging("1", True), [by_cause()], TODAY)
    assert same.complaints[0].endswith("; no fact that hangs on it changed")


def test_allow_takes_the_setting() -> None:
    for glob in (SETTING, "net.ipv6.*"):
        verdict = judge(THEN_0, NOW_1, today=TODAY, allow=[glob])
        assert verdict.status == 0
        assert {change.allowed_because for change in verdict.changes} == {f"--allow {glob}"}
    with pytest.raises(ReportError, match="it matches no fact and no setting"):
        judge(THEN_0, NOW_1, today=TODAY, allow=["net.ipv4.*"])


ONE_CAUSE = f"{SETTING}: 2 facts changed (0 -> 1)"


def test_every_format_groups_by_cause() -> None:
    drifted = replace(NOW_1, facts={**NOW_1.facts, "x.y": Fact("x.y", MEASURED, False, CONFIGURED)})
    verdict = judge(THEN_0, drifted, today=TODAY, path="ci/base.json")
    text = render_verdict("text", verdict, {}, Style()).splitlines()
    assert text[1:] == [
        "x.y: yes -> no (configured, drift)",
        ONE_CAUSE,
        "  a.b: no -> yes (configured, drift)",
        "  a.c: no -> yes (configured, drift)",
        f"gate FAILED: 4 facts, 3 changed (2 by {SETTING})",
    ]
    document = json.loads(render_verdict("json", verdict, {}, Style()))
    assert document["causes"] == [
        {"setting": SETTING, "from": "0", "to": "1", "facts": ["a.b", "a.c"]}
    ]
    assert [each["cause"] for each in document["changes"]] == [SETTING, SETTING, None]
    markdown = render_verdict("markdown", verdict, {}, Style())
    assert markdown.index("| x.y |") < markdown.index(ONE_CAUSE) < markdown.index("| a.b |")
    junit = render_verdict("junit", verdict, {}, Style())
    assert faults_of(ElementTree.fromstring(junit)) == []
    gate, cause = ElementTree.fromstring(junit)
    assert (gate.get("failures"), cause.get("failures")) == ("1", "2")
    assert cause.get("name") == f"{SETTING}: 0 -> 1"
    github = render_verdict("github", verdict, {}, Style()).splitlines()
    assert [line for line in github if line.startswith("::error")] == [
        "::error file=ci/base.json,line=1,title=x.y::x.y: yes -> no (configured, drift)",
        f"::error file=ci/base.json,line=1,title={SETTING}::{ONE_CAUSE}; "
        "a.b: no -> yes; a.c: no -> yes",
    ]
    (run,) = json.loads(render_verdict("sarif", verdict, {}, Style()))["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["x.y", SETTING]
    assert run["tool"]["driver"]["rules"][run["results"][1]["ruleIndex"]]["id"] == SETTING


def test_a_group_that_is_allowed_says_why_once() -> None:
    verdict = judge(THEN_0, NOW_1, [by_cause()], TODAY, path="ci/base.json")
    assert f"{ONE_CAUSE}; Allowed: known\n" in render_verdict("text", verdict, {}, Style())
    assert render_verdict("text", verdict, {}, Style()).count("known") == 1
    assert "::error" not in render_verdict("github", verdict, {}, Style())
    assert "::notice file=ci/base.json,line=1,title=net" in render_verdict(
        "github", verdict, {}, Style()
    )
    (result,) = json.loads(render_verdict("sarif", verdict, {}, Style()))["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "known"
    # If some differences are allowed, the others still fail.
    verdict = judge(THEN_0, NOW_1, [allowance(was="no", now="yes")], TODAY, path="ci/base.json")
    assert verdict.status == 1
    assert render_verdict("github", verdict, {}, Style()).count("1 fact changed") == 2
    (result,) = json.loads(render_verdict("sarif", verdict, {}, Style()))["runs"][0]["results"]
    assert (result["level"], "suppressions" in result) == ("error", False)


def test_a_line_alone_names_the_cause() -> None:
    (change, _) = compare(THEN_0, NOW_1)
    assert describe_change(change, {}) == f"a.b: no -> yes (configured, drift by {SETTING}: 0 -> 1)"


def test_approval_keeps_the_reasons_and_what_changed() -> None:
    first = approve(None, one(True), "first look", TODAY)
    second = approve(first, one(False), "kernel 7", TODAY)
    assert Report.loads(second.dumps()).later["approvals"] == [
        {"date": "2026-11-22", "reason": "first look", "changes": []},
        {"date": "2026-11-22", "reason": "kernel 7", "changes": ["a.b: yes -> no"]},
    ]


@pytest.mark.parametrize(
    ("old", "new", "stricter"),
    [
        (INHERENT, CONFIGURED, INHERENT), (INHERENT, INFORMATIVE, INHERENT),
        (CONFIGURED, INHERENT, INHERENT), (CONFIGURED, INFORMATIVE, CONFIGURED),
        (INFORMATIVE, INHERENT, INHERENT), (INFORMATIVE, CONFIGURED, CONFIGURED),
        (CONFIGURED, CONFIGURED, CONFIGURED),
    ],
)  # fmt: skip
def test_the_stricter_scope_counts(old: str, new: str, stricter: str) -> None:
    """Neither a report nor an old baseline can weaken the scope of a fact."""
    before, after = one(True, scope=old), one(False, scope=new)
    verdict = judge(before, after, today=TODAY)
    assert [(c.kind, c.scope) for c in verdict.changes] == [(DRIFT, stricter)]
    assert verdict.status == 1
    if stricter == CONFIGURED:
        assert judge(before, after, today=TODAY, allow=["a.*"]).status == 0
    else:
        with pytest.raises(ReportError, match=r"a\.b is inherent"):
            judge(before, after, today=TODAY, allow=["a.*"])


def test_what_both_call_informative_is_never_compared() -> None:
    assert judge(one(1, scope=INFORMATIVE), one(2, scope=INFORMATIVE), today=TODAY).status == 3
    both = one(1, scope=INFORMATIVE), one(1)
    assert [judge(*both, today=TODAY).status, judge(*both[::-1], today=TODAY).status] == [0, 0]


def test_a_fact_of_one_report_alone_has_its_scope() -> None:
    (gone,) = compare(one(1, scope=CONFIGURED), Report(HERE, {}))
    (new,) = compare(Report(HERE, {}), one(1, scope=CONFIGURED))
    assert (gone.scope, new.scope) == (CONFIGURED, CONFIGURED)


@pytest.mark.parametrize(
    ("after", "kind", "status"),
    [
        (one(False, scope=CONFIGURED), DRIFT, 0),
        (one(status=UNSUPPORTED, scope=CONFIGURED), DRIFT, 0),
        (one(status=BLOCKED, scope=CONFIGURED), LOST, 1),
        (Report(HERE, {}), GONE, 1),
        (one(status=BROKEN, scope=CONFIGURED), FAULT, 4),
    ],
)
def test_allow_excuses_another_answer_and_no_lack_of_one(
    after: Report, kind: str, status: int
) -> None:
    before = beside(one(True, scope=CONFIGURED))
    verdict = judge(before, beside(after), today=TODAY, allow=["a.b"])
    assert [change.kind for change in verdict.changes] == [kind]
    assert verdict.status == status
    assert bool(verdict.changes[0].allowed_because) == (status == 0)


def test_allow_is_of_configured_facts_that_match() -> None:
    before, after = beside(one(True, scope=CONFIGURED)), beside(one(False, scope=CONFIGURED))
    verdict = judge(before, after, today=TODAY, allow=["c.*", "*.b", "a.b"][1:])
    assert verdict.changes[0].allowed_because == "--allow *.b"
    assert judge(before, after, today=TODAY).status == 1
    for glob, said in (("c.*", "c.d is inherent"), ("A.B", "it matches no fact and no setting")):
        with pytest.raises(ReportError, match=f"{said}, and --allow is for configured facts"):
            judge(before, after, today=TODAY, allow=[glob])
    # An entry that names its own reason keeps it.
    verdict = judge(before, after, [allowance()], TODAY, allow=["*.b"])
    assert verdict.changes[0].allowed_because == "known"


def test_a_glob_excuses_none_but_the_configured_facts_it_matches() -> None:
    def both(value: bool) -> Report:
        facts = (Fact("a.b", MEASURED, value, CONFIGURED), Fact("a.c", MEASURED, value, INHERENT))
        return Report(HERE, {fact.id: fact for fact in facts})

    verdict = judge(both(True), both(False), today=TODAY, allow=["a.*"])
    assert [(c.id, c.allowed_because) for c in verdict.changes] == [
        ("a.b", "--allow a.*"), ("a.c", "")
    ]  # fmt: skip
    assert verdict.status == 1


def test_a_glob_of_a_fact_that_the_baseline_lacks_is_no_error() -> None:
    after = beside(one(False, scope=CONFIGURED))
    before = replace(after, facts={"c.d": after["c.d"]})
    verdict = judge(before, after, today=TODAY, allow=["a.*"])
    assert [(c.kind, c.allowed_because) for c in verdict.changes] == [(NEW, "")]


def test_a_fault_is_one_though_the_baseline_does_not_know_the_fact() -> None:
    old = Report(HERE, {**one(True).facts})
    new = Report(HERE, {**old.facts, "c.d": Fact("c.d", BROKEN, None, reason="because")})
    assert judge(old, new, today=TODAY).status == 4
    allowed = Allowance("c.d", "absent", "broken", "used to it", TODAY)
    assert judge(old, new, [allowed], TODAY).status == 1


def test_a_part_of_a_report_is_not_approved() -> None:
    with pytest.raises(ReportError, match=r"incomplete report, without c\.d$"):
        approve(None, one(True), "because", TODAY, asked=["a.b", "c.d"])
    with pytest.raises(ReportError, match="nothing was measured"):
        approve(None, one(status=BLOCKED), "because", TODAY)


@pytest.mark.parametrize("status", FAULTS)
def test_what_failed_is_not_approved(status: str) -> None:
    with pytest.raises(ReportError, match="could not be measured"):
        approve(None, one(status=status), "because", TODAY)
