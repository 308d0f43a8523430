"""guarded(): output that cannot be written is one line, in papaya and in the matrix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
