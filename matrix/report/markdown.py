"""Render the table as Markdown."""

from __future__ import annotations

from probes.renderings import Style
from probes.renderings.markdown import escape
from probes.renderings.markdown import format_row as markdown_row
from probes.text import make_printable

from ..table import DOCUMENTED, Entry, Table
from ._remarks import list_remarks


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as Markdown, for an issue or a wiki."""
    lines = [markdown_row("platform", "", "on", "when"), markdown_row(*["---"] * 4)]
    lines += [
        markdown_row(column.name, column.describe_origin(), column.description, column.measured_at)
        for column in table.columns
    ]
    for family, group in table.families():
        lines += ["", f"### {escape(family)}", ""]
        head = [f"{column.name} ({column.kind})" for column in table.columns]
        lines += [markdown_row("fact", "question", *head), markdown_row(*["---"] * (len(head) + 2))]
        lines += [
            markdown_row(row.id, row.question, *(_show(entry) for entry in row.entries))
            for row in group
        ]
    lines += ["", *(f"- {escape(line)}" for line in list_remarks(table, total))]
    return "\n".join(lines) + "\n"


def _show(entry: Entry) -> str:
    text = make_printable(entry.answer)
    if entry.status == DOCUMENTED:
        return f"({text})"
    return f"{text} !" if entry.breaks_promise else text
