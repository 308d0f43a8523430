"""The releases of systems, in the order in which an upgrade passes through them.

Names alone do not tell this order, so it is written down here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from probes.fact import Platform


@dataclass(frozen=True)
class Release:
    """One release of a system."""

    system: str
    """A kernel that the system has built holds this word in its ``uname -v``."""
    name: str
    begins: str
    """The beginning of the distribution's name and release, otherwise the kernel's."""
    kernel: str = ""
    """The series of its kernel, ``6.1``; empty if it has several, or follows the newest."""
    end_of_life: str = ""
    """The last day of support without a contract, ``2028-06-30``; empty: not known."""
    support: str = ""
    """The kind of support that ends on that day, if there are several."""
    based_on: str = ""

    def describe_end(self) -> str:
        """Return ``2028-06-30 (LTS)``; empty if the day is not known."""
        return f"{self.end_of_life} ({self.support})" if self.support else self.end_of_life

    def describe(self) -> str:
        """Return ``Debian 12: end of life 2028-06-30 (LTS)``; empty if nothing is known."""
        known = [f"end of life {self.describe_end()}"] * bool(self.end_of_life)
        known += [f"based on {self.based_on}"] * bool(self.based_on)
        return f"{self.name}: {', '.join(known)}" if known else ""

    def is_own_kernel(self, there: Platform) -> bool:
        """Return whether the kernel of ``there``, which is of this release, is the release's."""
        series = [one.kernel for one in RELEASES if one.system == self.system and one.kernel]
        running = next((each for each in series if begins_with(there.release, each)), "")
        return self.system in there.version and running == self.kernel


# Debian and Ubuntu: debian.csv and ubuntu.csv of Debian's package distro-info-data 0.58+deb12u7,
# columns eol-lts and eol.  Each Ubuntu is made from Debian unstable; the same files tell which
# release of Debian was in development then (created and release).
# FreeBSD: https://www.freebsd.org/security/ "Supported FreeBSD releases", stable/13 and stable/14.
# Announced for 15 are four years after 15.0, without a day:
# https://bsdsec.net/articles/change-to-freebsd-release-scheduling-and-support-period
_LTS, _STANDARD = "LTS", "standard support"
_TRIXIE, _FORKY = (f"Debian unstable, before {name}" for name in ("trixie", "forky"))

RELEASES = (
    Release("Debian", "Debian 11", "Debian GNU/Linux 11", "5.10", "2026-08-31", _LTS),
    Release("Debian", "Debian 12", "Debian GNU/Linux 12", "6.1", "2028-06-30", _LTS),
    Release("Debian", "Debian 13", "Debian GNU/Linux 13", "6.12", "2030-06-30", _LTS),
    # Testing and unstable: /etc/os-release is the same in both.
    Release("Debian", "Debian forky/sid", "Debian GNU/Linux forky/sid"),
    Release(
        "Ubuntu", "Ubuntu 22.04", "Ubuntu 22.04", "", "2027-06-01", _STANDARD,
        "Debian unstable, before bookworm",
    ),
    Release("Ubuntu", "Ubuntu 24.04", "Ubuntu 24.04", "", "2029-05-31", _STANDARD, _TRIXIE),
    Release("Ubuntu", "Ubuntu 24.10", "Ubuntu 24.10", "", "2025-07-10", "", _TRIXIE),
    Release("Ubuntu", "Ubuntu 25.04", "Ubuntu 25.04", "", "2026-01-15", "", _TRIXIE),
    # Begun from trixie, and released two months after it.
    Release("Ubuntu", "Ubuntu 25.10", "Ubuntu 25.10", "", "2026-07-09"),
    Release("Ubuntu", "Ubuntu 26.04", "Ubuntu 26.04", "", "2031-05-29", _STANDARD, _FORKY),
    Release("Ubuntu", "Ubuntu 26.10", "Ubuntu 26.10", "", "2027-07-15", "", _FORKY),
    Release("FreeBSD", "FreeBSD 13", "FreeBSD 13", "", "2026-04-30"),
    Release("FreeBSD", "FreeBSD 14", "FreeBSD 14", "", "2028-11-30"),
    Release("FreeBSD", "FreeBSD 15", "FreeBSD 15"),
)  # fmt: skip


def name_release(there: Platform) -> str:
    """Return the distribution's name and release, otherwise the kernel's."""
    return there.distribution or f"{there.system} {there.release}"


def begins_with(text: str, beginning: str) -> bool:
    """Return whether ``text`` begins so, and no number goes on: 6.12 does not begin with 6.1."""
    return re.match(rf"{re.escape(beginning)}(?!\d)", text) is not None


def find_release(name: str) -> Release | None:
    """Return the release that `name_release` names; None if it is not in `RELEASES`."""
    return next((release for release in RELEASES if begins_with(name, release.begins)), None)
