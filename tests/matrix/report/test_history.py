"""Test how the history is shown: as text, Markdown and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrix.history import group_reports
from matrix.report.history import History, render_history
from probes import Report
from probes.load_catalogue import load_catalogue
from probes.renderings import Style
from tests.matrix.reports import changed, host
from tests.matrix.tables import ID

FACT, NEXT = "accepting.inherits_nonblock", "accepting.inherits_cloexec"
"""Neighbours with their own advice."""
ROWS = "restarts.accept", "restarts.connect"
"""Rows of one table, with the same advice."""


def history(*reports: Report, cells: tuple[str, ...] = ()) -> History:
    families, unknown = group_reports([(f"r{at}", report) for at, report in enumerate(reports)])
    return History([(family, cells) for family in families], [], unknown)


def render(
    *reports: Report, format: str = "text", configured: bool = False, width: int | None = None
) -> str:
    return render_history(format, history(*reports), configured, Style(width=width))


@pytest.fixture(scope="module")
def linux() -> Report:
    return changed(host(), {}, {FACT: False, ID: False, **dict.fromkeys(ROWS, "restarts")})


def test_a_step_says_what_an_upgrade_brings(old: Report, new: Report) -> None:
    probe = load_catalogue()[FACT]
    text = render(old, changed(new, {"python": "CPython 3.13.5"}, {FACT: True}))
    compared = sum(fact.scope == "inherent" for fact in old)
    assert text.splitlines()[:8] == [
        "Debian amd64",
        "",
        f"Debian 12 -> Debian 13: 1 of {compared} facts changed",
        "  kernel        Linux 6.1.0-1-amd64 -> Linux 6.12.0-1-amd64",
        "  C library     glibc 2.36 -> 2.41",
        "  Python        CPython 3.11.2 -> CPython 3.13.5",
        "  end of life   2028-06-30 (LTS) -> 2030-06-30 (LTS)",
        "  measured      r0 2026-11-23 -> r1 2026-11-23",
    ]
    words = " ".join(text.split())
    for part in (f"{FACT} {probe.question} no -> yes", probe.matters, f"Advice {probe.advice}"):
        assert part in words


def test_a_step_without_changes_says_so(old: Report, new: Report) -> None:
    compared = sum(fact.scope == "inherent" for fact in old)
    for format in ("text", "markdown"):
        text = render(old, new, format=format)
        assert f"nothing changed in {compared} facts" in text
        assert "Advice" not in text


def test_advice_that_neighbours_share_is_given_once(old: Report, new: Report) -> None:
    first, second = (load_catalogue()[id] for id in ROWS)
    assert (first.matters, first.advice) == (second.matters, second.advice)
    text = render(old, changed(new, {}, dict.fromkeys(ROWS, "EINTR")))
    assert text.count("restarts -> EINTR") == 2
    assert text.count("Advice") == 1
    assert text.index(ROWS[1]) < text.index("Matters")


def test_settings_of_the_machine_are_shown_apart(old: Report, new: Report) -> None:
    setting = "net.ipv6.bindv6only"
    facts = {ID: {"status": "measured", "value": True, "scope": "configured", "hangs_on": setting}}
    reports = (
        changed(old, {"sysctls": {setting: "0"}}),
        changed(new, {"sysctls": {setting: "1"}}, {FACT: True}, facts),
    )
    text = " ".join(render(*reports).split())
    assert f"also changed, perhaps by a setting of the machine: {ID} (--configured" in text
    assert "v6only_default Is" not in text
    for format in ("text", "markdown"):
        text = " ".join(render(*reports, configured=True, format=format).split())
        assert "also changed" not in text
        assert text.index(FACT) < text.index("decided by settings of the machine") < text.index(ID)
    assert f"Hangs on {setting}, 0 -> 1" in " ".join(render(*reports, configured=True).split())


def test_what_was_not_compared_is_counted(old: Report, new: Report) -> None:
    lacks = {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"}
    user = changed(new, {}, facts={FACT: lacks, NEXT: lacks})
    text = render(old, user)
    assert "  not compared: 2 facts: r1: blocked: needs root\n" in text
    assert FACT not in text
    few = Report(user.environment, {id: f for id, f in user.facts.items() if id != ID})
    text = " ".join(render(old, few).split())
    assert "not compared: 3 facts: 2 (r1: blocked: needs root), 1 (r1: not asked)" in text


@pytest.mark.parametrize("cells", [(), ("trixie-amd64",)])
def test_a_single_release_is_one_line(old: Report, cells: tuple[str, ...]) -> None:
    for format in ("text", "markdown"):
        text = render_history(format, history(old, cells=cells), False, Style(width=60))
        assert text.count("\n") == 1
        assert text.startswith("Debian amd64: only one release recorded: Debian 12 (r0); to ")
        assert ("matrix run trixie-amd64\n" in text) == bool(cells)
        assert ("matrix history REPORT.json\n" in text) == (not cells)


def test_reports_that_are_not_shown_are_named(old: Report, new: Report) -> None:
    many = history(old, new, old, changed(old, {"distribution": "Alpine Linux v3.20"}))
    shown = History(many.families, ["musl"], many.unknown)
    for format in ("text", "markdown"):
        lines = render_history(format, shown, False, Style()).splitlines()
        assert "left out, as each release is shown by one report: r2" in lines
        assert "not on the kernel of their release, so not compared: musl" in lines
        assert lines[-1].endswith("does not list, so not compared: r3")


@pytest.mark.parametrize("width", [40, 72, 100, 300])
def test_text_keeps_to_the_terminal(old: Report, new: Report, width: int) -> None:
    every = {id: "other" for id, fact in new.facts.items() if isinstance(fact.value, str)}
    text = render(old, changed(new, {}, every), configured=True, width=width)
    longest = max(len(id) for id in every) + 2
    assert max(map(len, text.splitlines())) <= max(min(width, 100), longest)


def test_markdown_is_a_table_of_changes(old: Report, new: Report) -> None:
    text = render(old, changed(new, {}, {FACT: True}), format="markdown")
    probe = load_catalogue()[FACT]
    lines = text.splitlines()
    assert "| fact | question | Debian 12 | Debian 13 | matters | advice |" in lines
    (line,) = (line for line in lines if line.startswith(f"| {FACT} "))
    assert line.split(" | ")[2:4] == ["no", "yes"]
    assert line.endswith(f"| {probe.matters} | {probe.advice} |")
    assert "- C library: glibc 2.36 -> 2.41" in lines


def test_strange_answers_stay_in_their_line(old: Report, new: Report) -> None:
    strange = changed(new, {"python": "\x1b[31m"}, {FACT: "a\nb | c\x1b"})
    assert "\x1b" not in render(old, strange)
    assert "      no -> a\\nb | c\\x1b\n" in render(old, strange)
    (line,) = (
        line for line in render(old, strange, format="markdown").splitlines() if FACT in line
    )
    assert "\\|" in line


def test_an_unknown_fact_has_no_advice(old: Report, new: Report) -> None:
    def made(value: int) -> dict[str, Any]:
        return {"mine.own": {"status": "measured", "value": value, "scope": "inherent"}}

    reports = changed(old, {}, facts=made(1)), changed(new, {}, facts=made(2))
    for format in ("text", "markdown", "json"):
        assert "mine.own" in render(*reports, format=format)
    assert "  mine.own\n      1 -> 2\n" in render(*reports)


def test_json_has_everything(old: Report, new: Report) -> None:
    lacks = {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"}
    other = changed(new, {"root": True}, {FACT: True, ID: True}, {NEXT: lacks})
    document = json.loads(render(changed(old, {"root": False}), other, format="json"))
    (family,) = document["families"]
    assert [each["end_of_life"] for each in family["releases"]] == ["2028-06-30", "2030-06-30"]
    (step,) = family["steps"]
    assert (step["from"], step["to"]) == ("Debian 12", "Debian 13")
    probe = load_catalogue()[FACT]
    assert [each["id"] for each in step["changes"]] == [FACT, ID]
    assert step["changes"][0] == {
        "id": FACT,
        "scope": "inherent",
        "question": probe.question,
        "from": {"status": "measured", "value": False, "reason": ""},
        "to": {"status": "measured", "value": True, "reason": ""},
        "hangs_on": "",
        "matters": probe.matters,
        "advice": probe.advice,
        "reference": probe.reference,
    }
    assert step["changes"][1]["scope"] == "configured"
    assert step["not_compared"] == [{"reason": "r1: blocked: needs root", "facts": [NEXT]}]
    assert step["circumstances"] == [{"what": "run as root", "from": "no", "to": "yes"}]
    assert step["compared"]["inherent"] == sum(f.scope == "inherent" for f in old) - 1
