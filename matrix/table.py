"""The table: facts by platform, and the origin of each answer.

A column is a report that was measured here (`matrix run` leaves it in ``results``), a recorded
baseline, or a platform without a report, of which only the documented values are known.  A
documented value is shown as one, and never counted as measured.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from probes.comparison import UNKNOWN
from probes.fact import INFORMATIVE, MEASURED, UNSUPPORTED, Fact, Platform, Report, Value, show
from probes.load_catalogue import load_catalogue
from probes.probe import Probe, is_same

MEASURED_HERE = "measured here"
RECORDED = "recorded"
DOCUMENTED_ONLY = "documented only"

DOCUMENTED = "documented"
"""Status of an entry that shows a documented value."""
NOT_KNOWN = "unknown"
"""Status of an entry that is neither measured nor documented."""
VARIES = "varies"
"""Status of an entry of several reports that do not agree."""

Says = tuple[str, Value] | None
Named = list[tuple[str, Report]]


@dataclass(frozen=True)
class Column:
    """One platform."""

    name: str
    kind: str
    """`MEASURED_HERE`, `RECORDED` or `DOCUMENTED_ONLY`."""
    description: str
    """Kernel and C library it was measured on, or whose manuals are quoted."""
    approved: bool = False
    """Whether the report is a baseline."""
    measured_at: str = ""
    way: str = ""
    """The provider that brought the platform up, if the report names it."""
    report: Report | None = field(default=None, repr=False)
    names: Sequence[str] = ()
    """The names of its documented values in the catalogue, the most specific first."""

    @property
    def where(self) -> str:
        """The origin of the answers; a recorded report is a baseline or another report."""
        if self.kind != RECORDED:
            return self.kind
        return "baseline" if self.approved else "report"

    def describe_origin(self, now: datetime.datetime | None = None) -> str:
        """Return the origin with its age: ``measured here 5 minutes ago``."""
        at = _parse_time(self.measured_at)
        if at is None:
            return self.where
        if self.kind == MEASURED_HERE:
            return f"{self.where} {_format_age((now or _read_clock()) - at)}"
        return f"{self.where} of {at.date()}"


def _read_clock() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _parse_time(text: str) -> datetime.datetime | None:
    """Return the time of a report; None if it has none."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=datetime.UTC)


def _format_age(age: datetime.timedelta) -> str:
    seconds = age.total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        # From two on, because 90 minutes are more exact than one hour.
        if seconds >= 2 * length or (unit == "minute" and seconds >= length):
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now" if seconds > -60 else "in the future: is a clock wrong?"


@dataclass(frozen=True)
class Entry:
    """One fact on one platform."""

    status: str
    """The status of the fact, `DOCUMENTED`, `NOT_KNOWN` or `VARIES`."""
    value: Value = None
    """The value; of an entry that varies, its answers as one text."""
    fact: Fact | None = None
    promise: tuple[str, Value] | None = None
    """The name and value that the platform documents."""
    parts: Sequence[tuple[str, Entry]] = ()
    """The entries of an entry that varies, each with the version of Python that measured it."""

    @property
    def answer(self) -> str:
        """The value as text; without a value, the status or `UNKNOWN`."""
        if self.status == NOT_KNOWN:
            return UNKNOWN
        valued = self.status in (MEASURED, DOCUMENTED, VARIES)
        return show(self.value) if valued else self.status

    @property
    def says(self) -> Says:
        """What two platforms are compared by; None if nothing is known of this one.

        A fact that is blocked or timed out says something of the measuring, not of the platform.
        """
        if self.status == VARIES:
            # An answer beside one that could not be measured is still the only answer.
            return (VARIES, self.value) if len(self.claims) > 1 else next(iter(self.claims), None)
        if self.status in (MEASURED, DOCUMENTED):
            return type(self.value).__name__, self.value
        return (UNSUPPORTED, None) if self.status == UNSUPPORTED else None

    @property
    def claims(self) -> set[Says]:
        """What is known of the platform: nothing, one thing, or what its reports differ in."""
        if self.parts:
            return {says for _, part in self.parts for says in part.claims}
        return {self.says} - {None}

    @property
    def breaks_promise(self) -> bool:
        """Measured, and not what the platform documents."""
        if self.parts:
            return any(part.breaks_promise for _, part in self.parts)
        if self.status != MEASURED or self.promise is None:
            return False
        return not is_same(self.promise[1], self.value)


