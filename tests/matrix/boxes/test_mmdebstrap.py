"""Test what every build with mmdebstrap shares."""

from __future__ import annotations

import pytest

from matrix.boxes import _mmdebstrap


def test_packages_are_listed_with_their_versions() -> None:
    status = "Package: zlib1g\nStatus: x\nVersion: 1:2\n\nPackage: adduser\nVersion: 3\n"
    listed = [*_mmdebstrap.list_packages(status.splitlines())]
    assert listed == ["zlib1g 1:2\n", "adduser 3\n"]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (["I: begin", "E: no network", "E: failed"], "E: no network"),
        (["Err:1 http://mirror", "E: failed"], "Err:1 http://mirror"),
        (["I: begin", "odd words"], "odd words"),
        ([], ""),
    ],
)
def test_the_first_error_is_the_cause(said: list[str], cause: str) -> None:
    error = _mmdebstrap.make_error(25, said)
    assert (error.returncode, error.cmd, error.output) == (25, "mmdebstrap", cause)


def test_the_time_of_the_files_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert _mmdebstrap.find_epoch() == _mmdebstrap.EPOCH
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    environment = _mmdebstrap.make_environment()
    assert environment["SOURCE_DATE_EPOCH"] == "5"
    assert environment["PATH"].endswith(":/usr/sbin:/sbin")
