"""Test the exit status and the line of each kind of failure."""

from __future__ import annotations

import errno
import os

import pytest

from probes.errors import CommandError
from probes.failures import describe_failure


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CommandError("x: bad; do y"), (2, "x: bad; do y")),
        (CommandError("x: bad", 3), (3, "x: bad")),
        (KeyboardInterrupt(), (130, "interrupted")),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/a\nb"),
            (3, f"/tmp/a\\nb: {os.strerror(errno.ENOSPC)}"),
        ),
        (
            OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
            (3, f"{os.strerror(errno.EMFILE)}: raise ulimit -n"),
        ),
        (
            MemoryError(),
            (3, f"{os.strerror(errno.ENOMEM)}: raise ulimit -v, or end other programs"),
        ),
    ],
)
def test_a_failure_is_one_line(error: BaseException, expected: tuple[int, str]) -> None:
    assert describe_failure(error, "probes") == expected


def test_a_missing_module_of_python_is_named_with_its_purpose() -> None:
    status, line = describe_failure(
        ImportError("No module named '_ctypes'", name="_ctypes"), "probes"
    )
    assert status == 3
    assert line.startswith("this Python has no module ctypes, which probes needs to call the C")


def test_an_internal_error_names_the_first_exception(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise KeyError("first")
        finally:
            raise ValueError("while cleaning up")
    except ValueError as error:
        status, line = describe_failure(error, "papaya")
    assert status == 3
    assert line.startswith("internal error: ValueError: while cleaning up (test_failures.py:")
    assert ", after KeyError: 'first' (test_failures.py:" in line
    assert line.endswith("; set PAPAYA_DEBUG=1 for the traceback")
    assert capfd.readouterr().err == ""


def test_debugging_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATRIX_DEBUG", "1")
    describe_failure(ValueError("odd"), "matrix")
    assert "ValueError: odd" in capfd.readouterr().err
