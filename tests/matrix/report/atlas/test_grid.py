"""Test the grid of the atlas: order, sections and cells."""

from __future__ import annotations

import re

from matrix.families import arrange_platforms, describe_build
from matrix.report import atlas
from matrix.report.atlas.grid import (
    FULL,
    HOLLOW,
    group_answers,
    list_sections,
)
from matrix.table import Table
from probes.catalogue import SURPRISES
from tests.matrix.report.tables import ID


def test_groups_put_what_is_measured_most_first(table: Table) -> None:
    row = next(row for row in arrange_platforms(table).rows if row.id == ID)
    # here: no, odd: HARM, bsd: yes, freebsd: (yes), openbsd: (yes)
    assert group_answers(row) == [1, 2, 0, 0, 0]


def test_each_fact_is_in_one_section_and_surprises_come_first(table: Table) -> None:
    found = [row.id for _, _, rows in list_sections(table) for row in rows]
    assert found[: len(SURPRISES)] == list(SURPRISES)
    assert sorted(found) == sorted(row.id for row in table.rows)


def test_an_answer_is_told_without_colour(table: Table) -> None:
    row = re.search(rf'<tr[^>]* id="{ID}".*?</tr>', atlas.render_page(table), re.S)
    assert row
    cells = re.findall(r"<td.*?</td>", row[0], re.S)
    shapes = [re.findall(f"[{FULL}{HOLLOW}]", cell) for cell in cells]
    assert shapes == [["◆"], ["▲"], ["●"], ["○"], ["○"]]
    told = ["documented, not measured" in cell for cell in cells]
    assert told == [False, False, False, True, True]


def test_a_heading_tells_processor_and_release(table: Table) -> None:
    told = re.findall(r'<span class="build">(.*?)</span>', atlas.render_page(table))
    columns = arrange_platforms(table).columns
    assert told == [describe_build(column) for column in columns if column.report]
    assert told[-1] == "amd64, 14.1-RELEASE"
