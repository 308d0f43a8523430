"""The history of a system: what changed from each of its recorded releases to the next.

Reports are compared only if system, C library, processor and width are the same, and if each was
measured on its release's own kernel.  A release on the kernel of another, as in a container or a
chroot, does not show what an upgrade brings; it is compared only with others on that kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise

from probes.comparison import Row, compare_reports
from probes.differences import Difference, find_architecture, list_differences
from probes.fact import Platform, Report

from .cell import Cell
from .releases import RELEASES, Release, find_release, name_release
from .table import Named

_CIRCUMSTANCES = (
    "run as root", "hypervisor", "scratch file system", "network", "hash of the probes",
)  # fmt: skip
"""Differences that are not the release's, and may be why a fact differs."""


@dataclass(frozen=True)
class Recorded:
    """A report of a release."""

    name: str
    report: Report
    release: Release

    @property
    def platform(self) -> Platform:
        return self.report.environment


@dataclass(frozen=True)
class Step:
    """From one release to the next that was recorded."""

    then: Recorded
    now: Recorded

    @cached_property
    def rows(self) -> Sequence[Row]:
        """Every fact of both reports."""
        return compare_reports([self.then.report, self.now.report])

    def list_compared(self, scope: str) -> list[Row]:
        """Return the facts of a scope that both reports answer."""
        return [
            row for row in self.rows if len(row.answered) == 2 and row.answered[-1].scope == scope
        ]

    def list_changes(self, scope: str) -> list[Row]:
        """Return the facts of a scope whose answer changed."""
        return [row for row in self.list_compared(scope) if row.differs]

    def list_missing(self) -> dict[str, list[str]]:
        """Return the facts that were not compared: ids by reason."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if len(row.answered) < 2 and not row.informative:
                found.setdefault(self._explain_lack(row), []).append(row.id)
        return found

    def _explain_lack(self, row: Row) -> str:
        """Return which reports have no answer, each with the reason."""
        reasons: dict[str, list[str]] = {}
        for recorded, fact in zip((self.then, self.now), row.facts, strict=True):
            if fact not in row.answered:
                why = f"{fact.status}: {fact.reason}" if fact else self._absent
                reasons.setdefault(why, []).append(recorded.name)
        return "; ".join(f"{' and '.join(names)}: {why}" for why, names in reasons.items())

    @property
    def _absent(self) -> str:
        same = self.then.platform.probes_hash == self.now.platform.probes_hash
        return "not asked" if same else "not asked by that version of the lab"

    def list_circumstances(self) -> list[Difference]:
        """Return how the measurements differ, apart from the release."""
        found = list_differences(self.then.platform, self.now.platform)
        return [difference for difference in found if difference.what in _CIRCUMSTANCES]


@dataclass(frozen=True)
class Family:
    """The recorded releases of one system, for one C library, processor and width."""

    system: str
    architecture: str
    libc: str
    """The C library, if it is not the system's usual one."""
    kernel: str
    """The kernel, if it is not each release's own, of the width of the programs."""
    releases: Sequence[Recorded] = ()
    """One report of each release, in order."""
    others: Sequence[str] = ()
    """The names of further reports of these releases."""

    @property
    def name(self) -> str:
        """What a user types: ``debian-amd64``."""
        return f"{self.system}-{self.architecture}".lower()

    @property
    def title(self) -> str:
        """Return ``Debian amd64``, ``Debian amd64, musl, on Linux 6.18``."""
        on = f"on {self.kernel}" if self.kernel else ""
        return ", ".join(filter(None, (f"{self.system} {self.architecture}", self.libc, on)))

    @property
    def steps(self) -> list[Step]:
        """From each release to the next."""
        return [Step(then, now) for then, now in pairwise(self.releases)]

    @property
    def names(self) -> list[str]:
        """The names of all its reports."""
        return [*(recorded.name for recorded in self.releases), *self.others]

    def list_words(self) -> list[str]:
        """Return what a user may type, beside the names of reports.

        A cell such as ``bookworm-armhf`` has the distribution's word for the processor.
        """
        words = [name.partition("-")[2] or self.architecture for name in self.names]
        return [
            self.system.lower(),
            self.name,
            *(f"{self.system}-{word}".lower() for word in words),
        ]


def group_reports(reports: Named) -> tuple[list[Family], list[str]]:
    """Return the families, and the names of the reports whose release is not in `RELEASES`.

    If several reports are of one release, the first is taken.
    """
    known: list[tuple[Family, Recorded]] = []
    unknown: list[str] = []
    for name, report in reports:
        there = report.environment
        release = find_release(name_release(there))
        if release:
            known.append((_find_family(there, release), Recorded(name, report, release)))
        else:
            unknown.append(name)
    systems = list(dict.fromkeys(release.system for release in RELEASES))

    def place(family: Family) -> tuple[object, ...]:
        return systems.index(family.system), family.kernel, family.libc, family.architecture

    known.sort(key=lambda each: place(each[0]))
    families = []
    for family, group in groupby(known, key=lambda each: each[0]):
        by_release: dict[Release, list[Recorded]] = {}
        for _, recorded in group:
            by_release.setdefault(recorded.release, []).append(recorded)
        ordered = [by_release[release] for release in RELEASES if release in by_release]
        others = [recorded.name for same in ordered for recorded in same[1:]]
        families.append(replace(family, releases=[same[0] for same in ordered], others=others))
    return families, unknown


def _find_family(there: Platform, release: Release) -> Family:
    """Return the family of a platform, without its releases."""
    machine = find_architecture(there.machine, there.pointer_bits)
    usual = ("glibc", there.system.lower())
    kernel = ""
    if there.hypervisor == "gvisor":
        kernel = f"gVisor {there.release}"
    elif there.container or not release.is_own_kernel(there):
        kernel = f"{there.system} {'.'.join(there.release.split('.')[:2])}"
    if there.emulated_32_bit:
        kernel = f"{kernel or 'a kernel'} of 64 bits"
    if there.container:
        kernel += f" in {there.container}"
    return Family(release.system, machine, "" if there.libc in usual else there.libc, kernel)


def find_cells(family: Family, cells: Mapping[str, Cell]) -> list[str]:
    """Return the cells of other releases of the family, in the order of releases.

    A family on a kernel that is not its releases' own has none, because cells bring their kernel.
    """
    if family.kernel:
        return []
    recorded = [one.release for one in family.releases]
    found = {
        release: cell.name
        for cell in cells.values()
        if (release := find_release(cell.release))
        and release.system == family.system
        and release not in recorded
        and any(_is_alike(cell, one) for one in family.releases)
    }
    return [found[release] for release in RELEASES if release in found]


def _is_alike(cell: Cell, recorded: Recorded) -> bool:
    """Return whether only the release keeps a cell from being the platform of a report.

    A cell does not say its processor, unless its name ends with it: ``trixie-s390x``.
    """
    alike = not replace(cell, release="").explain_mismatch(recorded.platform)
    return alike and cell.name.partition("-")[2] == recorded.name.partition("-")[2]
