"""Test the table as text."""

from __future__ import annotations

import re

import pytest

from matrix.report import render_table
from matrix.table import (
    NOT_KNOWN,
    make_table,
)
from probes import Report
from probes.renderings import Style
from tests.matrix.report.tables import twenty
from tests.matrix.reports import ELSEWHERE, changed
from tests.matrix.tables import ID, answers


def test_text_tells_where_each_column_is_from(linux: Report, freebsd: Report) -> None:
    recorded = changed(freebsd, {"release": "13.4"}, approvals=[{"reason": "first"}])
    text = render_table(
        "text",
        make_table(
            [("here", linux), ("bsd", freebsd), ("bsd13", recorded)], ["netbsd"], here=["here"]
        ),
    )
    assert re.search(r"^here\* +measured here \d+ days ago: ", text, re.M)
    assert re.search(r"^bsd +report of 2026-11-23: FreeBSD 14.1-RELEASE amd64, 64-bit", text, re.M)
    assert re.search(r"^bsd13 +baseline of 2026-11-23: FreeBSD 13.4", text, re.M)
    assert re.search(r"^\(netbsd\) +documented only: ", text, re.M)
    assert answers(text, ID) == {"no": ["here*"], "yes": ["bsd", "bsd13", "(netbsd)"]}


FIFTEEN = [f"platform-{number}" for number in range(15)]


def test_text_of_fifteen_platforms_groups_those_that_agree(linux: Report) -> None:
    reports = [
        (name, changed(linux, ELSEWHERE, {ID: name in FIFTEEN[:3]}))
        for name in FIFTEEN
    ]  # fmt: skip
    table = make_table(reports, ["freebsd", "macos", "netbsd", "openbsd"])
    text = render_table("text", table, True, wide=True)
    assert max(map(len, text.splitlines())) <= 100
    assert answers(text, ID) == {
        "yes": [*(f"{name}!" for name in FIFTEEN[:3]), "(freebsd)", "(netbsd)", "(openbsd)"],
        "no": ["the other 12 measured"],
    }
    assert answers(text, "abi.page_size") == {"yes": ["all 15 measured"]}
    text = render_table("text", table, True)
    assert max(map(len, text.splitlines())) <= 100
    assert answers(text, ID) == {
        "yes": [*(f"{name}!" for name in FIFTEEN[:3]), "(freebsd)", "(netbsd)", "(openbsd)"],
        "no": ["Linux but platform-0", "platform-1", "platform-2"],
    }
    assert answers(text, "abi.page_size") == {"yes": ["Linux", "all 15"]}


def test_more_than_six_platforms_are_shown_by_families() -> None:
    table = twenty()
    text = render_table("text", table)
    line = r"^CPython 3\.9 to 3\.13 +baseline of [-\d]+: .*"
    assert re.search(line, text, re.M)
    assert "python3.9 " not in text
    assert answers(text, "signals.python_signal_flags")["none; SA_ONSTACK from 3.10"] == [""]
    assert "                  CPython 3.9 to 3.13\n" in text
    assert "      32   Linux 32-bit, all 5\n" in text
    # Every Python by itself, as for a few platforms.
    wide = render_table("text", table, wide=True)
    assert re.search(r"^python3.9 +baseline", wide, re.M)
    assert answers(wide, "signals.python_signal_flags")["none"] == ["python3.9"]
    assert "the other" in wide


def test_a_platform_whose_manuals_are_silent_is_not_named(linux: Report) -> None:
    table = make_table([("a", linux)], ["openbsd"])
    id = next(each.id for each in table.rows if each.entries[1].status == NOT_KNOWN)
    assert list(answers(render_table("text", table, True), id).values()) == [["a"]]
    few = Report(linux.environment, {})
    told = answers(render_table("text", make_table([("a", linux), ("few", few)], []), True), ID)
    assert told == {"no": ["a"], "?": ["few"]}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_keeps_to_the_terminal(linux: Report, freebsd: Report, width: int) -> None:
    table = make_table([("here", linux), ("bsd", freebsd)], ["macos", "netbsd"], here=["here"])
    text = render_table("text", table, style=Style(width=width))
    ids = max(len(row.id) for row in table.rows)
    assert max(map(len, text.splitlines())) <= max(width, ids)