@dataclass(frozen=True)
class Row:
    """One fact on every platform."""

    id: str
    entries: Sequence[Entry]
    scope: str
    probe: Probe | None = None

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    @property
    def question(self) -> str:
        """The question; for a fact that this catalogue does not know, its id."""
        return self.probe.question if self.probe else self.id

    @property
    def differs(self) -> bool:
        """Whether two known answers differ; informative facts may."""
        if self.scope == INFORMATIVE:
            return False
        return len({says for entry in self.entries for says in entry.claims}) > 1


@dataclass(frozen=True)
class Table:
    """Facts by platforms: families in alphabetical order, each in the catalogue's."""

    columns: Sequence[Column]
    rows: Sequence[Row]

    def select_differing(self) -> Table:
        """Return a table of only the rows that differ."""
        return replace(self, rows=[row for row in self.rows if row.differs])

    def families(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield each family with its rows."""
        for family, rows in groupby(self.rows, lambda row: row.family):
            yield family, list(rows)


def make_table(
    reports: Named,
    documented: Sequence[str],
    *,
    here: Collection[str] = (),
    stands_for: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Return the table of ``reports`` and of the platforms in ``documented``, which have none.

    ``here`` names the reports that were measured on this platform.  ``stands_for`` gives, for a
    documented platform, the titles of the systems that are not measured yet.
    """
    probes = load_catalogue()
    made = [_make_measured_column(name, report, name in here) for name, report in reports]
    made += [_make_documented_column(name, (stands_for or {}).get(name, ())) for name in documented]
    ids = {id for _, report in reports for id in report.facts}
    order = {id: place for place, id in enumerate(probes)}
    ids.update(probes)
    # The ids of another catalogue come last in their family.
    ordered = sorted(ids, key=lambda id: (id.partition(".")[0], order.get(id, len(order)), id))
    return Table(made, [_make_row(id, probes.get(id), made) for id in ordered])


def _describe_import(report: Report) -> str:
    """Return where an imported report comes from, and the reason that was given for it."""
    source = report.later.get("imported_from")
    if not isinstance(source, str):
        return ""
    approvals = report.later.get("approvals")
    last = approvals[-1] if isinstance(approvals, list) and approvals else {}
    reason = last.get("reason") if isinstance(last, dict) else ""
    return f"; imported from {source}" + (f": {reason}" if reason else "")


def _make_measured_column(name: str, report: Report, here: bool) -> Column:
    way = report.later.get("way")
    emulated = "; emulated by QEMU" if way == "qemu/emulated" else ""
    origin = emulated + _describe_import(report)
    return Column(
        name=name,
        kind=MEASURED_HERE if here else RECORDED,
        description=f"{report.environment}{origin}",
        approved=bool(report.later.get("approvals")),
        measured_at=report.measured_at,
        way=way if isinstance(way, str) else "",
        report=report,
        names=report.environment.names,
    )


def _make_documented_column(name: str, systems: Sequence[str]) -> Column:
    unmeasured = f"; not measured yet: {', '.join(systems)}" if systems else ""
    return Column(
        name=name,
        kind=DOCUMENTED_ONLY,
        description=f"what the manuals of {name} document{unmeasured}",
        names=_list_documented_names(name),
    )


def _list_documented_names(name: str) -> list[str]:
    """Return the documented names of ``freebsd``, ``linux-musl`` or ``linux-32``, best first.

    POSIX is left out: what a standard requires is not what this platform documents.
    """
    system, *more = name.split("-")
    bits = next((int(word) for word in more if word.isdigit()), 64)
    own = "glibc" if system == "linux" else system
    libc = next((word for word in more if not word.isdigit()), own)
    names = Platform(system, "", "", libc, "", bits).names
    return [each for each in names if each != "posix" or name == "posix"]


def _make_row(id: str, probe: Probe | None, made: Sequence[Column]) -> Row:
    entries = [_make_entry(id, probe, column) for column in made]
    known = (entry.fact.scope for entry in entries if entry.fact)
    return Row(id, entries, probe.scope if probe else next(known, ""), probe)


def _make_entry(id: str, probe: Probe | None, column: Column) -> Entry:
    fact = column.report.get(id) if column.report else None
    filed = probe.documented if probe else {}
    promise = next(((name, filed[name]) for name in column.names if name in filed), None)
    if fact:
        return Entry(fact.status, fact.value, fact, promise)
    if column.report is None and promise:
        return Entry(DOCUMENTED, promise[1], None, promise)
    # A report without this fact: its column shows only what was measured.
    return Entry(NOT_KNOWN, promise=promise)
