"""The table as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from probes.renderings import Style, embolden
from probes.renderings.text import LONGEST_ANSWER, pad, wrap
from probes.renderings.text import count_columns as width_of
from probes.text import make_printable

from ..families import list_families
from ..table import DOCUMENTED, NOT_KNOWN, Column, Row, Table
from ._answers import condense_table, group_by_families, mark_name
from ._remarks import list_remarks

WIDTH = 100
"""Columns of the text if no terminal says how wide it is."""
FEW = 3
"""If more platforms than this give the most common answer, only their number is shown."""


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as text: each fact's answers, each with the platforms that give it."""
    return _render(table, total, style, lambda row: _group_answers(row, table.columns))


def render_families(table: Table, total: int, style: Style) -> str:
    """Return the table as text: each fact's answers, each with the families that give it."""
    table = condense_table(table)
    families = list_families(table.columns)
    return _render(table, total, style, lambda row: group_by_families(row, table.columns, families))


def _render(
    table: Table, total: int, style: Style, group_answers: Callable[[Row], list[tuple[str, str]]]
) -> str:
    width = max(style.width or WIDTH, 24)
    names = [mark_name(column) for column in table.columns]
    lines = list(_list_platforms(table, names, width))
    for family, group in table.families():
        lines += ["", embolden(family, style)]
        for row in group:
            lines += _describe_row(row, group_answers(row), width)
    lines.append("")
    for each in list_remarks(table, total):
        lines += wrap(each, width)
    return "\n".join(lines) + "\n"


def _list_platforms(table: Table, names: Sequence[str], width: int) -> Iterator[str]:
    """Yield the platforms, each with the origin of its answers."""
    longest = max(map(width_of, names), default=0)
    indent = longest + 2 if longest + 40 <= width else 4
    for name, column in zip(names, table.columns, strict=True):
        lines = wrap(
            make_printable(f"{column.describe_origin()}: {column.description}"), width - indent
        )
        if indent > longest:
            yield f"{pad(name, longest)}  {lines.pop(0)}"
        else:
            yield from wrap(name, width)
        yield from (" " * indent + line for line in lines)


def _describe_row(row: Row, answers: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the fact, its question, and one line per answer."""
    question = make_printable(row.question) if row.probe else ""
    if width_of(f"{row.id}  {question}") <= width:
        yield f"{row.id}  {question}".rstrip()
    else:
        yield row.id
        yield from _indent(question, 4, width)
    widths = (width_of(answer) for answer, _ in answers)
    longest = max((each for each in widths if each <= LONGEST_ANSWER), default=0)
    for answer, names in answers:
        lines = wrap(names, width - longest - 8)
        if width_of(answer) <= longest:
            yield f"      {pad(answer, longest)}  {lines.pop(0)}"
        else:
            yield from _indent(answer, 6, width)
        yield from (" " * (longest + 8) + line for line in lines)


def _group_answers(row: Row, platforms: Sequence[Column]) -> list[tuple[str, str]]:
    """Return each answer with the platforms that give it, the most common answer last."""
    given: dict[str, list[str]] = {}
    measured: dict[str, list[str]] = {}
    """The names of the platforms that were measured and answer as documented."""
    for column, entry in zip(platforms, row.entries, strict=True):
        if column.report is None and entry.status == NOT_KNOWN:
            continue  # Most manuals do not mention most facts.
        answer, name = make_printable(entry.answer), mark_name(column)
        if entry.breaks_promise:
            name += "!"
        elif entry.says and entry.status != DOCUMENTED:
            measured.setdefault(answer, []).append(name)
        given.setdefault(answer, []).append(name)
    most = max(measured, key=lambda answer: len(measured[answer]), default="")
    if len(measured.get(most, ())) > FEW:
        those = given.pop(most)
        rest = [name for name in those if name not in measured[most]]
        others = any(
            entry.fact and make_printable(entry.answer) != most for entry in row.entries
        ) or any(name.endswith("!") for name in rest)
        count = f"{'the other' if others else 'all'} {len(measured[most])} measured"
        given[most] = [count, *rest]
    return [(answer, ", ".join(names)) for answer, names in given.items()]


def _indent(text: str, indent: int, width: int) -> list[str]:
    return [" " * indent + line for line in wrap(text, width - indent)]
