"""Make tables and run the command, for several test files."""

from __future__ import annotations

from matrix import cli
from matrix.table import (
    Row,
    Table,
)

ID = "sockets.v6only_default"


def run(*arguments: str) -> int:
    """``python -m matrix`` with these arguments."""
    return cli.main(list(arguments))


def row(table: Table, id: str) -> Row:
    return next(row for row in table.rows if row.id == id)


def answers(text: str, id: str) -> dict[str, list[str]]:
    """Return the platforms of each answer that the text gives for a fact."""
    _, _, after = text.partition(f"\n{id} ")
    found: dict[str, list[str]] = {}
    for line in after.splitlines()[1:]:
        if not line.startswith("      "):
            break
        answer, _, names = line.strip().partition("  ")
        found[answer] = names.strip().split(", ")
    assert found, text
    return found
