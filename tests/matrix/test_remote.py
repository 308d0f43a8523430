"""Test the connection to a platform."""

from __future__ import annotations

import os

import pytest

from tests.matrix.workplace import Workplace


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 7\n", "no working python-bad on"),
        (
            "#!/bin/sh\n[ \"$2\" = '' ] && exit 0\necho 'cannot start' >&2\nexit 7\n",
            "no Python answered: cannot start",
        ),
    ],
)
def test_a_python_that_does_not_answer(work: Workplace, script: str, said: str) -> None:
    bad = work.folder / "python-bad"
    bad.write_text(script)
    bad.chmod(0o755)
    work.environment["PATH"] = f"{work.folder}:{os.environ['PATH']}"
    work.cell("box", "here:python-bad")
    done = work.run("box")
    assert done.returncode == 3
    assert said in done.stdout, done.stdout + done.stderr
