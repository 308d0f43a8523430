"""table: facts by platforms, and where each answer is from.

A column is a report that was measured here, as `matrix run` leaves it in ``results``, one that
is recorded as a baseline, or a platform without a report, of which the table knows what its
manuals promise.  A promise is shown as one, and never counted as measured.
"""

from __future__ import annotations

import argparse
import datetime
import glob
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from probes.comparison import UNKNOWN
from probes.environment import describe
from probes.errors import ReportError
from probes.fact import INFORMATIVE, MEASURED, UNSUPPORTED, Fact, Platform, Report, Value, show
from probes.files import write_output
from probes.invocation import called
from probes.load_catalogue import load_catalogue
from probes.probe import Probe, is_same
from probes.recorded import find_own_folder
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
    approved: bool = False
    """Whether the report is a baseline."""
    measured_at: str = ""
    way: str = ""
    """How the platform was reached, where the report says so."""
    report: Report | None = field(default=None, repr=False)
    names: Sequence[str] = ()
    """What its documented values are filed under, the nearest first."""

    @property
    def where(self) -> str:
        """Where the answers are from: a recorded report is a baseline or another report."""
        if self.kind != RECORDED:
            return self.kind
        return "baseline" if self.approved else "report"

    def aged(self, now: datetime.datetime | None = None) -> str:
        """The same with its age: ``measured here 5 minutes ago``, ``baseline of 2026-11-20``."""
        at = _moment(self.measured_at)
        if at is None:
            return self.where
        if self.kind == MEASURED_HERE:
            return f"{self.where} {_ago((now or _now()) - at)}"
        return f"{self.where} of {at.date()}"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _moment(text: str) -> datetime.datetime | None:
    """Return the time that a report names; None if it names none."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=datetime.UTC)


def _ago(age: datetime.timedelta) -> str:
    seconds = age.total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        # From two on: 90 minutes say more than one hour.
        if seconds >= 2 * length or (unit == "minute" and seconds >= length):
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now" if seconds > -60 else "in the future: is a clock wrong?"


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
        return not is_same(self.promise[1], self.value)


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
    probes = load_catalogue()
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
        approved=bool(report.later.get("approvals")),
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


def of_this_platform(reports: Named) -> list[str]:
    """The names of those that were measured on this kernel, C library, width and confinement.

    A baseline is none of them, though it may be of this platform: it tells what was expected.
    """
    mine = describe("")
    return [
        name
        for name, report in reports
        if not report.later.get("approvals")
        and all(getattr(report.environment, at) == getattr(mine, at) for at in _SAME_PLATFORM)
    ]


_SAME_PLATFORM = (
    "system", "release", "machine", "distribution", "libc", "libc_version", "pointer_bits",
    "emulated_32_bit", "container", "hypervisor",
)  # fmt: skip


def load(paths: Sequence[str]) -> Named:
    """The reports in ``paths``, each named after its file.

    ``CELL/report.json``, as `matrix run` leaves it, is named after the cell in it.
    Raises ReportError, its message one line.
    """
    paths = list(dict.fromkeys(paths))
    reports = [Report.load(path) for path in paths]
    short = [_name(path, report) for path, report in zip(paths, reports, strict=True)]
    names = [
        path.removesuffix(".json") if short.count(name) > 1 else name
        for path, name in zip(paths, short, strict=True)
    ]
    return list(zip(names, reports, strict=True))


def just_measured(results: str) -> Named:
    """The reports that `matrix run` left in the folder ``results``, the newest first."""
    paths = glob.glob(os.path.join(glob.escape(results), "*", "report.json"))
    return sorted(load(sorted(paths)), key=lambda named: named[1].measured_at, reverse=True)


def recorded(folder: str = "") -> Named:
    """The baselines in ``folder``, or else the lab's and the user's own; each by its name."""
    # Beside a baseline may lie the differences that are allowed, which are not a report.
    paths = {
        os.path.basename(path).removesuffix(".json"): path
        for place in ([folder] if folder else [cells.BASELINES, find_own_folder()])
        for path in glob.glob(os.path.join(glob.escape(place), "*.json"))
        if not path.endswith(".allowed.json")
    }
    return load([paths[name] for name in sorted(paths)])


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
    names = {name for probe in load_catalogue().values() for name in probe.documented}
    return sorted(name for name in names if "-" not in name and name != "posix")


def assemble(options: argparse.Namespace) -> Table:
    """The table that the options of ``table`` and ``atlas`` ask for."""
    if options.reports:
        reports = load(options.reports)
        here = of_this_platform(reports)
    else:
        reports, here = _present(options.results, options.baselines or "")
    missing = unmeasured(reports, options.cells)
    systems = {report.environment.names[-2] for _, report in reports}
    names = options.documented
    if names is None:
        # Of a system with a report its manuals add nothing, unless a cell of it has none.
        names = [n for n in documented_systems() if n not in systems or n in missing]
    known = {name for probe in load_catalogue().values() for name in probe.documented}
    for name in names:
        if name not in known:
            raise ReportError(
                f"nothing is documented for {name!r}: there are {', '.join(sorted(known))}"
            )
    names = list(dict.fromkeys(names))
    return columns(reports, names, here=here, stands_for=missing)


def _present(results: str, folder: str) -> tuple[Named, list[str]]:
    """What was measured here, then the baselines of the other platforms; the names of the first."""
    measured = just_measured(results)
    here = [name for name, _ in measured]
    taken = {cells.recorded_as(name) for name in here}
    reports = measured + [(name, report) for name, report in recorded(folder) if name not in taken]
    if not reports:
        raise ReportError(
            f"no report in {results}, and no baseline in {folder or find_own_folder()}; "
            f"to measure one: {called('matrix')} run here"
        )
    return reports, here


# Renderings ----------------------------------------------------------------------------


WIDTH = 100
"""Columns of the text where no terminal says how wide it is."""
FEW = 3
"""As many platforms are named; of more that agree, and are most, their number is given."""


def to_text(table: Table, total: int, style: Style) -> str:
    """For people: each fact's answers, and with each the platforms that give it."""
    width = style.width or WIDTH
    names = [_marked(column) for column in table.columns]
    lines = list(_legend(table, names, width))
    for family, group in table.families():
        lines += ["", bold(family, style)]
        for row in group:
            lines += _block(row, table.columns, width)
    lines.append("")
    for each in _ending(table, total):
        lines += wrap(each, width)
    return "\n".join(lines) + "\n"


