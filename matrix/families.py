"""Families of platforms: by system, C library, release, kernel, width and processor.

A family is found from the environment in a report, never from the name of a cell.  Several
platforms that answer alike are named by the fewest characters that are true: ``Linux, all 14``,
``Linux but bookworm-armhf, gvisor``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from probes.fact import IN_PLACE_OF_LINUX, Platform
from probes.text import make_printable

from .table import DOCUMENTED_ONLY, MEASURED_HERE, RECORDED, Column, Table

MANY = 6
"""With more platforms than this, they are shown by families."""

SYSTEMS = {
    "linux": "Linux, glibc",
    "linux-musl": "Linux, musl",
    "gvisor": "gVisor",
    "qemu-user": "qemu-user",
    "freebsd": "FreeBSD",
    "dragonfly": "DragonFly",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "macos": "macOS",
    "illumos": "illumos",
}
"""The titles of systems, by their names in the catalogue, in the order of the columns."""


def find_system(column: Column) -> str:
    """Return the system of a platform: a key of `SYSTEMS`, or the name in its report."""
    names = [name for name in column.names if name != "posix"]
    special = next((name for name in names if name in (*IN_PLACE_OF_LINUX, "linux-musl")), None)
    return special or (names[-1] if names else column.name)


def find_title(system: str) -> str:
    """Return the title of what `find_system` returned."""
    return SYSTEMS.get(system, make_printable(system))


def describe_build(column: Column) -> str:
    """Return processor and release, ``s390x, Debian 12``; empty for a platform without a report."""
    if column.report is None:
        return ""
    platform = column.report.environment
    return make_printable(f"{platform.machine}, {_find_release(platform) or platform.release}")


def arrange_platforms(table: Table) -> Table:
    """Order the platforms by system; in each system, what is measured here comes first."""
    order = list(SYSTEMS)

    def place(at: int) -> tuple[object, ...]:
        column = table.columns[at]
        kind = find_system(column)
        known = order.index(kind) if kind in order else len(order)
        kinds = (MEASURED_HERE, RECORDED, DOCUMENTED_ONLY)
        # Every other part is a number: python3.9 comes before python3.10.
        parts = enumerate(re.split("([0-9]+)", column.name))
        name = [int(part) if each % 2 else part for each, part in parts]
        return known, kind, kinds.index(column.kind), name

    places = sorted(range(len(table.columns)), key=place)
    return Table(
        [table.columns[at] for at in places],
        [replace(row, entries=[row.entries[at] for at in places]) for row in table.rows],
    )


def group_columns(columns: Sequence[Column]) -> Iterator[tuple[str, list[int]]]:
    """Yield each system with the places of its platforms; `arrange_platforms` has ordered them."""
    for system, group in groupby(enumerate(columns), lambda item: find_system(item[1])):
        yield system, [at for at, _ in group]


@dataclass(frozen=True)
class Family:
    """Platforms with a report that have something in common."""

    title: str
    places: frozenset[int]
    """Their places in the table."""


def list_families(columns: Sequence[Column]) -> list[Family]:
    """Return the families of all kinds, the widest kind first.

    A system may have one platform; a smaller family that has one, or the same platforms as a
    family before it, is left out.
    """
    found: dict[str, set[int]] = {}
    systems = set()
    for at, column in enumerate(columns):
        if column.report is not None:
            titles = _list_titles(column.report.environment)
            systems.add(titles[0])
            for title in titles:
                found.setdefault(title, set()).add(at)
    made: dict[frozenset[int], str] = {}
    for title in sorted(found, key=lambda title: title not in systems):
        if title in systems or len(found[title]) > 1:
            made.setdefault(frozenset(found[title]), title)
    return [Family(title, places) for places, title in made.items()]


def _list_titles(platform: Platform) -> list[str]:
    """Return the titles of a platform's families; its system's comes first."""
    names = platform.names
    # The first is the most specific.
    own = names[0] if names[0] in IN_PLACE_OF_LINUX else names[-2]
    system = find_title(own).partition(",")[0]
    kernel = re.match(r"\d+\.\d+", platform.release)
    parts = [
        "" if platform.libc == platform.system.lower() else platform.libc,
        _find_release(platform),
        kernel[0] if kernel else "",
        f"{platform.pointer_bits}-bit",
        platform.machine,
    ]
    return [system, *(make_printable(f"{system} {part}") for part in parts if part)]


def _find_release(platform: Platform) -> str:
    """Return the distribution and its release: ``Debian 12``; empty if none is known."""
    return re.sub(r" GNU/Linux| \(.*\)$", "", platform.distribution)


@dataclass(frozen=True)
class Name:
    """A true name of platforms: a family's, or that of one platform."""

    text: str
    places: frozenset[int]
    """The places of the platforms that it names."""


def name_platforms(
    chosen: Collection[int],
    known: Collection[int],
    families: Sequence[Family],
    names: Sequence[str],
    noun: str = "measured",
) -> list[Name]:
    """Return the shortest names found for the platforms at the places ``chosen``.

    ``known`` has the places of the platforms that could have been chosen; all of them are called
    by ``noun``.  A family of which some are not known is called measured, and those are not
    counted.
    """
    rest, told = set(chosen), []
    while True:
        best, most = None, 0
        for name in _list_names(families, frozenset(chosen), frozenset(known), names, noun):
            saved = sum(len(names[at]) + 2 for at in name.places & rest) - len(name.text) - 2
            if saved > most or (saved == most and best is None and name.places & rest):
                best, most = name, saved
        if best is None:
            break
        told.append(best)
        rest -= best.places
    return [*told, *(Name(names[at], frozenset([at])) for at in sorted(rest))]


def _list_names(
    families: Sequence[Family],
    chosen: frozenset[int],
    known: frozenset[int],
    names: Sequence[str],
    noun: str,
) -> Iterator[Name]:
    """Yield the names of families that say the truth about ``chosen``."""
    if len(chosen) > 1 and chosen == known:
        yield Name(f"all {len(chosen)} {noun}", chosen)
    for family in families:
        present = family.places & known
        right, wrong = present & chosen, present - chosen
        whole = present == family.places
        if len(family.places) == 1:
            if right:
                yield Name(family.title, right)
        elif not wrong and len(right) > 1:
            text = f"{family.title}, all {len(right)}"
            yield Name(text if whole else f"{text} measured", right)
        elif len(right) > len(wrong) > 0:
            text = family.title if whole else f"{family.title}, all measured,"
            yield Name(f"{text} but {', '.join(names[at] for at in sorted(wrong))}", right)
