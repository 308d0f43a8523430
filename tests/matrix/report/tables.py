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
    """Return ten recorded baselines, two invented FreeBSDs, and three documented systems."""
    names = ["debian12-amd64", "debian32", "debian32-userland", "gvisor", "musl"]
    names += [f"python3.{minor}" for minor in (10, 11, 12, 13, 9)]
    reports = [(name, Report.load(f"{BASELINES}/{name}.json")) for name in names]
    bsds = [(f"freebsd-{release}", {**FREEBSD, "release": release}) for release in ("15", "14")]
    reports += [(name, changed(host(), told, {ID: True})) for name, told in bsds]
    return make_table(reports, ["netbsd", "openbsd", "macos"], here=["musl"])
