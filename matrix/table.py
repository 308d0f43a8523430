"""table: facts by platforms, and where each answer is from.

A column is a report that was measured on this very platform, one that was recorded
elsewhere, or a platform without a report, of which the table knows what its manuals
promise.  A promise is shown as one, and never counted as measured.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from probes.baseline import own_folder
from probes.cli import write
from probes.comparison import UNKNOWN, letter
from probes.environment import describe
from probes.fact import (
    INFORMATIVE,
    MEASURED,
    UNSUPPORTED,
    Fact,
    Platform,
    Report,
    ReportError,
    Value,
    show,
)
from probes.invocation import called
from probes.probe import Probe, catalogue, same
from probes.renderings import Style, bold, safe
from probes.renderings.markdown import escape
from probes.renderings.markdown import row as markdown_row
from probes.renderings.text import LONGEST_ANSWER, pad, wrap
from probes.renderings.text import columns as width_of

from . import cell as cells

MEASURED_HERE = "measured here"
RECORDED = "recorded"
DOCUMENTED_ONLY = "documented only"

DOCUMENTED = "documented"
"""Status of a cell that tells what a manual promises."""
NOT_KNOWN = "unknown"
"""Status of a cell nobody can fill: not measured, and no manual was read."""

Says = tuple[str, Value] | None
Named = list[tuple[str, Report]]


@dataclass(frozen=True)
class Column:
    """One platform."""

    name: str
    kind: str
    """`MEASURED_HERE`, `RECORDED` or `DOCUMENTED_ONLY`."""
    description: str
    """Kernel and C library it was measured on, or whose manuals speak."""
    measured_at: str = ""
    way: str = ""
    """How the platform was reached, where the report says so."""
    report: Report | None = field(default=None, repr=False)
    names: Sequence[str] = ()
    """What its documented values are filed under, the nearest first."""


@dataclass(frozen=True)
class Cell:
    """One fact on one platform."""

    status: str
    """A fact's status, or `DOCUMENTED`, or `NOT_KNOWN`."""
    value: Value = None
    fact: Fact | None = None
    promise: tuple[str, Value] | None = None
    """What the platform's manuals promise, after the name it is filed under."""

    @property
    def answer(self) -> str:
        """The value as people read it, the status where there is none, or `UNKNOWN`."""
        if self.status == NOT_KNOWN:
            return UNKNOWN
        return show(self.value) if self.status in (MEASURED, DOCUMENTED) else self.status

    @property
    def says(self) -> Says:
        """What two platforms are compared by; None where nothing is known of this one.

        That a fact was blocked or timed out tells of the measuring, not of the platform.
        """
        if self.status in (MEASURED, DOCUMENTED):
            return type(self.value).__name__, self.value
        return (UNSUPPORTED, None) if self.status == UNSUPPORTED else None

    @property
    def breaks_promise(self) -> bool:
        """Measured, and not what the platform documents."""
        if self.status != MEASURED or self.promise is None:
            return False
        return not same(self.promise[1], self.value)


@dataclass(frozen=True)
class Row:
    """One fact on every platform."""

    id: str
    cells: Sequence[Cell]
    scope: str
    probe: Probe | None = None

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    @property
    def question(self) -> str:
        """What is asked; the id of a fact this catalogue does not know."""
        return self.probe.question if self.probe else self.id

    @property
    def differs(self) -> bool:
        """Whether two known answers are not alike; what is informative may differ freely."""
        if self.scope == INFORMATIVE:
            return False
        return len({cell.says for cell in self.cells if cell.says}) > 1


@dataclass(frozen=True)
class Table:
    """Facts by platforms: families in alphabetical order, each in the catalogue's."""

    columns: Sequence[Column]
    rows: Sequence[Row]

    def differing(self) -> Table:
        """The rows that differ alone."""
        return replace(self, rows=[row for row in self.rows if row.differs])

    def families(self) -> Iterator[tuple[str, list[Row]]]:
        for family, rows in groupby(self.rows, lambda row: row.family):
            yield family, list(rows)


