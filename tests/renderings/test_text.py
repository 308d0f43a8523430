"""text: as wide as the terminal and no wider, a line a fact in a pipe."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import Fact, Report
from probes.renderings import Style, render
from probes.renderings.text import count_columns, find_common_glob, wrap
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports, texts

AT_80 = """\
system     FreeBSD 14.1
kernel     FreeBSD 14.1-RELEASE i386
C library  freebsd 14.1-RELEASE, 32-bit userland on a 64-bit kernel
compiler   clang 18.1
Python     CPython 3.11.9
run as     root, in jail, on bhyve
scratch    zfs
network    IPv4: em0; IPv4 and IPv6: lo0, lo1; no address: pflog0
sysctls    net.inet6.ip6.v6only=1, security.jail.jailed=1
measured   2026-11-22T23:59:59Z by probes 0123456789abcdef

restarts
  What does ... do?                             restarts.*
    read    restarts   accept  restarts   recv    restarts   flock   restarts
    write   restarts   connect restarts   send    restarts
* EINTR        What does pause do?              restarts.pause
               documented: restarts (posix)

sockets
* no           Is it for IPv6 alone?            sockets.v6only_default
               documented: yes (freebsd)
  4096         How many wait?                   sockets.backlog
  inet, inet6  In which order are they listed?  sockets.order
  unsupported  Do they balance?                 sockets.reuseport_lb
               FreeBSD 11 has none
! timed out    When?                            sockets.late
               no answer within 10 s
! broken       Why?                             sockets.broke
               ValueError: x (sockets.py:7)
! unstable     Which?                           sockets.unsure
               2 times asked, it answered yes, no
  blocked      May one know?                    sockets.secret
               needs root: run it as root, run it as root, run it as root, run
               it as root, run it as root, run it as root, run it as root, ...
  none         Is there anything?               sockets.nothing

strangers
  yes          strangers.from_elsewhere

* differs from what the platform documents (2)
! the lab failed to measure it: try a longer --deadline, or report it (3)
13 measured, 1 unsupported, 1 blocked, 1 timed out, 1 broken, 1 unstable; 0.8 s
more: python3 -m probes list (every ID), explain ID, explain FAMILY
"""

IN_A_PIPE = """\
restarts
  restarts     What does read do?               restarts.read
  restarts     What does write do?              restarts.write
  restarts     What does accept do?             restarts.accept
  restarts     What does connect do?            restarts.connect
  restarts     What does recv do?               restarts.recv
  restarts     What does send do?               restarts.send
  restarts     What does flock do?              restarts.flock
* EINTR        What does pause do?              restarts.pause  documented: restarts (posix)

sockets
* no           Is it for IPv6 alone?            sockets.v6only_default  documented: yes (freebsd)
  4096         How many wait?                   sockets.backlog
  inet, inet6  In which order are they listed?  sockets.order
