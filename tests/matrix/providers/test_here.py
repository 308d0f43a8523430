"""Test the provider of this host's Pythons."""

from __future__ import annotations

import subprocess
import sys

import pytest

from matrix.providers import here as pythons
from tests.matrix.workplace import ROOT, Workplace


def test_a_python_of_pyenv_is_found(work: Workplace) -> None:
    work.environment["PYENV_ROOT"] = str(work.folder / "with [odd] name")
    work.cell("box", "here:python3.99")
    for version, script in (("3.99.1", f'exec {sys.executable} "$@"'), ("3.99.2", "exit 127")):
        program = work.folder / "with [odd] name" / "versions" / version / "bin" / "python3.99"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    done = work.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


def test_on_an_old_python_it_says_so() -> None:
    paths = [path for name in ("python3.9", "python3.10") for path in pythons._find_programs(name)]
    old = [path for path in paths if pythons._is_working(path)]
    if not old:
        pytest.skip("needs a Python 3.9 or 3.10 on the PATH or of pyenv: install one")
    command = [old[0], "-m", "matrix", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("matrix: needs Python 3.11 or newer; this is 3.")