def _marked(column: Column) -> str:
    """A platform's name: ``here*`` was measured here, ``(here)`` is what its manuals promise."""
    name = safe(column.name)
    if column.kind == DOCUMENTED_ONLY:
        return f"({name})"
    return f"{name}*" if column.kind == MEASURED_HERE else name


def _shown(cell: Cell) -> str:
    text = safe(cell.answer)
    if cell.status == DOCUMENTED:
        return f"({text})"
    return f"{text} !" if cell.breaks_promise else text


def _legend(table: Table, names: Sequence[str], width: int) -> Iterator[str]:
    """The platforms, and where each one's answers are from."""
    longest = max(map(width_of, names), default=0)
    indent = longest + 2 if longest + 40 <= width else 4
    for name, column in zip(names, table.columns, strict=True):
        lines = wrap(safe(f"{column.aged()}: {column.description}"), width - indent)
        if indent > longest:
            yield f"{pad(name, longest)}  {lines.pop(0)}"
        else:
            yield from wrap(name, width)
        yield from (" " * indent + line for line in lines)


def _block(row: Row, platforms: Sequence[Column], width: int) -> Iterator[str]:
    """The fact, its question, and a line an answer."""
    question = safe(row.question) if row.probe else ""
    if width_of(f"{row.id}  {question}") <= width:
        yield f"{row.id}  {question}".rstrip()
    else:
        yield row.id
        yield from _indented(question, 4, width)
    answers = _answers(row, platforms)
    longest = max((width_of(a) for a in answers if width_of(a) <= LONGEST_ANSWER), default=0)
    for answer, those in answers.items():
        text = ", ".join(those)
        lines = wrap(text, width - longest - 8)
        if width_of(answer) <= longest:
            yield f"      {pad(answer, longest)}  {lines.pop(0)}"
        else:
            yield from _indented(answer, 6, width)
        yield from (" " * (longest + 8) + line for line in lines)


def _answers(row: Row, platforms: Sequence[Column]) -> dict[str, list[str]]:
    """Each answer with the platforms that give it, the commonest one last."""
    given: dict[str, list[str]] = {}
    measured: dict[str, list[str]] = {}
    """The names of those that were measured, and keep what they promise."""
    for column, cell in zip(platforms, row.cells, strict=True):
        if column.report is None and cell.status == NOT_KNOWN:
            continue  # Its manuals say nothing, as most do of most facts.
        answer, name = safe(cell.answer), _marked(column)
        if cell.breaks_promise:
            name += "!"
        elif cell.says and cell.status != DOCUMENTED:
            measured.setdefault(answer, []).append(name)
        given.setdefault(answer, []).append(name)
    most = max(measured, key=lambda answer: len(measured[answer]), default="")
    if len(measured.get(most, ())) > FEW:
        those = given.pop(most)
        rest = [name for name in those if name not in measured[most]]
        others = any(cell.fact and safe(cell.answer) != most for cell in row.cells) or any(
            name.endswith("!") for name in rest
        )
        count = f"{'the other' if others else 'all'} {len(measured[most])} measured"
        given[most] = [count, *rest]
    return given


def _indented(text: str, indent: int, width: int) -> list[str]:
    return [" " * indent + line for line in wrap(text, width - indent)]


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
        markdown_row(column.name, column.aged(), column.description, column.measured_at)
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
                "where": column.where,
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
    from matrix.report import atlas

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
        "reports", metavar="REPORT", nargs="*",
        help="default: those in --results, and the baselines of the platforms that have none there",
    )  # fmt: skip
    command.add_argument(
        "--results", default="results", metavar="DIR",
        help="where `run` left its reports (default: results)",
    )  # fmt: skip
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
    write_output(options.output, text)
    return 0


def run_atlas(options: argparse.Namespace) -> int:
    """``atlas``: its exit status.  Raises ReportError for what cannot be read."""
    from matrix.report import atlas

    write_output(options.output, atlas.page(assemble(options)))
    return 0


def _style(options: argparse.Namespace) -> Style:
    if options.output or not sys.stdout.isatty():
        return Style()
    width = shutil.get_terminal_size().columns
    return Style(width=max(width, 24), colour=not os.environ.get("NO_COLOR"))
