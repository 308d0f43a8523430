"""The table as HTML: a colour and a shape for each answer of a row, beside its words."""

from __future__ import annotations

from collections import Counter
from html import escape

from matrix.table import DOCUMENTED, DOCUMENTED_ONLY, MEASURED_HERE, Cell, Column, Row, Says, Table
from probes.renderings import safe

FULL = "●◆▲■★"
"""Shapes of measured answers: the first for the commonest of the row."""
HOLLOW = "○◇△□☆"
"""The same answers where they are documented alone."""


def groups(row: Row) -> list[int | None]:
    """For each cell which answer of the row it gives, 0 the commonest; None where unknown."""
    measured: Counter[Says] = Counter()
    told: Counter[Says] = Counter()
    for cell in row.cells:
        if cell.says:
            told[cell.says] += 1
            measured[cell.says] += cell.status != DOCUMENTED
    # What was measured tells more than what is promised; Counter keeps the order of columns.
    order = sorted(told, key=lambda says: (-measured[says], -told[says]))
    return [order.index(cell.says) if cell.says else None for cell in row.cells]


def grid(table: Table) -> str:
    """The whole ``<table>``.

    Roles are spelled out: on a phone its rows are laid out as cards, and a table that is
    displayed otherwise is none to a screen reader.
    """
    head = "".join(
        f'<th role="columnheader" scope="col" data-column="{at}">{heading(column)}</th>'
        for at, column in enumerate(table.columns)
    )
    lines = [
        '<table id="grid" role="table" aria-label="Facts by platforms">',
        '<thead role="rowgroup"><tr role="row">'
        f'<th role="columnheader" scope="col">Fact</th>{head}</tr></thead>',
    ]
    place = 0
    for family, rows in table.families():
        lines.append(f'<tbody role="rowgroup" data-family="{escape(family)}">')
        lines.append(
            '<tr role="row" class="family"><th role="rowheader" scope="rowgroup" '
            f'colspan="{len(table.columns) + 1}"><span>{escape(family)}</span></th></tr>'
        )
        for row in rows:
            lines.append(_row(row, table, place))
            place += 1
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"])


def heading(column: Column) -> str:
    """A platform's name, and where what is told of it is from."""
    kind = {MEASURED_HERE: "here", DOCUMENTED_ONLY: "manual"}.get(column.kind, "recorded")
    return (
        f'<span class="name">{escape(safe(column.name))}</span> '
        f'<span class="kind {kind}">{escape(column.kind)}</span>'
    )


def _row(row: Row, table: Table, place: int) -> str:
    asked = escape(safe(row.question))
    cells = zip(table.columns, row.cells, groups(row), strict=True)
    return (
        f'<tr role="row" class="fact" id="{escape(row.id)}" data-row="{place}">'
        f'<th role="rowheader" scope="row"><a href="#{escape(row.id)}">{asked}</a> '
        f"<code>{escape(row.id)}</code></th>"
        + "".join(_cell(c, cell, group, at) for at, (c, cell, group) in enumerate(cells))
        + "</tr>"
    )


def _cell(column: Column, cell: Cell, group: int | None, at: int) -> str:
    documented = cell.status == DOCUMENTED
    kinds = [f"answer-{min(group, len(FULL) - 1)}" if group is not None else "no-answer"]
    shape = ""
    if group is not None:
        shape = (HOLLOW if documented else FULL)[min(group, len(FULL) - 1)]
        shape = f'<span class="shape" aria-hidden="true">{shape}</span>&nbsp;'
    aside = ""
    if documented:
        kinds.append("documented")
        aside = ' <span class="unseen">documented, not measured</span>'
    elif cell.breaks_promise:
        aside = (
            '&nbsp;<strong class="breaks" aria-hidden="true">!</strong>'
            ' <span class="unseen">not what is documented</span>'
        )
    return (
        f'<td role="cell" class="{" ".join(kinds)}" data-column="{at}" '
        f'data-platform="{escape(safe(column.name))}"><span class="answer">{shape}'
        f"{escape(safe(cell.answer))}{aside}</span></td>"
    )
