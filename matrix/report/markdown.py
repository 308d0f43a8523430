"""Render the table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from probes.renderings import Style
from probes.renderings.markdown import escape
from probes.renderings.markdown import format_row as markdown_row
from probes.text import make_printable

from ..families import list_families
from ..table import DOCUMENTED, Entry, Table
from ._answers import condense_table, group_by_families
from ._remarks import list_remarks

_RULE = markdown_row(*["---"] * 4)


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as Markdown, for an issue or a wiki."""
    lines = _list_platforms(table)
    for family, group in table.families():
        lines += ["", f"### {escape(family)}", ""]
        head = [f"{column.name} ({column.kind})" for column in table.columns]
        lines += [markdown_row("fact", "question", *head), markdown_row(*["---"] * (len(head) + 2))]
        lines += [
            markdown_row(row.id, row.question, *(_show(entry) for entry in row.entries))
            for row in group
        ]
    return _finish(lines, table, total)


def render_families(table: Table, total: int, style: Style) -> str:
    """Return the table as Markdown with a line per answer, and the families that give it."""
    table = condense_table(table)
    families = list_families(table.columns)
    lines = _list_platforms(table)
    for family, group in table.families():
        lines += ["", f"### {escape(family)}", ""]
        lines += [markdown_row("fact", "question", "answer", "platforms"), _RULE]
        for row in group:
            head = row.id, row.question
            for answer, names in group_by_families(row, table.columns, families):
                lines.append(markdown_row(*head, answer, names))
                head = "", ""
    return _finish(lines, table, total)


def _list_platforms(table: Table) -> list[str]:
    return [
        markdown_row("platform", "", "on", "when"),
        _RULE,
        *(
            markdown_row(
                column.name, column.describe_origin(), column.description, column.measured_at
            )
            for column in table.columns
        ),
    ]


def _finish(lines: Sequence[str], table: Table, total: int) -> str:
    remarks = [f"- {escape(line)}" for line in list_remarks(table, total)]
    return "\n".join([*lines, "", *remarks]) + "\n"


def _show(entry: Entry) -> str:
    text = make_printable(entry.answer)
    if entry.status == DOCUMENTED:
        return f"({text})"
    return f"{text} !" if entry.breaks_promise else text
