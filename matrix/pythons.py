"""Merge the reports of one host that differ only in Python: one column with a range of versions.

An answer that depends on Python is told by its ranges: ``no; yes from 3.10``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from probes.fact import Platform

from .table import VARIES, Column, Entry, Row, Table


@dataclass(frozen=True)
class _Member:
    """A column, and the Python that measured it."""

    at: int
    """Its place in the table."""
    version: str

    @property
    def minor(self) -> str:
        """The version without its last part: 3.9 of 3.9.18."""
        found = re.match(r"[0-9]+\.[0-9]+", self.version)
        return found[0] if found else self.version

    @property
    def order(self) -> tuple[object, ...]:
        """The sort key: 3.9 precedes 3.10, and 3.13.0rc1 precedes 3.13.0."""
        digits, rest = _split_version(self.version)
        return digits, rest == "", rest


def _split_version(version: str) -> tuple[tuple[int, ...], str]:
    numbers = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", version)
    text = numbers[0] if numbers else ""
    return tuple(int(each) for each in text.split(".") if each), version[len(text) :]


def merge_pythons(table: Table) -> Table:
    """Return the table with one column in place of those that differ only in Python."""
    hosts = [members for members in _group_hosts(table) if len(members) > 1]
    if not hosts:
        return table
    merged = {min(member.at for member in members): members for members in hosts}
    gone = {member.at for members in hosts for member in members} - set(merged)
    places = [at for at in range(len(table.columns)) if at not in gone]
    taken = [table.columns[at].name for at in places if at not in merged]
    columns = []
    for at in places:
        column = table.columns[at]
        if at in merged:
            column = _merge_columns(table, merged[at], taken)
            taken.append(column.name)
        columns.append(column)
    rows = [
        replace(
            row,
            entries=[
                _merge_entries(row, merged[at]) if at in merged else row.entries[at]
                for at in places
            ],
        )
        for row in table.rows
    ]
    return Table(columns, rows)


def format_versions(versions: Sequence[str]) -> str:
    """Return ``3.9 to 3.13``; ``3.9, 3.11`` if one between them is missing."""
    if len(versions) > 1 and _are_consecutive(versions):
        return f"{versions[0]} to {versions[-1]}"
    return ", ".join(versions)


def _are_consecutive(versions: Sequence[str]) -> bool:
    parts = [_split_version(version) for version in versions]
    if any(len(numbers) != 2 or rest for numbers, rest in parts):
        return False
    (major, first), _ = parts[0]
    return [numbers for numbers, _ in parts] == [
        (major, first + step) for step in range(len(parts))
    ]


def _group_hosts(table: Table) -> list[list[_Member]]:
    """Return the columns with a report, by host; each host's by version of Python."""
    hosts: list[tuple[object, list[_Member]]] = []
    for at, column in enumerate(table.columns):
        if column.report is None or not column.report.environment.python:
            continue
        implementation, _, version = column.report.environment.python.partition(" ")
        key = (
            implementation,
            column.kind,
            column.approved,
            _strip_python(column.report.environment),
            set(column.report.facts),
        )
        members = next((members for other, members in hosts if other == key), None)
        if members is None:
            members = []
            hosts.append((key, members))
        twin = next((member for member in members if member.version == version), None)
        # Two reports of one Python that disagree differ in something else.
        if twin is None or _agree(table, twin.at, at):
            members.append(_Member(at, version))
    found = [sorted(members, key=lambda member: member.order) for _, members in hosts]
    return [members for members in found if len({member.version for member in members}) > 1]


def _strip_python(platform: Platform) -> Platform:
    """Return the platform without what two Pythons, or two versions of the lab, may change."""
    return replace(platform, python="", probes_hash="", lens={}, later={})


def _agree(table: Table, one: int, other: int) -> bool:
    return all(_identify(row.entries[one]) == _identify(row.entries[other]) for row in table.rows)


def _identify(entry: Entry) -> tuple[object, ...]:
    return entry.status, type(entry.value), entry.value


def _name_versions(members: Sequence[_Member]) -> list[str]:
    """Return the versions, short where that is clear, in the order of ``members``."""
    versions = dict.fromkeys((member.version, member.minor) for member in members)
    minors = [minor for _, minor in versions]
    short = len(set(minors)) == len(minors)
    return [member.minor if short else member.version for member in members]


def _merge_columns(table: Table, members: Sequence[_Member], taken: Sequence[str]) -> Column:
    columns = [table.columns[member.at] for member in members]
    first = table.columns[min(member.at for member in members)]
    assert first.report
    implementation = first.report.environment.python.partition(" ")[0]
    named = ", ".join(
        f"{member.version} ({column.name})" for member, column in zip(members, columns, strict=True)
    )
    versions = list(dict.fromkeys(_name_versions(members)))
    name = f"{implementation} {format_versions(versions)}"
    return replace(
        first,
        name=f"{name} of {first.name}" if name in taken else name,
        description=f"{first.description}; with {implementation} {named}",
        # The oldest, so that its age holds for all.
        measured_at=min(column.measured_at for column in columns),
    )


def _merge_entries(row: Row, members: Sequence[_Member]) -> Entry:
    """Return the entry that all give, or one that tells which versions answer what."""
    entries = [row.entries[member.at] for member in members]
    if len({_identify(entry) for entry in entries}) == 1:
        return entries[0]
    by_version = dict(zip(_name_versions(members), entries, strict=True))
    runs = []
    for _, group in groupby(by_version.items(), lambda item: _identify(item[1])):
        run = list(group)
        runs.append((run[0][1].answer, [version for version, _ in run]))
    if _are_consecutive(list(by_version)):
        first, *later = runs
        told = [first[0], *(f"{answer} from {versions[0]}" for answer, versions in later)]
    else:
        told = [f"{answer} with {format_versions(versions)}" for answer, versions in runs]
    parts = list(by_version.items())
    # One host's platform documents the same for each of its Pythons.
    return Entry(VARIES, "; ".join(told), promise=entries[0].promise, parts=parts)
