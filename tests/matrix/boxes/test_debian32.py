"""Test the parts of the box debian32 that need no build; `tests/guests` has the others."""

from __future__ import annotations

from matrix.boxes import debian32


def test_packages_are_listed_with_their_versions() -> None:
    status = "Package: zlib1g\nStatus: x\nVersion: 1:2\n\nPackage: adduser\nVersion: 3\n"
    listed = [*debian32._list_packages(status.splitlines())]
    assert listed == ["zlib1g 1:2\n", "adduser 3\n"]
