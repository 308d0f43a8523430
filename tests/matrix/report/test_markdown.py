"""Test the table as Markdown."""

from __future__ import annotations

import re

from matrix.report import render_table
from matrix.table import (
    make_table,
)
from probes import Report
from tests.matrix.report.tables import twenty


def test_markdown_has_as_many_cells_in_each_line(linux: Report, freebsd: Report) -> None:
    text = render_table("markdown", make_table([("a|b", linux), ("bsd", freebsd)], ["macos"]), True)
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert r"a\|b (recorded)" in text


def test_markdown_of_many_platforms_has_a_line_per_answer() -> None:
    text = render_table("markdown", twenty())
    assert "| fact | question | answer | platforms |" in text
    lines = text.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("| abi.long_bits |"))
    question = "How many bits does a long have?"
    assert lines[at : at + 3] == [
        f"| abi.long_bits | {question} | yes | FreeBSD, all 2! |",
        "| |  | 32 | Linux 32-bit, all 5 |",
        "| |  | 64 | Linux 64-bit, all 9; gVisor |",
    ]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines if line[:1] == "|")
    assert "python3.9 (recorded)" in render_table("markdown", twenty(), wide=True)
