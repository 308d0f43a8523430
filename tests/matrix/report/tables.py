"""Make tables for the tests of the atlas."""

from __future__ import annotations

from matrix.cell import BASELINES
from matrix.table import Table, make_table
from probes import Report
from probes.fact import Value
from tests.matrix.reports import ELSEWHERE, FREEBSD, changed, host

ID = "sockets.v6only_default"


NEXT = "sockets.v4mapped_default"


HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def made() -> Table:
    """Return a table with every kind of entry."""
    here = host()
    failed = {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"}
    bsd: dict[str, Value] = {ID: True, NEXT: True, "restarts.accept": "EINTR"}
    reports: list[tuple[str, Report]] = [
        ("here", here),
        ("bsd", changed(here, FREEBSD, bsd, way="vagrant/libvirt")),
        ("odd", changed(here, ELSEWHERE, {ID: HARM}, {NEXT: failed})),
    ]
    return make_table(reports, ["openbsd", "freebsd"], here=["here"])


NAMES = ["here", "odd", "bsd", "freebsd", "openbsd"]
"""Its platforms in the page's order."""


def fifteen() -> Table:
    """Return ten recorded or invented Linuxes, two invented FreeBSDs, three documented systems."""
    return make_table(_reports(), ["netbsd", "openbsd", "macos"], here=["musl"])


def twenty() -> Table:
    """Return a table that has twenty platforms when the Pythons of one host are one."""
    reports = _reports()
    reports += [
        (f"python3.{minor}", Report.load(f"{BASELINES}/python3.{minor}.json"))
        for minor in (10, 11, 12, 13, 9)
    ]
    reports += [(f"trixie-{name}", _invent(name, TRIXIE)) for name in (*PROCESSORS, "i686")]
    return make_table(reports, ["netbsd", "openbsd", "macos"], here=["musl"])


PROCESSORS = ("aarch64", "armv7l", "ppc64le", "s390x")
TRIXIE = {"release": "6.12.1", "distribution": "Debian GNU/Linux 13 (trixie)"}


def _invent(machine: str, environment: dict[str, str]) -> Report:
    """Return the report of an invented Debian; its 32-bit processors have longs of 32 bits."""
    long = 32 if machine in ("armv7l", "i686") else 64
    told = {**environment, "machine": machine, "pointer_bits": long}
    return changed(Report.load(f"{BASELINES}/debian12-amd64.json"), told, {"abi.long_bits": long})


def _reports() -> list[tuple[str, Report]]:
    names = ["debian12-amd64", "debian32", "debian32-userland", "gvisor", "musl"]
    reports = [(name, Report.load(f"{BASELINES}/{name}.json")) for name in names]
    reports += [(f"bookworm-{name}", _invent(name, {"release": "6.1.0"})) for name in PROCESSORS]
    reports.append(("debian9", _invent("x86_64", {"distribution": "Debian GNU/Linux 9 (stretch)"})))
    bsds = [(f"freebsd-{release}", {**FREEBSD, "release": release}) for release in ("15", "14")]
    return reports + [(name, changed(host(), told, {ID: True})) for name, told in bsds]
