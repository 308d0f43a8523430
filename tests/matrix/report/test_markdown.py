"""Test the table as Markdown."""

from __future__ import annotations

import re

from matrix.report import render_table
from matrix.table import (
    make_table,
)
from probes import Report


def test_markdown_has_as_many_cells_in_each_line(linux: Report, freebsd: Report) -> None:
    text = render_table("markdown", make_table([("a|b", linux), ("bsd", freebsd)], ["macos"]), True)
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert r"a\|b (recorded)" in text
