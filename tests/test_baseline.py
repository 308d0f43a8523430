"""The gate's comparison: what changed is always named, what did not never is."""

from __future__ import annotations

import datetime
import json
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.baseline import (
    DRIFT,
    FAULT,
    GONE,
    LOST,
    NEW,
    UNASKED,
    Allowance,
    allowed_path,
    approve,
    compare,
    judge,
    load_allowances,
)
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
    Platform,
    Report,
    ReportError,
    Value,
)
from probes.renderings import Style
from probes.verdict import render

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
TODAY = datetime.date(2026, 11, 22)

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


def one(value: Value = None, status: str = MEASURED, scope: str = INHERENT) -> Report:
    reason = "" if status == MEASURED else "because"
    return Report(HERE, {"a.b": Fact("a.b", status, value, scope, reason=reason)})


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
        known = old or new
        assert known
        if known.scope == INFORMATIVE:
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


def test_another_platform_is_refused() -> None:
    for other in (
        replace(HERE, system="FreeBSD"),
        replace(HERE, libc="musl"),
        replace(HERE, pointer_bits=32),
    ):
        with pytest.raises(ReportError, match="a gate compares a platform with itself"):
            judge(one(1), replace(one(1), environment=other))
    assert judge(one(1), replace(one(1), environment=replace(HERE, release="7"))).status == 0


def allowance(**fields: object) -> Allowance:
    made = Allowance("a.b", "yes", "no", "known", TODAY)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_an_allowed_difference_passes_until_its_last_day() -> None:
    verdict = judge(one(True), one(False), [allowance()], TODAY)
    assert verdict.status == 0
    assert verdict.changes[0].allowed_because == "known"
    tomorrow = TODAY + datetime.timedelta(days=1)
    verdict = judge(one(True), one(False), [allowance()], tomorrow)
    assert verdict.status == 1
    assert "expired" in verdict.complaints[0]


@pytest.mark.parametrize("stale", [{"fact": "a.c"}, {"was": "no"}, {"now": "EINTR"}])
def test_an_allowed_difference_that_matches_nothing_fails(stale: dict[str, str]) -> None:
    verdict = judge(one(True), one(True), [allowance(**stale)], TODAY)
    assert verdict.status == 1
    assert "no longer matches" in verdict.complaints[0]


def test_what_was_not_asked_is_neither_gone_nor_stale() -> None:
    before = Report(HERE, {id: Fact(id, MEASURED, True) for id in ("a.b", "a.c")})
    after = Report(HERE, {"a.c": Fact("a.c", MEASURED, True)})
    verdict = judge(before, after, [allowance()], TODAY, asked=["a.c"])
    assert (verdict.status, verdict.changes, verdict.complaints) == (0, [], [])


def test_what_root_alone_may_ask_is_named_and_no_failure() -> None:
    fact = Fact("a.b", BLOCKED, reason="a second user id needs root: run the lab as root")
    root, user = replace(HERE, root=True), replace(HERE, root=False)
    both = {"a.b": Fact("a.b", MEASURED, True), "c.d": Fact("c.d", MEASURED, True)}
    mine = {**both, "a.b": fact}
    verdict = judge(Report(root, both), Report(user, mine), today=TODAY)
    assert (verdict.status, [change.kind for change in verdict.changes]) == (0, [UNASKED])
    told = render("text", verdict, {}, Style())
    assert told == ("not asked here: needs root, 1 fact: a.b\ngate passed: 2 facts, 1 not asked\n")
    assert "<skipped" in render("junit", verdict, {}, Style())
    assert "::notice" in render("github", verdict, {}, Style())
    assert json.loads(render("json", verdict, {}, Style()))["changes"][0]["kind"] == UNASKED
    # Where all has to be asked, where root is asked, where another thing is missing: lost.
    assert judge(Report(root, both), Report(user, mine), require_all=True).status == 1
    assert judge(Report(root, both), Report(root, mine)).status == 1
    assert judge(Report(user, both), Report(user, mine)).status == 1
    other = {**both, "a.b": replace(fact, reason="needs a C compiler")}
    assert judge(Report(root, both), Report(user, other)).status == 1
    # Nothing asked is no pass.
    alone = {"a.b": fact}
    assert judge(Report(root, {"a.b": both["a.b"]}), Report(user, alone)).status == 3


def entry(**fields: object) -> dict[str, object]:
    return {
        "fact": "a.b", "from": True, "to": False, "reason": "known", "expires": "2026-11-22",
        **fields,
    }  # fmt: skip


def test_allowances_are_read_from_beside_the_baseline(tmp_path: Path) -> None:
    path = Path(allowed_path(tmp_path / "freebsd.json"))
    assert path == tmp_path / "freebsd.allowed.json"
    assert load_allowances(path) == []
    path.write_text(json.dumps({"allowed": [entry()]}))
    assert load_allowances(path) == [allowance()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", 'no list "allowed"'),
        ('{"allowed": 1}', 'no list "allowed"'),
        ('{"allowed": [1]}', "entry 1 is not an object"),
        (json.dumps({"allowed": [entry(), {}]}), "entry 2 has no fact, from, to, reason, expires"),
        (json.dumps({"allowed": [entry(until="x")]}), "unknown until"),
        (json.dumps({"allowed": [entry(reason=" ")]}), "gives no reason"),
        (json.dumps({"allowed": [entry(expires="never")]}), "expires on no date"),
        (json.dumps({"allowed": [entry(expires=3)]}), "expires on no date"),
    ],
)
def test_a_broken_list_of_allowances_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.allowed.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=said) as raised:
        load_allowances(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_approval_keeps_the_reasons_and_what_changed() -> None:
    first = approve(None, one(True), "first look", TODAY)
    second = approve(first, one(False), "kernel 7", TODAY)
    assert Report.loads(second.dumps()).later["approvals"] == [
        {"date": "2026-11-22", "reason": "first look", "changes": []},
        {"date": "2026-11-22", "reason": "kernel 7", "changes": ["a.b: yes -> no"]},
    ]


def test_the_baseline_says_what_is_informative() -> None:
    """A report from elsewhere cannot declare all it says to be of no account."""
    assert judge(one(True), one(False, scope=INFORMATIVE), today=TODAY).status == 1
    assert judge(one(1, scope=INFORMATIVE), one(2, scope=INFORMATIVE), today=TODAY).status == 3


def test_a_fault_is_one_though_the_baseline_does_not_know_the_fact() -> None:
    old = Report(HERE, {**one(True).facts})
    new = Report(HERE, {**old.facts, "c.d": Fact("c.d", BROKEN, None, reason="because")})
    assert judge(old, new, today=TODAY).status == 4
    allowed = Allowance("c.d", "absent", "broken", "used to it", TODAY)
    assert judge(old, new, [allowed], TODAY).status == 1


def test_a_part_of_a_report_is_not_approved() -> None:
    with pytest.raises(ReportError, match="lacks 1 facts"):
        approve(None, one(True), "because", TODAY, asked=["a.b", "c.d"])
    with pytest.raises(ReportError, match="nothing was measured"):
        approve(None, one(status=BLOCKED), "because", TODAY)


@pytest.mark.parametrize("status", FAULTS)
def test_what_failed_is_not_approved(status: str) -> None:
    with pytest.raises(ReportError, match="could not be measured"):
        approve(None, one(status=status), "because", TODAY)
