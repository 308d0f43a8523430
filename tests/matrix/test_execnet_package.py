"""Test what users are told if execnet is not installed."""

from __future__ import annotations

import re
import sys

import pytest

from tests.matrix.workplace import Workplace


def test_without_execnet_it_says_so(work: Workplace) -> None:
    work.cell("box", "here")
    work.command.insert(1, "-S")  # What is installed beside Python is not seen.
    for done in (work.run("box"), work("doctor", "box")):
        assert done.returncode == 3
        (line,) = done.stdout.splitlines()
        assert line.endswith(
            f"execnet is not installed: {sys.executable} -m pip install 'execnet>=2.1'"
        )
    # What the platform lacks is said first, and is all that there is to do about it.
    work.cell("none", "here:python9.9")
    assert work.run("none").stdout == "none  MISSING no working python9.9 on the PATH: install it\n"
    # One that is missing may be skipped; that this Python lacks execnet may not.
    assert work.run("--allow-missing", "none").returncode == 0
    assert work.run("--allow-missing", "box").returncode == 3


@pytest.mark.parametrize("option", ["--install-execnet", "--install"])
def test_execnet_that_cannot_be_installed(work: Workplace, option: str) -> None:
    work.cell("box", "here")
    work.cell("none", "here:python9.9")
    work.command.insert(1, "-S")
    work.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_TARGET": str(work.scratch)}
    done = work.run(option, "box", "none")
    assert done.returncode == 3
    assert "none: installing execnet" not in done.stderr
    assert "box: installing execnet" in done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["none"].startswith("MISSING no working python9.9")
    assert re.search(
        r"FAILED execnet cannot be installed \(.*\); on a network: .* -m pip install", said["box"]
    )
