"""Test the command doctor."""

from __future__ import annotations

import json

from tests.matrix.workplace import Workplace


def test_the_doctor_says_what_it_takes(work: Workplace) -> None:
    work.cell("box", "here")
    work.environment["MATRIX_CACHE"] = str(work.folder / "cache")
    work.environment["VAGRANT_HOME"] = str(work.folder / "vagrant")
    for row in json.loads(work("doctor", "--json").stdout):
        way, note = row["way"], row["note"]
        if row["runs"] and way in ("musl", "chroot:debian32", "qemu:debian32"):
            assert "is built at first use" in note
        if row["runs"] and way in ("vagrant:ubuntu", "vagrant:freebsd"):
            assert "needs a download" in note
        if row["runs"] and way.startswith(("vagrant", "qemu")):
            assert "with KVM" in note or "emulated" in note
