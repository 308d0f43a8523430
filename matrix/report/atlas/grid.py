"""The table as HTML: a colour and a shape for each answer of a row, beside its words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from probes.catalogue import SURPRISES
from probes.text import make_printable

from ...families import (
    MANY,
    Family,
    describe_build,
    find_title,
    group_columns,
    list_families,
)
from ...table import (
    DOCUMENTED,
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    Column,
    Entry,
    Row,
    Says,
    Table,
)
from .._answers import tell_platforms

FULL = "●◆▲■★"
"""Shapes of measured answers: the first for the most common of the row."""
HOLLOW = "○◇△□☆"
"""Shapes of the same answers if they are only documented."""


def list_sections(table: Table) -> Iterator[tuple[str, str, Sequence[Row]]]:
    """Yield title, family and rows in the page's order: the surprises, then each family."""
    first = [row for id in SURPRISES for row in table.rows if row.id == id]
    if first:
        yield "Surprises", "", first
    for family, rows in table.families():
        rest = [row for row in rows if row not in first]
        if rest:
            yield family, family, rest


def group_answers(row: Row) -> list[int | None]:
    """Return the number of each entry's answer, 0 for the most common; None if unknown."""
    measured: Counter[Says] = Counter()
    told: Counter[Says] = Counter()
    for entry in row.entries:
        if entry.says:
            told[entry.says] += 1
            measured[entry.says] += entry.status != DOCUMENTED
    # Measured answers count more than documented ones; Counter keeps the order of columns.
    order = sorted(told, key=lambda says: (-measured[says], -told[says]))
    return [order.index(entry.says) if entry.says else None for entry in row.entries]


def render_grid(table: Table) -> str:
    """Return the whole ``<table>``.

    Roles are spelled out, because on a phone the rows are laid out as cards, and a screen reader
    does not recognise a table that is displayed in another way.
    """
    many = ' class="many"' if len(table.columns) > MANY else ""
    lines = [
        f'<table id="grid"{many} role="table" aria-label="Facts by platforms">',
        '<thead role="rowgroup"><tr role="row" class="systems">'
        f'<th role="columnheader" scope="col" rowspan="2">Fact</th>{_render_systems(table)}</tr>',
        f'<tr role="row" class="names">{_render_names(table)}</tr></thead>',
    ]
    families = list_families(table.columns)
    for title, family, rows in list_sections(table):
        lines.append(f'<tbody role="rowgroup" data-family="{escape(family)}">')
        lines.append(_render_title(title, len(table.columns) + 1))
        lines += [_render_row(row, table, families) for row in rows]
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"])


def render_heading(column: Column) -> str:
    """Return a platform's name and the origin of its answers."""
    kind = {MEASURED_HERE: "here", DOCUMENTED_ONLY: "manual"}.get(column.kind, "recorded")
    date = (
        f' <span class="date">{escape(make_printable(find_day(column)))}</span>'
        if find_day(column)
        else ""
    )
    return (
        f'<span class="name">{escape(make_printable(column.name))}</span> '
        f'<span class="kind {kind}">{escape(column.where)}</span>{date}'
    )


def find_day(column: Column) -> str:
    """Return the date of the measurement, without its time."""
    return column.measured_at.partition("T")[0]


def _render_systems(table: Table) -> str:
    return "".join(
        f'<th role="columnheader" scope="colgroup" colspan="{len(places)}" data-from="{places[0]}" '
        f'data-span="{len(places)}" data-system="{escape(make_printable(system))}">'
        f"{escape(find_title(system))}</th>"
        for system, places in group_columns(table.columns)
    )


def _render_names(table: Table) -> str:
    return "".join(
        f'<th role="columnheader" scope="col" data-column="{at}">'
        f'<span class="platform">{render_heading(column)}{_render_build(column)}</span></th>'
        for at, column in enumerate(table.columns)
    )


def _render_build(column: Column) -> str:
    """Return a platform's processor and release, which the lists of platforms tell in full."""
    build = describe_build(column)
    return f' <span class="build">{escape(build)}</span>' if build else ""


def _render_title(title: str, span: int) -> str:
    return (
        '<tr role="row" class="family"><th role="rowheader" scope="rowgroup" '
        f'colspan="{span}"><span>{escape(title)}</span></th></tr>'
    )


def _render_row(row: Row, table: Table, families: Sequence[Family]) -> str:
    asked = escape(make_printable(row.question))
    given = group_answers(row)
    entries = zip(row.entries, given, strict=True)
    return (
        f'<tr role="row" class="fact" id="{escape(row.id)}">'
        f'<th role="rowheader" scope="row"><a href="#{escape(row.id)}">{asked}</a> '
        f"<code>{escape(row.id)}</code>{_render_chips(row, table, given, families)}</th>"
        + "".join(_render_entry(entry, group, at) for at, (entry, group) in enumerate(entries))
        + "</tr>"
    )


def _render_chips(
    row: Row, table: Table, given: Sequence[int | None], families: Sequence[Family]
) -> str:
    """Return the answers and their platforms for a phone, where a row of the table does not fit."""
    by_answer: dict[int, list[int]] = {}
    for at, group in enumerate(given):
        if group is not None:
            by_answer.setdefault(group, []).append(at)
    known = [
        at
        for at, column in enumerate(table.columns)
        if column.report is not None and row.entries[at].claims
    ]
    chips = []
    for group in sorted(by_answer, reverse=True):
        places = by_answer[group]
        whose = tell_platforms(places, known, row, table.columns, families)
        documented = all(row.entries[at].status == DOCUMENTED for at in places)
        chips.append(
            f'<li class="{_choose_classes(group, documented)}" '
            f'data-columns="{" ".join(map(str, places))}">'
            f"{_render_answer(row.entries[places[0]], group, documented)} "
            f'<span class="whose">{escape(whose)}</span></li>'
        )
    return f'<ul class="chips">{"".join(chips)}</ul>'


def _choose_classes(group: int | None, documented: bool) -> str:
    """Return the classes of an answer: its colour and its frame."""
    if group is None:
        return "answer no-answer"
    return f"answer answer-{min(group, len(FULL) - 1)}" + " documented" * documented


def _render_answer(entry: Entry, group: int | None, documented: bool) -> str:
    """Return an answer after its shape; a line may break between its words."""
    text = re.sub(r"([|_,=]|^un(?=supported$))", r"\1<wbr>", escape(make_printable(entry.answer)))
    if group is None:
        return text
    shape = (HOLLOW if documented else FULL)[min(group, len(FULL) - 1)]
    return f'<span class="shape" aria-hidden="true">{shape}</span> {text}'


def _render_entry(entry: Entry, group: int | None, at: int) -> str:
    documented = entry.status == DOCUMENTED
    aside = ""
    if documented:
        aside = '<span class="unseen"> documented, not measured</span>'
    elif entry.breaks_promise:
        aside = (
            ' <strong class="breaks" aria-hidden="true">!</strong>'
            '<span class="unseen"> not what is documented</span>'
        )
    return (
        f'<td role="cell" class="{_choose_classes(group, documented)}" data-column="{at}" '
        f'title="{escape(make_printable(entry.answer))}">'
        f"<div>{_render_answer(entry, group, documented)}{aside}</div></td>"
    )
