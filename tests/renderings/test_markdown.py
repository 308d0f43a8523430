"""markdown: the tables stay tables whatever the cells hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from probes import Fact, Report
from probes.renderings import render
from probes.renderings.markdown import escape, format_row
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports, texts


def cells(line: str) -> list[str]:
    """Return the cells of a table's row: GFM splits at every | without a backslash."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


def test_the_sample() -> None:
    text = render("markdown", SAMPLE, PROBES)
    lines = text.splitlines()
    assert lines[0] == (
        "**13 measured, 1 unsupported, 1 blocked, 1 timed out, 1 broken, 1 unstable; 0.8 s**"
    )
    assert "| C library | freebsd 14.1-RELEASE, 32-bit userland on a 64-bit kernel |" in lines
    assert "### sockets" in lines
    for line in (
        "| sockets.v6only_default | Is it for IPv6 alone? | no | yes (freebsd) | **differs** |",
        "| sockets.backlog | How many wait? | 4096 | | |",
        "| sockets.reuseport_lb | Do they balance? | unsupported | | FreeBSD 11 has none |",
        "| strangers.from_elsewhere | strangers.from_elsewhere | yes | | |",
    ):
        assert line in lines


def test_a_reason_that_facts_share_is_said_once() -> None:
    facts = {id: Fact(id, "blocked", reason="needs root") for id in ("a.b", "a.c", "d.e")}
    lines = render("markdown", Report(SAMPLE.environment, facts), {}).splitlines()
    for line in (
        "| a.b | a.b | blocked | | needs root (3 facts) |",
        "| a.c | a.c | blocked | | for the same reason as a.b |",
        "| d.e | d.e | blocked | | for the same reason as a.b |",
    ):
        assert line in lines


@lightly
@given(reports)
def test_every_row_has_its_cells(report: Report) -> None:
    lines = render("markdown", report, probes_for(report)).split("\n")
    rows = [line for line in lines if line.startswith("| ")]
    wide = [line for line in rows if len(cells(line)) == 5]
    narrow = [line for line in rows if len(cells(line)) == 2]
    assert len(wide) + len(narrow) == len(rows)
    families = {fact.family for fact in report}
    assert len(wide) == len(report) + 2 * len(families)
    others = [line for line in lines if line and line not in rows]
    assert others == [lines[0], *(f"### {family}" for family in sorted(families))]


def unescaped(text: str) -> str:
    """Return what Markdown shows: it resolves backslashes and entities."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    return text.replace("&lt;", "<").replace("&amp;", "&")


@lightly
@given(texts)
def test_a_cell_shows_what_it_was_given(text: str) -> None:
    shown = escape(text)
    assert unescaped(shown) == "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*\[\]~$]|<", shown)
    assert len(cells(format_row(text, text))) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SO_REUSEADDR", "SO_REUSEADDR"),
        ("_leading", "\\_leading"),
        ("a|b", "a\\|b"),
        ("~~a~~ $b$ *c* [d] `e`", "\\~\\~a\\~\\~ \\$b\\$ \\*c\\* \\[d\\] \\`e\\`"),
        ("a\nb", "a\\\\nb"),
        ("<b>&lt;", "&lt;b>&amp;lt;"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert escape(text) == shown
