"""run_command(): output that cannot be written is one line, in papaya and in the matrix."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from probes.command_line import run_command

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("command", ["papaya settings", "matrix table"])
@pytest.mark.parametrize(
    ("output", "error"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_one_line(command: str, output: str, error: str) -> None:
    if output == "> /dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("needs a /dev/full")
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m {command} {output}"],
        cwd=ROOT, env=buffered, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == f"{command.split()[0]}: standard output: {error}\n"


def interrupted_import() -> int:
    """Raise what an interrupt in the making of a class is before Python 3.12."""
    raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()


def fault() -> int:
    raise RuntimeError("a fault of ours") from ValueError()


def test_an_interrupt_amid_an_import_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("papaya", interrupted_import) == 130
    assert capsys.readouterr().err == "papaya: interrupted\n"


def test_another_runtime_error_is_not_taken_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("papaya", fault) == 3
    assert re.fullmatch(
        r"papaya: internal error: RuntimeError: a fault of ours \(test_\w+\.py:\d+\); "
        r"set PAPAYA_DEBUG=1 for the traceback\n",
        capsys.readouterr().err,
    )
