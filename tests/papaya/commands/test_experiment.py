"""Test the arguments of the command experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.papaya.experiment.measure.runs import run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--subjects", "cobol"), "unknown subject 'cobol'; choose from c-processes"),
        (("--connections", "1,two"), "whole numbers"),
        (("--connections", "0"), "from 1 to 10000"),
        (("--seconds", "0.1"), "--seconds must be at least 1"),
        (("--repeats", "0"), "--repeats must be more than 0"),
        (("--warmup", "-1"), "--warmup must be 0 or more"),
        (("--mbps", "nan"), "--mbps must be more than 0"),
    ],
)
def test_usage(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(tmp_path / "results", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
