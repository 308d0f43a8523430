"""Test the releases: which one a report is of, and whether its kernel is that release's."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from matrix.cell import load_cells
from matrix.releases import RELEASES, begins_with, find_release, name_release
from probes.fact import Platform

DEBIAN12 = Platform(
    "Linux", "6.1.0-50-amd64", "x86_64", "glibc", "2.36", 64,
    distribution="Debian GNU/Linux 12 (bookworm)",
    version="#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
)  # fmt: skip
SID = replace(DEBIAN12, distribution="Debian GNU/Linux forky/sid", release="7.1.3-amd64")
UBUNTU = replace(
    DEBIAN12, distribution="Ubuntu 24.04.3 LTS", release="6.14.0-33-generic",
    version="#33~24.04.1-Ubuntu SMP PREEMPT_DYNAMIC",
)  # fmt: skip
FREEBSD = Platform(
    "FreeBSD", "14.3-RELEASE-p1", "amd64", "freebsd", "14.3", 64, version="FreeBSD 14.3-RELEASE"
)


@pytest.mark.parametrize(
    ("there", "name"),
    [
        (DEBIAN12, "Debian 12"),
        (SID, "Debian forky/sid"),
        (UBUNTU, "Ubuntu 24.04"),
        (FREEBSD, "FreeBSD 14"),
        (replace(FREEBSD, release="140.1"), None),
        (replace(DEBIAN12, distribution="Debian GNU/Linux 120"), None),
        (replace(DEBIAN12, distribution="Alpine Linux v3.20"), None),
        (replace(DEBIAN12, distribution=""), None),
    ],
)
def test_which_release_a_platform_is(there: Platform, name: str | None) -> None:
    found = find_release(name_release(there))
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("there", "own"),
    [
        (DEBIAN12, True),
        (SID, True),
        (UBUNTU, True),
        (FREEBSD, True),
        # The kernels of another release, of another distribution, and of the user.
        (replace(DEBIAN12, release="6.12.9+deb13-amd64"), False),
        (replace(DEBIAN12, release="6.18.44-fc", version="#1 SMP @0"), False),
        (replace(DEBIAN12, version=UBUNTU.version), False),
        (replace(SID, release="6.1.0-50-amd64"), False),
        (replace(SID, version="#1 SMP @0"), False),
        (replace(UBUNTU, version=DEBIAN12.version), False),
    ],
)
def test_whose_kernel_it_is(there: Platform, own: bool) -> None:
    release = find_release(name_release(there))
    assert release
    assert release.is_own_kernel(there) == own


def test_a_number_that_goes_on_is_another_one() -> None:
    assert begins_with("6.1.0", "6.1")
    assert not begins_with("6.12.0", "6.1")
    assert not begins_with("a 6.1", "6.1")


def test_the_cells_are_of_releases_that_are_known() -> None:
    said = {cell.release for cell in load_cells().values() if cell.release}
    assert len(said) > 5
    assert {text for text in said if not find_release(text)} == set()


def test_the_data_are_whole() -> None:
    names = [release.name for release in RELEASES]
    assert len(set(names)) == len(names)
    for at, release in enumerate(RELEASES):
        # No release takes the reports of a later one.
        assert find_release(release.begins) is RELEASES[at]
        assert not release.support or release.end_of_life
        if release.end_of_life:
            datetime.date.fromisoformat(release.end_of_life)
    systems = [release.system for release in RELEASES]
    assert systems == sorted(systems, key=systems.index), "the releases of a system are together"


def test_what_is_said_of_a_release() -> None:
    said = {release.name: release.describe() for release in RELEASES}
    assert said["Debian 12"] == "Debian 12: end of life 2028-06-30 (LTS)"
    assert said["FreeBSD 14"] == "FreeBSD 14: end of life 2028-11-30"
    assert said["FreeBSD 15"] == ""
    assert said["Ubuntu 24.04"] == (
        "Ubuntu 24.04: end of life 2029-05-31 (standard support), "
        "based on Debian unstable, before trixie"
    )
