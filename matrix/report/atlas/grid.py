"""The table as HTML: a colour and a shape for each answer of a row, beside its words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby

from matrix.table import (
    DOCUMENTED,
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    RECORDED,
    Cell,
    Column,
    Row,
    Says,
    Table,
)
from probes.catalogue import SURPRISES
from probes.renderings import safe

FULL = "●◆▲■★"
"""Shapes of measured answers: the first for the commonest of the row."""
HOLLOW = "○◇△□☆"
"""The same answers where they are documented alone."""

SYSTEMS = {
    "linux": "Linux",
    "linux-musl": "Linux, musl",
    "gvisor": "gVisor",
    "freebsd": "FreeBSD",
    "dragonfly": "DragonFly",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "macos": "macOS",
    "illumos": "illumos",
}
"""In the order of the columns, after the names that documented values are filed under."""

MANY = 6
"""More platforms than these have their names written upwards."""
FEW = 3
"""As many platforms are named on a phone; of more, their number is given."""


def system(column: Column) -> str:
    """Return the system a platform is of: a key of `SYSTEMS`, or the name in its report."""
    names = [name for name in column.names if name != "posix"]
    special = next((name for name in names if name in ("gvisor", "linux-musl")), None)
    return special or (names[-1] if names else column.name)


def arrange(table: Table) -> Table:
    """Order the platforms by system; in each system, what is measured here comes first."""
    order = list(SYSTEMS)

    def place(at: int) -> tuple[object, ...]:
        column = table.columns[at]
        kind = system(column)
        known = order.index(kind) if kind in order else len(order)
        kinds = (MEASURED_HERE, RECORDED, DOCUMENTED_ONLY)
        # Every other part is a number: python3.9 comes before python3.10.
        parts = enumerate(re.split("([0-9]+)", column.name))
        name = [int(part) if each % 2 else part for each, part in parts]
        return known, kind, kinds.index(column.kind), name

    places = sorted(range(len(table.columns)), key=place)
    return Table(
        [table.columns[at] for at in places],
        [replace(row, cells=[row.cells[at] for at in places]) for row in table.rows],
    )


def sections(table: Table) -> Iterator[tuple[str, str, Sequence[Row]]]:
    """Yield title, family and rows in the page's order: the surprises, then each family."""
    first = [row for id in SURPRISES for row in table.rows if row.id == id]
    if first:
        yield "Surprises", "", first
    for family, rows in table.families():
        rest = [row for row in rows if row not in first]
        if rest:
            yield family, family, rest


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
    many = ' class="many"' if len(table.columns) > MANY else ""
    lines = [
        f'<table id="grid"{many} role="table" aria-label="Facts by platforms">',
        '<thead role="rowgroup"><tr role="row" class="systems">'
        f'<th role="columnheader" scope="col" rowspan="2">Fact</th>{_systems(table)}</tr>',
        f'<tr role="row" class="names">{_names(table)}</tr></thead>',
    ]
    for title, family, rows in sections(table):
        lines.append(f'<tbody role="rowgroup" data-family="{escape(family)}">')
        lines.append(_title(title, len(table.columns) + 1))
        lines += [_row(row, table) for row in rows]
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"])


def heading(column: Column) -> str:
    """A platform's name, and where what is told of it is from."""
    kind = {MEASURED_HERE: "here", DOCUMENTED_ONLY: "manual"}.get(column.kind, "recorded")
    date = f' <span class="date">{escape(safe(day(column)))}</span>' if day(column) else ""
    return (
        f'<span class="name">{escape(safe(column.name))}</span> '
        f'<span class="kind {kind}">{escape(column.where)}</span>{date}'
    )


def day(column: Column) -> str:
    """Return the date of the measurement, without its time."""
    return column.measured_at.partition("T")[0]


def _systems(table: Table) -> str:
    made = []
    at = 0
    for kind, group in groupby(table.columns, system):
        span = len(list(group))
        made.append(
            f'<th role="columnheader" scope="colgroup" colspan="{span}" data-from="{at}" '
            f'data-span="{span}">{escape(safe(SYSTEMS.get(kind, kind)))}</th>'
        )
        at += span
    return "".join(made)


def _names(table: Table) -> str:
    return "".join(
        f'<th role="columnheader" scope="col" data-column="{at}">'
        f'<span class="platform">{heading(column)}</span></th>'
        for at, column in enumerate(table.columns)
    )


def _title(title: str, span: int) -> str:
    return (
        '<tr role="row" class="family"><th role="rowheader" scope="rowgroup" '
        f'colspan="{span}"><span>{escape(title)}</span></th></tr>'
    )


def _row(row: Row, table: Table) -> str:
    asked = escape(safe(row.question))
    given = groups(row)
    cells = zip(row.cells, given, strict=True)
    return (
        f'<tr role="row" class="fact" id="{escape(row.id)}">'
        f'<th role="rowheader" scope="row"><a href="#{escape(row.id)}">{asked}</a> '
        f"<code>{escape(row.id)}</code>{_chips(row, table, given)}</th>"
        + "".join(_cell(cell, group, at) for at, (cell, group) in enumerate(cells))
        + "</tr>"
    )


def _chips(row: Row, table: Table, given: Sequence[int | None]) -> str:
    """Write the answers and their platforms for a phone, where a row of cells does not fit."""
    by_answer: dict[int, list[int]] = {}
    for at, group in enumerate(given):
        if group is not None:
            by_answer.setdefault(group, []).append(at)
    chips = []
    for group in sorted(by_answer, reverse=True):
        places = by_answer[group]
        names = ", ".join(table.columns[at].name for at in places)
        whose = names if len(places) <= FEW else f"{len(places)} platforms"
        documented = all(row.cells[at].status == DOCUMENTED for at in places)
        chips.append(
            f'<li class="{_kind(group, documented)}" data-columns="{" ".join(map(str, places))}">'
            f"{_answer(row.cells[places[0]], group, documented)} "
            f'<span class="whose">{escape(safe(whose))}</span></li>'
        )
    return f'<ul class="chips">{"".join(chips)}</ul>'


def _kind(group: int | None, documented: bool) -> str:
    """Return the classes of an answer: its colour and its frame."""
    if group is None:
        return "answer no-answer"
    return f"answer answer-{min(group, len(FULL) - 1)}" + " documented" * documented


def _answer(cell: Cell, group: int | None, documented: bool) -> str:
    """Write an answer after its shape; a line may break where its words do."""
    text = re.sub(r"([|_,=]|^un(?=supported$))", r"\1<wbr>", escape(safe(cell.answer)))
    if group is None:
        return text
    shape = (HOLLOW if documented else FULL)[min(group, len(FULL) - 1)]
    return f'<span class="shape" aria-hidden="true">{shape}</span> {text}'


def _cell(cell: Cell, group: int | None, at: int) -> str:
    documented = cell.status == DOCUMENTED
    aside = ""
    if documented:
        aside = '<span class="unseen"> documented, not measured</span>'
    elif cell.breaks_promise:
        aside = (
            ' <strong class="breaks" aria-hidden="true">!</strong>'
            '<span class="unseen"> not what is documented</span>'
        )
    return (
        f'<td role="cell" class="{_kind(group, documented)}" data-column="{at}" '
        f'title="{escape(safe(cell.answer))}"><div>{_answer(cell, group, documented)}{aside}</div>'
        "</td>"
    )
