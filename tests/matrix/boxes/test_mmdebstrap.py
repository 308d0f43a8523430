"""Test what every build with mmdebstrap shares."""

from __future__ import annotations

import pytest

from matrix.boxes import _mmdebstrap


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
