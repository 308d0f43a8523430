"""Print a comparison of reports, as text or JSON.

What a report could not measure is listed apart, because it is not a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .comparison import Row
from .fact import Report
from .text import make_printable

if TYPE_CHECKING:
    from .probe import Probe
    from .renderings import Style

Named = Sequence[tuple[str, Report]]
"""Reports with the paths they came from."""


def render_text(
    reports: Named, rows: Sequence[Row], everything: bool, probes: Mapping[str, Probe], style: Style
) -> str:
    """Return the platforms, the rows that differ (or ``everything``), then what was not compared.

    A row is one line; if a terminal is too narrow, it is the question, and a line per answer.
    """
    from .renderings import embolden
    from .renderings.text import count_columns

    letters = [make_letter(number) for number in range(len(reports))]
    shown = [row for row in rows if row.differs or (everything and row.compared)]
    lines: list[str] = []
    for name, (path, report) in zip(letters, reports):
        lines += _wrap(
            f"{make_printable(path)}: {make_printable(str(report.environment))}", f"{name}  ", style
        )
    if shown:
        lines.append("")
    table = _format_table(shown, letters, probes)
    if style.width is None or max(map(count_columns, table), default=0) <= style.width:
        marks = [False, *(everything and row.differs for row in shown)]
        lines += [embolden(text, style) if mark else text for mark, text in zip(marks, table)]
    else:
        for row in shown:
            lines += _block(row, letters, probes, style, marked=everything and row.differs)
    missing = [row for row in rows if not row.compared]
    if missing:
        lines += ["", "not compared:", *_list_missing(missing, letters, style)]
    differing = sum(row.differs for row in rows)
    last = f"{differing} of {len(rows)} facts differ"
    last += f", {len(missing)} not compared" if missing else ""
    ending = [embolden(line, style) for line in _wrap(last, "", style)]
    return "\n".join([*lines, "", *ending]) + "\n"


def _format_table(
    rows: Sequence[Row], letters: Sequence[str], probes: Mapping[str, Probe]
) -> list[str]:
    """Return a line per row, below the letters of the reports: id, answers, question."""
    from .renderings.text import count_columns, pad

    table = [["", *letters, ""]]
    table += [
        [row.id, *map(make_printable, row.answers), _find_question(row, probes)] for row in rows
    ]
    widths = [max(count_columns(line[at]) for line in table) for at in range(len(table[0]))]
    return ["  ".join(map(pad, line, widths)).rstrip() for line in table] if rows else []


def _block(
    row: Row, letters: Sequence[str], probes: Mapping[str, Probe], style: Style, marked: bool
) -> list[str]:
    """Return the question, then which reports have which answer."""
    from .renderings import FAINT, embolden, paint
    from .renderings.text import count_columns

    question = _wrap(_find_question(row, probes), "", style)
    lines = [embolden(text, style) if marked else text for text in question]
    if question and style.width and count_columns(question[-1]) + 2 + len(row.id) <= style.width:
        lines[-1] += "  " + paint(row.id, FAINT, style)
    else:
        lines += [paint(text, FAINT, style) for text in _wrap(row.id, "  ", style)]
    by_answer: dict[str, list[str]] = {}
    for name, answer in zip(letters, row.answers):
        by_answer.setdefault(answer, []).append(name)
    for answer, names in by_answer.items():
        lines += _wrap(f"{', '.join(names)}: {make_printable(answer)}", "  ", style)
    return lines


def _find_question(row: Row, probes: Mapping[str, Probe]) -> str:
    return probes[row.id].question if row.id in probes else ""


def _list_missing(rows: Sequence[Row], letters: Sequence[str], style: Style) -> Iterator[str]:
    """Yield what each report did not measure: once for each reason, with the ids."""
    found: dict[tuple[str, str], list[str]] = {}
    for at, name in enumerate(letters):
        for row in rows:
            fact = row.facts[at]
            if fact not in row.answered:
                why = f"{fact.status}: {fact.reason}" if fact else "not in the report"
                found.setdefault((name, why), []).append(row.id)
    for (name, why), ids in found.items():
        facts = "1 fact" if len(ids) == 1 else f"{len(ids)} facts"
        yield from _wrap(f"{make_printable(why)}; {facts}: {', '.join(ids)}", f"  {name}  ", style)


def _wrap(text: str, before: str, style: Style) -> list[str]:
    """Return ``text`` behind ``before``, in lines as wide as the terminal."""
    from .renderings.text import wrap

    if style.width is None:
        return [f"{before}{text}"] if text else []
    first, *rest = wrap(text, max(style.width, 24) - len(before))
    return [f"{before}{first}", *(" " * len(before) + line for line in rest)] if text else []


def render_json(
    reports: Named, rows: Sequence[Row], everything: bool, probes: Mapping[str, Probe]
) -> str:
    """Return the same as JSON: values beside statuses, null if a report has no such fact."""

    def describe(row: Row) -> dict[str, Any]:
        return {
            "id": row.id,
            "question": probes[row.id].question if row.id in probes else "",
            "differs": row.differs,
            "facts": [
                {"status": fact.status, "value": fact.value, "reason": fact.reason}
                if fact
                else None
                for fact in row.facts
            ],
        }

    document = {
        "reports": [
            {"path": path, "platform": str(report.environment)} for path, report in reports
        ],
        "rows": [describe(row) for row in rows if row.differs or (everything and row.compared)],
        "not_compared": [describe(row) for row in rows if not row.compared],
    }
    return json.dumps(document, indent=1) + "\n"


def make_letter(number: int) -> str:
    """Return A, B, … Z, AA, AB, … for 0, 1, …"""
    letters = ""
    while number >= 0:
        letters = chr(ord("A") + number % 26) + letters
        number = number // 26 - 1
    return letters
