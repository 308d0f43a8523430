"""Test the command run: its arguments, its lines and its exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manual import read_block
from tests.matrix.workplace import ROOT, Workplace


def test_what_is_missing_is_said_and_never_passes(work: Workplace) -> None:
    work.cell("none", "here:python9.9")
    missing = work.run("none")
    assert missing.returncode == 3
    assert missing.stdout == "none  MISSING no working python9.9 on the PATH: install it\n"
    skipped = work.run("--allow-missing", "none")
    assert skipped.returncode == 0
    assert "SKIPPED" in skipped.stdout
    doctor = work("doctor", "none")
    assert (doctor.returncode, "no working python9.9" in doctor.stdout) == (3, True)
    # That some cell cannot be had is no fault of a machine, unless that cell is asked for.
    work.cell("box", "here")
    assert work("doctor", "box").returncode == 0
    assert work("doctor", "box", "none").returncode == 3
    doctor = work("doctor")
    assert (doctor.returncode, "no working python9.9" in doctor.stdout) == (0, True)
    as_json = json.loads(work("doctor", "--json", "none").stdout)
    assert as_json[0]["runs"] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cell.x]\nways = []\n", "has no ways"),
        ('[cell.x]\nways = ["teleport:mars"]\n', "no provider 'teleport'"),
        ('[cell.x]\nways = ["here"]\nfoo = 1\n', "unknown entry foo"),
        ('[cell.x]\nways = ["ssh"]\n', "needs a host that ssh reaches"),
        ('[cell."a/b"]\nways = ["here"]\n', "names files"),
        ("cell = 3\n", "cell is a number; a cell is written: "),
        ("= 3\n", "Invalid"),
    ],
)
def test_cells_that_are_none(work: Workplace, text: str, said: str) -> None:
    work.cells.write_text(text)
    done = work.run("x")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_usage(work: Workplace) -> None:
    work.cell("box", "here")
    assert work.run("nobody").returncode == 2
    assert "no cell 'nobody'" in work.run("nobody").stderr
    assert work.run("--jobs", "0", "box").returncode == 2
    assert work("baseline", "box", "--reason", "x").returncode == 2


def test_one_bad_cell_fails_the_run(work: Workplace) -> None:
    work.cell("good", "here")
    work.cell("none", "here:python9.9")
    for jobs in ("1", "2"):
        done = work.run("--no-selftest", "--jobs", jobs, "--json", "none", "good")
        assert done.returncode == 3, done.stderr
        outcomes = {each["cell"]: each for each in json.loads(done.stdout)}
        assert {name: each["status"] for name, each in outcomes.items()} == {"none": 3, "good": 0}
        assert outcomes["none"]["missing"] is True
        assert "no working python9.9" in outcomes["none"]["line"]
    done = work.run("--no-selftest", "--allow-missing", "none", "good")
    assert done.returncode == 0, done.stdout


def test_only_what_cannot_be_had_is_skipped(work: Workplace) -> None:
    """A platform that is there and fails is no missing one."""
    bad = work.folder / "python-bad"
    bad.write_text("#!/bin/sh\n[ \"$2\" = '' ] && exit 0\nexit 7\n")
    bad.chmod(0o755)
    work.environment["PATH"] = f"{work.folder}:{os.environ['PATH']}"
    work.cell("box", "here:python-bad")
    done = work.run("--allow-missing", "box")
    assert done.returncode == 3
    assert "box  here  FAILED no Python answered" in done.stdout


def test_results_that_cannot_be_written(work: Workplace) -> None:
    work.cell("box", "here")
    done = work("run", "--results", "/dev/null/x", "box")
    assert done.returncode == 3
    assert done.stdout == "box  FAILED /dev/null/x: Not a directory\n"
    (work.results("box") / "report.json").mkdir(parents=True)
    done = work.run("box")
    assert done.returncode == 3
    assert "report.json: Is a directory" in done.stdout


def test_what_is_not_up_is_not_kept(work: Workplace) -> None:
    work.cell("box", "here")
    work.cell("none", "here:python9.9")
    work.run("--keep", "--no-selftest", "box", "none")
    assert os.listdir(work.scratch) == []


def test_the_manuals_commands_run(tmp_path: Path) -> None:
    block = read_block("Other platforms: matrix", "sh")
    commands = block.splitlines()[1:]  # The first makes the environment.
    assert len(commands) == 4
    for line in commands:
        command = line.partition("#")[0].replace(".matrix/bin/python", sys.executable).strip()
        if " -o " in command:
            before, _, after = command.partition(" -o ")
            command = f"{before} -o {tmp_path}/{after}"
        elif " run " in command:
            # Whatever this host is, its own baseline is none yet.
            command = command.replace(
                "matrix run", f"matrix --baselines {tmp_path} run --results {tmp_path}/results"
            )
        done = subprocess.run(
            ["sh", "-ec", command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "facts.md").stat().st_size > 1000
    assert (tmp_path / "atlas.html").stat().st_size > 10000