def columns(
    reports: Named,
    documented: Sequence[str],
    *,
    here: Collection[str] = (),
    stands_for: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The table of ``reports`` and of the platforms of ``documented`` that have none.

    ``here`` names the reports that were measured on this platform.  ``stands_for`` tells
    for a documented platform the titles of the systems that are not measured yet.
    """
    probes = catalogue()
    made = [_measured_column(name, report, name in here) for name, report in reports]
    made += [_documented_column(name, (stands_for or {}).get(name, ())) for name in documented]
    ids = {id for _, report in reports for id in report.facts}
    order = {id: place for place, id in enumerate(probes)}
    ids.update(probes)
    # The ids of another catalogue come last in their family.
    ordered = sorted(ids, key=lambda id: (id.partition(".")[0], order.get(id, len(order)), id))
    return Table(made, [_row(id, probes.get(id), made) for id in ordered])


def _measured_column(name: str, report: Report, here: bool) -> Column:
    way = report.later.get("way")
    source = report.later.get("imported_from")
    brought = f"; brought from {source}" if isinstance(source, str) else ""
    return Column(
        name=name,
        kind=MEASURED_HERE if here else RECORDED,
        description=f"{report.environment}{brought}",
        measured_at=report.measured_at,
        way=way if isinstance(way, str) else "",
        report=report,
        names=report.environment.names,
    )


def _documented_column(name: str, systems: Sequence[str]) -> Column:
    unmeasured = f"; not measured yet: {', '.join(systems)}" if systems else ""
    return Column(
        name=name,
        kind=DOCUMENTED_ONLY,
        description=f"what the manuals of {name} promise{unmeasured}",
        names=_documented_names(name),
    )


def _documented_names(name: str) -> list[str]:
    """What is filed for ``freebsd``, ``linux-musl`` or ``linux-32``, the nearest first.

    POSIX is left out: that a standard asks for something is no word of this platform's.
    """
    system, *more = name.split("-")
    bits = next((int(word) for word in more if word.isdigit()), 64)
    own = "glibc" if system == "linux" else system
    libc = next((word for word in more if not word.isdigit()), own)
    names = Platform(system, "", "", libc, "", bits).names
    return [each for each in names if each != "posix" or name == "posix"]


def _row(id: str, probe: Probe | None, made: Sequence[Column]) -> Row:
    cells = [_cell(id, probe, column) for column in made]
    known = (cell.fact.scope for cell in cells if cell.fact)
    return Row(id, cells, probe.scope if probe else next(known, ""), probe)


def _cell(id: str, probe: Probe | None, column: Column) -> Cell:
    fact = column.report.get(id) if column.report else None
    filed = probe.documented if probe else {}
    promise = next(((name, filed[name]) for name in column.names if name in filed), None)
    if fact:
        return Cell(fact.status, fact.value, fact, promise)
    if column.report is None and promise:
        return Cell(DOCUMENTED, promise[1], None, promise)
    # A report that has no such fact: its column tells what was measured and nothing else.
    return Cell(NOT_KNOWN, promise=promise)


# What there is to show -----------------------------------------------------------------


def measured_here(reports: Named) -> list[str]:
    """The names of those from this platform: its kernel, C library, width and confinement."""
    mine = describe("")
    return [
        name
        for name, report in reports
        if all(getattr(report.environment, at) == getattr(mine, at) for at in _SAME_PLATFORM)
    ]


_SAME_PLATFORM = (
    "system", "release", "machine", "distribution", "libc", "libc_version", "pointer_bits",
    "emulated_32_bit", "container", "hypervisor",
)  # fmt: skip


def load(paths: Sequence[str], folder: str = "") -> Named:
    """The reports in ``paths``, or, without any, the baselines, each named after its file.

    ``CELL/report.json``, as `matrix run` leaves it, is named after the cell in it.
    Raises ReportError, its message one line.
    """
    # Beside a baseline may lie the differences that are allowed, which are not a report.
    recorded = {
        os.path.basename(path).removesuffix(".json"): path
        for place in ([folder] if folder else [cells.BASELINES, own_folder()])
        for path in glob.glob(os.path.join(glob.escape(place), "*.json"))
        if not path.endswith(".allowed.json")
    }
    paths = list(dict.fromkeys(paths)) or [recorded[name] for name in sorted(recorded)]
    if not paths:
        raise ReportError(
            f"no report to show: `{called()} report --format json -o here.json` measures one"
        )
    reports = [Report.load(path) for path in paths]
    short = [_name(path, report) for path, report in zip(paths, reports, strict=True)]
    names = [
        path.removesuffix(".json") if short.count(name) > 1 else name
        for path, name in zip(paths, short, strict=True)
    ]
    return list(zip(names, reports, strict=True))


def _name(path: str, report: Report) -> str:
    name = os.path.basename(path).removesuffix(".json")
    cell = report.later.get("cell")
    return cell if name == "report" and isinstance(cell, str) else name


def unmeasured(reports: Named, path: str | None = None) -> dict[str, list[str]]:
    """By documented name, the titles of the cells that none of ``reports`` is of.

    ``path`` is a file with cells beside ours.
    """
    found: dict[str, list[str]] = {}
    for name, cell in cells.load(path).items():
        measured = any(
            name in (column, report.later.get("cell")) and not cell.mismatch(report.environment)
            for column, report in reports
        )
        if cell.platform and not measured:
            found.setdefault(cell.platform, []).append(cell.title)
    return found


def documented_systems() -> list[str]:
    """The systems whose manuals the catalogue quotes."""
    names = {name for probe in catalogue().values() for name in probe.documented}
    return sorted(name for name in names if "-" not in name and name != "posix")


def assemble(options: argparse.Namespace) -> Table:
    """The table that the options of ``table`` and ``atlas`` ask for."""
    reports = load(options.reports, options.baselines or "")
    missing = unmeasured(reports, options.cells)
    systems = {report.environment.names[-2] for _, report in reports}
    names = options.documented
    if names is None:
        # Of a system with a report its manuals add nothing, unless a cell of it has none.
        names = [n for n in documented_systems() if n not in systems or n in missing]
    known = {name for probe in catalogue().values() for name in probe.documented}
    for name in names:
        if name not in known:
            raise ReportError(
                f"nothing is documented for {name!r}: there are {', '.join(sorted(known))}"
            )
    names = list(dict.fromkeys(names))
    return columns(reports, names, here=measured_here(reports), stands_for=missing)


# Renderings ----------------------------------------------------------------------------


def to_text(table: Table, total: int, style: Style) -> str:
    """For people: a line a fact; what a terminal is too narrow for, answer by answer."""
    marks = [_marked(letter(at), column) for at, column in enumerate(table.columns)]
    rows = [[_shown(cell) for cell in row.cells] for row in table.rows]
    # One long answer does not make its column wide.
    widths = [
        max(width for width in map(width_of, texts) if width <= LONGEST_ANSWER)
        for texts in zip(marks, *rows, strict=True)
    ]
    ids = max((len(row.id) for row in table.rows), default=0)
    line = ids + 2 + sum(width + 2 for width in widths)
    narrow = style.width is not None and line > style.width
    asked = max((width_of(safe(row.question)) for row in table.rows), default=0)
    beside = style.width is None or line + asked <= style.width
    lines = list(_legend(table, marks, style))
    if rows and not narrow:
        lines += ["", " " * (ids + 2) + _padded(marks, widths).rstrip()]
    texts = dict(zip((row.id for row in table.rows), rows, strict=True))
    for family, group in table.families():
        lines += ["", bold(family, style)]
        for row in group:
            long = any(width_of(text) > LONGEST_ANSWER for text in texts[row.id])
            if narrow or (long and style.width is not None):
                lines += _block(row, marks, texts[row.id], style)
            else:
                text = f"{pad(row.id, ids)}  {_padded(texts[row.id], widths)}"
                question = safe(row.question) if row.probe else ""
                lines.append((text + question * beside).rstrip())
                if question and not beside:
                    lines += _indented(question, 4, style)
    lines.append("")
    for each in _ending(table, total):
        lines += [each] if style.width is None else wrap(each, style.width)
    return "\n".join(lines) + "\n"


def _marked(text: str, column: Column) -> str:
    """A column's letter: ``A*`` was measured here, ``A`` is recorded, ``(A)`` documented."""
    if column.kind == DOCUMENTED_ONLY:
        return f"({text})"
    return f"{text}*" if column.kind == MEASURED_HERE else text


def _shown(cell: Cell) -> str:
    text = safe(cell.answer)
    if cell.status == DOCUMENTED:
        return f"({text})"
    return f"{text} !" if cell.breaks_promise else text


def _padded(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(pad(text, width) + "  " for text, width in zip(texts, widths, strict=True))


def _legend(table: Table, marks: Sequence[str], style: Style) -> Iterator[str]:
    """Which letter is which platform."""
    width = max(map(len, marks), default=0)
    kinds = max((len(column.kind) for column in table.columns), default=0)
    indent = width + 2 + kinds + 2
    if style.width is not None and style.width < indent + 40:
        indent = 0
    for mark, column in zip(marks, table.columns, strict=True):
        when = f", {column.measured_at}" if column.measured_at else ""
        text = safe(f"{column.name}: {column.description}{when}")
        if indent:
            first, *rest = [text] if style.width is None else wrap(text, style.width - indent)
            yield f"{pad(mark, width)}  {pad(column.kind, kinds)}  {first}"
            yield from (" " * indent + line for line in rest)
        else:
            yield from wrap(f"{mark} {column.kind}, {text}", style.width or 0)


def _block(row: Row, marks: Sequence[str], texts: Sequence[str], style: Style) -> Iterator[str]:
    """The question, then each answer with the platforms that give it."""
    yield row.id
    if row.probe:
        yield from _indented(safe(row.question), 4, style)
    given: dict[str, list[str]] = {}
    for mark, text in zip(marks, texts, strict=True):
        given.setdefault(text, []).append(mark)
    answers = ";  ".join(f"{text}: {' '.join(those)}" for text, those in given.items())
    yield from _indented(answers, 8, style)


def _indented(text: str, indent: int, style: Style) -> list[str]:
    lines = [text] if style.width is None else wrap(text, style.width - indent)
    return [" " * indent + line for line in lines]


def _ending(table: Table, total: int) -> Iterator[str]:
    cells = [cell for row in table.rows for cell in row.cells]
    broken = sum(cell.breaks_promise for cell in cells)
    if any(column.kind == MEASURED_HERE for column in table.columns):
        yield "*    measured here"
    if any(cell.status == DOCUMENTED for cell in cells):
        yield "( )  documented, not measured"
    if broken:
        yield f"!    measured, and not what the platform documents ({broken})"
    if any(cell.status == NOT_KNOWN for cell in cells):
        yield "?    unknown"
    yield f"{sum(row.differs for row in table.rows)} of {total} facts differ"


def to_markdown(table: Table, total: int) -> str:
    """For an issue or a wiki."""
    lines = [markdown_row("platform", "", "on", "when"), markdown_row(*["---"] * 4)]
    lines += [
        markdown_row(column.name, column.kind, column.description, column.measured_at)
        for column in table.columns
    ]
    for family, group in table.families():
        lines += ["", f"### {escape(family)}", ""]
        head = [f"{column.name} ({column.kind})" for column in table.columns]
        lines += [markdown_row("fact", "question", *head), markdown_row(*["---"] * (len(head) + 2))]
        lines += [
            markdown_row(row.id, row.question, *(_shown(cell) for cell in row.cells))
            for row in group
        ]
    lines += ["", *(f"- {escape(line)}" for line in _ending(table, total))]
    return "\n".join(lines) + "\n"


def to_json(table: Table, total: int) -> str:
    """The same as data: null where nothing is known."""
    document = {
        "schema": 1,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "platform": column.description,
                "measured_at": column.measured_at,
                "way": column.way,
            }
            for column in table.columns
        ],
        "facts": total,
        "rows": [
            {
                "id": row.id,
                "question": row.question,
                "scope": row.scope,
                "differs": row.differs,
                "cells": [cell_json(cell) for cell in row.cells],
            }
            for row in table.rows
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def cell_json(cell: Cell) -> dict[str, object] | None:
    """A cell as data; ``documented`` is what its manuals promise and who says so."""
    if cell.status == NOT_KNOWN:
        return None
    document: dict[str, object] = {"status": cell.status, "value": cell.value}
    if cell.promise:
        document["documented"] = {"name": cell.promise[0], "value": cell.promise[1]}
    return document


def to_html(table: Table, total: int) -> str:
    """A page to look at, without a script."""
    from matrix import atlas

    return atlas.plain(table, total)


FORMATS: Mapping[str, Callable[[Table, int], str]] = {
    "markdown": to_markdown,
    "json": to_json,
    "html": to_html,
}


def render(name: str, table: Table, everything: bool = False, style: Style | None = None) -> str:
    """The table in a format: the rows that differ, or all."""
    shown = table if everything else table.differing()
    if name == "text":
        return to_text(shown, len(table.rows), style or Style())
    return FORMATS[name](shown, len(table.rows))


# The commands --------------------------------------------------------------------------


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``table`` and ``atlas``, each with its ``run``."""
    table = commands.add_parser("table", help="facts by platforms: the rows that differ")
    table.set_defaults(run=run)
    _add_reports(table)
    table.add_argument("--format", choices=["text", *FORMATS], default="text")
    table.add_argument("--all", action="store_true", help="also the rows that do not differ")
    table.add_argument("-o", "--output", metavar="FILE", help="write there, whole or not at all")

    atlas = commands.add_parser("atlas", help="the same as one web page to search and filter")
    atlas.set_defaults(run=run_atlas)
    _add_reports(atlas)
    atlas.add_argument("-o", "--output", metavar="FILE", help="default: standard output")


def _add_reports(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "reports", metavar="REPORT", nargs="*", help="default: the recorded baselines"
    )
    command.add_argument(
        "--documented", metavar="NAME", action="append",
        help="a column of what this platform documents, such as freebsd; any number of times "
        "(default: every system without a report)",
    )  # fmt: skip
    command.add_argument(
        "--measured", action="store_const", const=[], dest="documented",
        help="no column of what is documented alone",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """``table``: its exit status.  Raises ReportError for what cannot be read."""
    text = render(options.format, assemble(options), options.all, _style(options))
    write(options.output, text)
    return 0


def run_atlas(options: argparse.Namespace) -> int:
    """``atlas``: its exit status.  Raises ReportError for what cannot be read."""
    from matrix import atlas

    write(options.output, atlas.page(assemble(options)))
    return 0


def _style(options: argparse.Namespace) -> Style:
    if options.output or not sys.stdout.isatty():
        return Style()
    width = shutil.get_terminal_size().columns
    return Style(width=max(width, 24), colour=not os.environ.get("NO_COLOR"))
