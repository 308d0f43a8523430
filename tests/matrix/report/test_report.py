"""Test what holds for every format of the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.assemble import list_documented_systems
from matrix.report import FORMATS, render_table
from matrix.table import (
    make_table,
)
from probes import Report
from probes.renderings import Style
from tests import strategies
from tests.matrix.reports import changed
from tests.matrix.tables import ID
from tests.strategies import lightly


@pytest.mark.parametrize("name", FORMATS)
def test_words_of_a_report_mean_nothing_to_who_shows_them(linux: Report, name: str) -> None:
    harm = "\x1b[2J</td></script><script>alert(1)</script>\u202e\ud800"
    bad = changed(linux, {"distribution": harm}, {ID: harm}, way=harm)
    table = make_table([(harm, bad)], [*list_documented_systems(), "posix"])
    text = render_table(name, table, show_all=True) + render_table(name, table, True, wide=True)
    text.encode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    if name in ("html", "markdown"):
        assert "<script>alert" not in text


@lightly
@given(st.lists(strategies.reports, max_size=3), st.sampled_from(FORMATS), st.booleans())
def test_any_report_can_be_shown(reports: list[Report], name: str, everything: bool) -> None:
    named = [(f"{at}\udcff<b>", report) for at, report in enumerate(reports)]
    # With the manuals of all systems the platforms are many.
    for style, manuals in ((Style(), list_documented_systems()), (Style(width=60), ["freebsd"])):
        text = render_table(name, make_table(named, manuals), everything, style)
        text.encode()
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows_is_no_fault(linux: Report, name: str) -> None:
    assert render_table(name, make_table([("a", linux)], []))
