"""Tell which platforms give which answer: by families, as text and Markdown do."""

from __future__ import annotations

from collections.abc import Sequence

from probes.text import make_printable

from ..families import Family, Name, arrange_platforms, name_platforms
from ..pythons import merge_pythons
from ..table import DOCUMENTED_ONLY, MEASURED_HERE, NOT_KNOWN, Column, Row, Says, Table


def condense_table(table: Table) -> Table:
    """Return the table with a column for the Pythons of one host, and its platforms by system."""
    return arrange_platforms(merge_pythons(table))


def mark_name(column: Column) -> str:
    """Return a platform's name: ``here*`` if measured here, ``(freebsd)`` if only documented."""
    name = make_printable(column.name)
    if column.kind == DOCUMENTED_ONLY:
        return f"({name})"
    return f"{name}*" if column.kind == MEASURED_HERE else name


def group_by_families(
    row: Row, columns: Sequence[Column], families: Sequence[Family]
) -> list[tuple[str, str]]:
    """Return each answer with the families and platforms that give it, the most common last.

    After the answers come the reasons for which a platform gives none: a platform that is
    blocked agrees with no other.
    """
    measured: dict[tuple[Says, str], list[int]] = {}
    documented: dict[tuple[Says, str], list[int]] = {}
    unknown: dict[tuple[Says, str], list[int]] = {}
    for at, (column, entry) in enumerate(zip(columns, row.entries, strict=True)):
        given_by = measured if entry.claims else unknown
        if column.report is None:
            if entry.status == NOT_KNOWN:
                continue  # Most manuals do not mention most facts.
            given_by = documented
        given_by.setdefault((entry.says, make_printable(entry.answer)), []).append(at)
    known = [at for places in measured.values() for at in places]
    given = []
    for key in sorted({**measured, **documented}, key=lambda key: len(measured.get(key, ()))):
        places = [*measured.get(key, ()), *documented.get(key, ())]
        given.append((key[1], tell_platforms(places, known, row, columns, families)))
    reports = [at for at, column in enumerate(columns) if column.report is not None]
    for (_, answer), places in unknown.items():
        told = tell_platforms(places, reports, row, columns, families, "with a report")
        given.append((answer, told))
    return given


def tell_platforms(
    places: Sequence[int],
    known: Sequence[int],
    row: Row,
    columns: Sequence[Column],
    families: Sequence[Family],
    noun: str = "measured",
) -> str:
    """Return ``Linux, all 14; gVisor, (freebsd)`` for the platforms at ``places``.

    ``known`` has the places of all platforms whose answer was measured, or of all with a report;
    ``noun`` says which.
    """
    names = [mark_name(column) for column in columns]
    measured = [at for at in places if columns[at].report is not None]
    found = name_platforms(measured, known, families, names, noun)
    # A comma is a part of a family's name, so families end with a semicolon.
    wide = [_mark_broken(name, row, names) for name in found if len(name.places) > 1]
    narrow = [_mark_broken(name, row, names) for name in found if len(name.places) == 1]
    narrow += [names[at] for at in places if columns[at].report is None]
    return "; ".join([*wide, ", ".join(narrow)] if narrow else wide)


def _mark_broken(name: Name, row: Row, names: Sequence[str]) -> str:
    """Return the name, with a ``!`` where the answer is not what the platform documents."""
    broken = [names[at] for at in sorted(name.places) if row.entries[at].breaks_promise]
    if len(broken) == len(name.places):
        return f"{name.text}!"
    return name.text + (f" including {'!, '.join(broken)}!" if broken else "")
