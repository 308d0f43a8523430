"""diff: which rows differ, which cannot be compared, and what is shown of each."""

from __future__ import annotations

import json
from typing import Optional

import pytest

from probes import Fact, Platform, Report
from probes.comparison import compare_reports
from probes.fact import (
    BLOCKED,
    BROKEN,
    INFORMATIVE,
    INHERENT,
    MEASURED,
    TIMED_OUT,
    UNSTABLE,
    UNSUPPORTED,
    Value,
)
from probes.load_catalogue import load_catalogue
from probes.render_comparison import make_letter, render_json, render_text
from probes.renderings import Style
from probes.renderings.text import count_columns

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)


def one(value: Value, scope: str = INHERENT) -> Report:
    return Report(HERE, {"a.b": Fact("a.b", MEASURED, value, scope)})


def without(status: str, scope: str = INHERENT) -> Report:
    return Report(HERE, {"a.b": Fact("a.b", status, None, scope, reason="because")})


NOTHING = Report(HERE, {})


@pytest.mark.parametrize(
    ("reports", "differs", "compared"),
    [
        ([one(1), one(1)], False, True),
        ([one(1), one(2)], True, True),
        ([one(1), one(True)], True, True),
        ([one(1), without(UNSUPPORTED)], True, True),
        ([without(UNSUPPORTED), without(UNSUPPORTED)], False, True),
        # What was not measured is no answer.
        ([one(1), one(1), NOTHING], False, False),
        ([one(1), without(BLOCKED)], False, False),
        ([without(UNSUPPORTED), without(BLOCKED)], False, False),
        ([without(BLOCKED), without(BLOCKED)], False, False),
        ([one(1), without(TIMED_OUT)], False, False),
        ([one(1), without(BROKEN)], False, False),
        ([one(1), without(UNSTABLE)], False, False),
        # The others differ all the same.
        ([one(1), without(BLOCKED), one(2)], True, True),
        ([one(1, INFORMATIVE), one(2, INFORMATIVE)], False, True),
        ([one(1, INFORMATIVE), one(2, INFORMATIVE), NOTHING], False, True),
        # One that calls it informative does not hide that others differ.
        ([one(1, INFORMATIVE), one(2)], True, True),
        ([one(1), one(2, INFORMATIVE)], True, True),
    ],
)
def test_what_differs(reports: list[Report], differs: bool, compared: bool) -> None:
    (row,) = compare_reports(reports)
    assert (row.differs, row.compared) == (differs, compared)


ID, COMPILER = "sockets.v6only_default", "compilers.signal_flags"
QUESTION = load_catalogue()[ID].question


def of(v6only: bool, *more: Fact) -> Report:
    facts = [Fact(ID, MEASURED, v6only), Fact("b.known", MEASURED, 1), *more]
    return Report(HERE, {fact.id: fact for fact in facts})


BOTH = [
    ("a.json", of(False, Fact(COMPILER, MEASURED, "none"), Fact("b.other", MEASURED, 1))),
    ("b.json", of(True, Fact(COMPILER, BLOCKED, reason="needs a C compiler"))),
]
"""One fact differs, and two are measured in the first alone."""


def text(everything: bool = False, width: Optional[int] = None, colour: bool = False) -> list[str]:
    table = compare_reports([report for _, report in BOTH])
    style = Style(width=width, colour=colour)
    return render_text(BOTH, table, everything, load_catalogue(), style).splitlines()


def test_a_pipe_gets_a_line_a_fact_with_its_question() -> None:
    assert text() == [
        f"A  a.json: {HERE}",
        f"B  b.json: {HERE}",
        "",
        "                        A   B",
        f"{ID}  no  yes  {QUESTION}",
        "",
        "not compared:",
        "  B  not in the report; 1 fact: b.other",
        f"  B  blocked: needs a C compiler; 1 fact: {COMPILER}",
        "",
        "1 of 4 facts differ, 2 not compared",
    ]
    everything = text(everything=True)
    # A fact this lab does not know has no question; one that is not compared is in no row.
    assert "b.known                 1   1" in everything
    assert not [line for line in everything if line.startswith(COMPILER)]


@pytest.mark.parametrize("width", [24, 40, 60])
def test_a_narrow_terminal_gets_answers_below_their_question(width: int) -> None:
    lines = text(width=width)
    assert max(map(count_columns, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert f"{QUESTION} {ID} A: no B: yes not compared: B not in the report; 1 fact:" in said
    assert f"b.known A, B: 1 {QUESTION}" in " ".join(" ".join(text(True, width)).split())


def test_a_wide_terminal_gets_the_table_with_what_differs_in_bold() -> None:
    assert text(width=200) == text()
    coloured = text(everything=True, width=200, colour=True)
    (line,) = [line for line in coloured if ID in line]
    assert line == f"\x1b[1m{text()[4]}\x1b[0m"
    assert not [line for line in coloured if "b.known" in line and "\x1b" in line]


def test_json_has_the_questions_and_what_is_not_compared() -> None:
    table = compare_reports([report for _, report in BOTH])
    document = json.loads(render_json(BOTH, table, False, load_catalogue()))
    assert [(row["id"], row["question"]) for row in document["rows"]] == [(ID, QUESTION)]
    assert [row["id"] for row in document["not_compared"]] == ["b.other", COMPILER]
    assert document["not_compared"][1]["facts"][1] == {
        "status": BLOCKED, "value": None, "reason": "needs a C compiler"
    }  # fmt: skip
    everything = json.loads(render_json(BOTH, table, True, load_catalogue()))
    assert [row["id"] for row in everything["rows"]] == ["b.known", ID]


def test_reports_have_letters() -> None:
    assert [make_letter(number) for number in (0, 1, 25, 26, 27, 52, 702)] == [
        "A", "B", "Z", "AA", "AB", "BA", "AAA"
    ]  # fmt: skip
