"""Test the families of platforms, and that their names are true and short."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.families import (
    Family,
    arrange_platforms,
    describe_build,
    find_system,
    list_families,
    name_platforms,
)
from matrix.table import Column, Table, make_table
from probes import Report
from tests.matrix.report.tables import NAMES, fifteen, made
from tests.matrix.reports import FREEBSD, changed, host
from tests.strategies import lightly

DEBIAN = {
    "system": "Linux", "release": "6.1.0-50-amd64", "machine": "x86_64", "libc": "glibc",
    "libc_version": "2.36", "distribution": "Debian GNU/Linux 12 (bookworm)", "hypervisor": "",
    "container": "", "pointer_bits": 64,
}  # fmt: skip


def platform(**environment: Any) -> Report:
    return changed(host(), {**DEBIAN, **environment})


PLATFORMS = {
    "amd64": platform(),
    "s390x": platform(machine="s390x"),
    "armhf": platform(machine="armv7l", pointer_bits=32),
    "i386": platform(machine="i686", pointer_bits=32),
    "trixie": platform(release="6.12.1", distribution="Debian GNU/Linux 13 (trixie)"),
    "musl": platform(libc="musl", libc_version="1.2.3"),
    "gvisor-box": platform(release="4.4.0", hypervisor="gvisor"),
    "freebsd13": changed(host(), FREEBSD),
}
PLACES = {name: at for at, name in enumerate(PLATFORMS)}
LINUX = ["amd64", "s390x", "armhf", "i386", "trixie", "musl"]


def columns() -> list[Column]:
    return list(make_table(list(PLATFORMS.items()), ["freebsd"]).columns)


def named(chosen: Collection[str], known: Collection[str] = tuple(PLATFORMS)) -> list[str]:
    """Return the names of the platforms ``chosen`` among those that are known."""
    made = name_platforms(
        [PLACES[name] for name in PLATFORMS if name in chosen],
        [PLACES[name] for name in PLATFORMS if name in known],
        list_families(columns()),
        [column.name for column in columns()],
    )
    return [name.text for name in made]


def test_families_are_of_the_environment() -> None:
    found = {
        family.title: [list(PLATFORMS)[at] for at in sorted(family.places)]
        for family in list_families(columns())
    }
    assert found == {
        "Linux": LINUX,
        "gVisor": ["gvisor-box"],
        "FreeBSD": ["freebsd13"],
        "Linux glibc": ["amd64", "s390x", "armhf", "i386", "trixie"],
        "Linux Debian 12": ["amd64", "s390x", "armhf", "i386", "musl"],
        "Linux 64-bit": ["amd64", "s390x", "trixie", "musl"],
        "Linux x86_64": ["amd64", "trixie", "musl"],
        "Linux 32-bit": ["armhf", "i386"],
    }


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (list(PLATFORMS), ["all 8 measured"]),
        (LINUX, ["Linux, all 6"]),
        ([*LINUX, "gvisor-box"], ["Linux, all 6", "gVisor"]),
        (["freebsd13"], ["FreeBSD"]),
        (["amd64", "s390x", "i386", "trixie", "musl"], ["Linux but armhf"]),
        (["s390x", "i386"], ["s390x", "i386"]),
        (["amd64", "s390x", "armhf", "i386", "trixie", "freebsd13"], ["Linux but musl", "FreeBSD"]),
        (["armhf"], ["armhf"]),
        ([], []),
    ],
)
def test_the_name_is_short_and_true(chosen: list[str], text: list[str]) -> None:
    assert named(chosen) == text


def test_all_counts_only_what_is_known() -> None:
    known = [*LINUX[1:], "freebsd13"]
    assert named(LINUX[1:], known) == ["Linux, all 5 measured"]
    assert named(known, known) == ["all 6 measured"]
    many = [Family("Linux", frozenset(range(12)))]
    names = [f"platform-{number}" for number in range(12)]
    (found,) = name_platforms(range(9), range(10), many, names)
    assert found.text == "Linux, all measured, but platform-9"
    assert found.places == set(range(9))
    # One platform alone is named by itself.
    assert named(["armhf"], ["armhf", "freebsd13"]) == ["armhf"]


@lightly
@given(st.data())
def test_each_platform_is_named_and_no_other(data: st.DataObject) -> None:
    everywhere = columns()
    reports = [at for at, column in enumerate(everywhere) if column.report]
    known = data.draw(st.sets(st.sampled_from(reports)))
    chosen = data.draw(st.sets(st.sampled_from(sorted(known)))) if known else set()
    families = list_families(everywhere)
    names = [column.name for column in everywhere]
    found = name_platforms(sorted(chosen), sorted(known), families, names)
    assert {at for name in found for at in name.places} == chosen
    for name in found:
        assert name.places == understand(name.text, families, names, known), name
    alone = ", ".join(names[at] for at in chosen)
    assert len("; ".join(name.text for name in found)) <= len(alone)


def understand(
    text: str, families: list[Family], names: list[str], known: Collection[int]
) -> set[int]:
    """Return the places that a reader takes a name for."""
    if text == f"all {len(known)} measured":
        return set(known)
    if text in names:
        return {names.index(text)}
    title, _, rest = text.partition(" but ")
    out = {names.index(name) for name in rest.split(", ") if name}
    title = title.partition(",")[0]
    (family,) = [family for family in families if family.title == title]
    places = set(family.places) & set(known)
    assert out <= places
    if ", all " in text and not out:
        assert f", all {len(places)}" in text
    assert (" measured" in text) == (places != family.places)
    return places - out


def test_a_heading_tells_processor_and_release() -> None:
    told = {column.name: describe_build(column) for column in columns()}
    assert told["trixie"] == "x86_64, Debian 13"
    assert told["freebsd13"] == "amd64, 14.1-RELEASE"
    assert told["freebsd"] == ""


@pytest.fixture(scope="module")
def table() -> Table:
    return made()


def test_platforms_are_ordered_by_system(table: Table) -> None:
    assert [column.name for column in arrange_platforms(table).columns] == NAMES
    names = [(find_system(column), column.name) for column in arrange_platforms(fifteen()).columns]
    assert names == [
        ("linux", "bookworm-aarch64"),
        ("linux", "bookworm-armv7l"),
        ("linux", "bookworm-ppc64le"),
        ("linux", "bookworm-s390x"),
        ("linux", "debian9"),
        ("linux", "debian12-amd64"),
        ("linux", "debian32"),
        ("linux", "debian32-userland"),
        ("linux-musl", "musl"),
        ("gvisor", "gvisor"),
        ("freebsd", "freebsd-14"),
        ("freebsd", "freebsd-15"),
        ("netbsd", "netbsd"),
        ("openbsd", "openbsd"),
        ("macos", "macos"),
    ]


def test_what_is_ordered_keeps_its_cells(table: Table) -> None:
    told = {
        (row.id, column.name): cell
        for row in table.rows
        for column, cell in zip(table.columns, row.entries, strict=True)
    }
    again = arrange_platforms(table)
    for row in again.rows:
        for column, cell in zip(again.columns, row.entries, strict=True):
            assert cell is told[row.id, column.name]


def test_what_qemu_user_answers_is_not_linuxs() -> None:
    emulated = platform(machine="aarch64", hypervisor="qemu-user")
    made = list(make_table([("amd64", PLATFORMS["amd64"]), ("arm64", emulated)], []).columns)
    assert [find_system(column) for column in made] == ["linux", "qemu-user"]
    assert {family.title: sorted(family.places) for family in list_families(made)} == {
        "Linux": [0],
        "qemu-user": [1],
    }