"""


def test_at_80_columns() -> None:
    assert render("text", SAMPLE, PROBES, Style(80)) == AT_80


@pytest.mark.parametrize(
    ("heading", "first"),
    [
        (
            "What does a signal do to …?",
            "    accept  restarts   pause   restarts   send    restarts",
        ),
        ("Does …?", "  restarts  Does accept,"),
    ],
)
def test_a_table_of_long_rows_is_one_of_names(heading: str, first: str) -> None:
    """Where the question of the table says enough; else every question stands in full."""
    facts = {fact.id: replace(fact, value="restarts") for fact in SAMPLE if fact.family[0] == "r"}
    probes = {
        id: replace(
            PROBES[id],
            heading=heading,
            question=heading.replace("…", f"{PROBES[id].name}, a call with a very long name"),
        )
        for id in facts
    }
    text = render("text", replace(SAMPLE, facts=facts), probes, Style(70))
    assert re.search(rf"^{re.escape(first)}", text, re.MULTILINE)
    assert (heading.replace("…", "...") in text) == (heading != "Does …?")


def test_in_a_pipe() -> None:
    assert IN_A_PIPE in render("text", SAMPLE, PROBES)


def test_with_room_the_ids_stand_at_the_end() -> None:
    text = render("text", SAMPLE, PROBES, Style(110))
    assert (
        "\n* no           Is it for IPv6 alone?            sockets.v6only_default\n"
        "               documented: yes (freebsd)\n"
        "  4096         How many wait?                   sockets.backlog\n"
    ) in text
    assert "    read    restarts   accept  restarts   recv    restarts   flock   restarts\n" in text


def ids_in(text: str) -> set[str]:
    """Return the ids that a text shows, whole or by the glob of their table."""
    shown = re.findall(r"(?<![\w.*])[a-z]\w*\.[\w*]+", re.sub(r"\x1b\[\d*m", "", text))
    return {id for id in shown if "*" not in id}


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_at_every_width_a_fact_shows_its_id(width: int) -> None:
    text = render("text", SAMPLE, PROBES, Style(width))
    assert {fact.id for fact in SAMPLE if fact.family == "sockets"} <= ids_in(text)
    assert "strangers.from_elsewhere" in ids_in(text)
    assert " restarts.*\n" in text


def test_an_id_stands_where_there_is_room_for_it() -> None:
    """Behind the question, or behind the note, or else on a line of its own."""
    text = render("text", SAMPLE, PROBES, Style(40))
    assert (
        "  inet, inet6  In which order are they\n               listed?     sockets.order\n" in text
    )
    assert "               documented: restarts\n               (posix)  restarts.pause\n" in text
    assert (
        "               documented: yes (freebsd)\n               sockets.v6only_default\n" in text
    )


@pytest.mark.parametrize(
    ("names", "glob"),
    [
        (["has_a", "has_b"], "has_*"), (["a_stays", "bc_stays"], "*_stays"), (["a", "b"], "*"),
        (["in_a_x", "in_b_x"], "in_*_x"), (["aa", "aaa"], "aa*"), (["aba", "aa"], "a*a"),
    ],
)  # fmt: skip
def test_the_glob_of_a_table(names: list[str], glob: str) -> None:
    assert find_common_glob(names) == glob
    assert fnmatch.filter(names, glob) == names


LACKS = "the tool is missing: install it, or run the lab where it is"
BESIDES = {
    fact.id: fact
    for fact in (
        *(Fact(f"sockets.a{n}", "blocked", reason=LACKS) for n in range(30)),
        *(Fact(f"locks.b{n}", "unsupported", reason="no such locks") for n in range(2)),
        # The same words, and no such group: another status, one alone, and faults.
        Fact("locks.c", "blocked", reason="no such locks"),
        *(Fact(f"locks.d{n}", "broken", reason="it broke") for n in range(2)),
    )
}
LACKING = Report(SAMPLE.environment, {**BESIDES, "abi.e": Fact("abi.e", "measured", 7)})


def test_what_many_facts_lack_is_said_once_with_their_ids() -> None:
    text = render("text", LACKING, {}, Style(60))
    assert text.count("the tool is missing") == 1
    assert (
        "\n  2 unsupported: no such locks\n    locks.b0, locks.b1\n"
        "\n  30 blocked: the tool is missing: install it, or run the\n  lab where it is\n"
        "    sockets.a0, sockets.a1, "
    ) in text
    for id in BESIDES:
        assert len(re.findall(rf"\b{re.escape(id)}\b", text)) == 1
    # A family of which nothing else is left has no title; others keep what is theirs.
    assert "\nsockets\n" not in text
    assert "\nlocks\n  blocked" in text
    assert text.count("it broke") == 2


@pytest.mark.parametrize("style", [Style(), Style(60, verbose=True)])
def test_a_line_that_is_of_one_fact_says_the_reason_once_too(style: Style) -> None:
    text = " ".join(render("text", LACKING, {}, style).split())
    assert text.count("the tool is missing") == 1
    assert f"sockets.a0 {LACKS} (30 facts)" in text
    assert text.count("for the same reason as sockets.a0") == 29
    assert text.count("for the same reason as locks.b0") == 1
    assert "locks.c no such locks" in text


def test_verbose_adds_what_to_do() -> None:
    for width in (80, 120):
        text = render("text", SAMPLE, PROBES, Style(width, verbose=True))
        assert text.count("advice   Loop.") == 2  # Once for the table, once for the odd row.
        assert re.search(
            r"How many wait\?.*\n(?: +sockets.backlog\n)?"
            r" +sample   \[3, 4\]\n"
            r" +matters  sockets.backlog matters.\n"
            r" +advice   Advice on sockets.backlog.\n"
            r" +see      it\(7\)\n",
            text,
        )
        assert "run it as root," in text
        assert "..." not in text.replace("What does ...", "")
        ids = {id for id in PROBES if id.startswith("sockets")}
        assert ids <= set(re.findall(r"sockets\.\w+", text))
    assert "advice   Loop." in render("text", SAMPLE, PROBES, Style(verbose=True))


def test_legends_only_where_a_mark_was_used() -> None:
    plain = {id: SAMPLE[id] for id in ("sockets.backlog", "sockets.reuseport_lb")}
    text = render("text", replace(SAMPLE, facts=plain), PROBES)
    assert not re.search(r"^[*!]", text, re.MULTILINE)
    assert "1 measured, 1 unsupported, 0 blocked, 0 timed out, 0 broken; 0.8 s\n" in text


def test_a_wide_answer_pushes_the_question_aside() -> None:
    answer = "partial, then EFBIG"
    facts = {id: replace(SAMPLE["sockets.order"], id=id, value=answer) for id in ("a.b", "a.c")}
    facts["a.c"] = replace(facts["a.c"], value=answer * 3)
    text = render("text", replace(SAMPLE, facts=facts), PROBES, Style(60))
    assert (
        f"\n  {answer}  a.b\n  partial, then EFBIGpartial, then EFBIGpartial, then EFBIG\n    a.c\n"
    ) in text


def test_a_reason_of_nothing_leaves_no_empty_line() -> None:
    blank = replace(SAMPLE["sockets.order"], status="unsupported", value=None, reason="  ", raw=" ")
    report = replace(SAMPLE, facts={blank.id: blank})
    for style in (Style(120), Style(60), Style(120, verbose=True)):
        lines = render("text", report, PROBES, style).split("\n")
        assert not [line for line in lines if line != line.rstrip(" ")]


def test_colours_are_few_and_only_where_wanted() -> None:
    plain = render("text", SAMPLE, PROBES, Style(80))
    assert "\x1b" not in plain
    coloured = render("text", SAMPLE, PROBES, Style(80, colour=True))
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert "\x1b[33m*\x1b[0m \x1b[33mno\x1b[0m  " in coloured
    assert "\x1b[31m!\x1b[0m \x1b[31mbroken\x1b[0m  " in coloured
    assert "\x1b[1msockets\x1b[0m\n" in coloured


def takes(text: str) -> int:
    """Columns of a terminal, reckoned anew: wide characters take two."""
    return sum(1 + (unicodedata.east_asian_width(c) in ("W", "F")) for c in text)


@lightly
@given(reports, st.integers(24, 200), st.booleans())
def test_it_is_never_wider_than_the_terminal(report: Report, width: int, verbose: bool) -> None:
    probes = probes_for(report)
    plain = render("text", report, probes, Style(width, verbose=verbose))
    lines = plain.split("\n")
    assert max(map(takes, lines)) <= width
    assert all(line == line.rstrip(" ") for line in lines if line.isascii())
    coloured = render("text", report, probes, Style(width, True, verbose))
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


@lightly
@given(reports)
def test_in_a_pipe_a_fact_is_a_line(report: Report) -> None:
    lines = render("text", report, probes_for(report)).split("\n")
    for fact in report:
        about = [line for line in lines if re.search(rf"  {re.escape(fact.id)}(  |$)", line)]
        assert any(line[2:].startswith(fact.answer) or not fact.answer.isprintable()
                   for line in about)  # fmt: skip


@pytest.mark.parametrize("width", [1, 10, 40, 80, 110, 120, 200])
def test_the_real_report_fits(here: Report, width: int) -> None:
    from probes.load_catalogue import load_catalogue

    for verbose in (False, True):
        text = render("text", here, load_catalogue(), Style(width, verbose=verbose))
        assert max(map(takes, text.split("\n"))) <= max(width, 24)


def test_the_real_report_is_a_line_a_fact(here: Report) -> None:
    from probes.load_catalogue import load_catalogue

    lines = render("text", here, load_catalogue()).splitlines()
    for fact in here:
        # Why one was not measured is told further down, once more with its name.
        line, *_ = (line for line in lines if fact.id in line.split())
        assert line[2:].startswith(fact.answer)


@lightly
@given(texts, st.integers(2, 20))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(count_columns(line) <= width for line in lines)


def test_unknown_facts_show_their_ids() -> None:
    facts = {"new.thing": Fact("new.thing", "measured", True)}
    text = render("text", Report(SAMPLE.environment, facts), PROBES, Style(80))
    assert "  yes  new.thing\n" in text
