"""The command pack."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from probes import Report
from tests.commands import FEW, ID
from tests.worlds import run_lab


def test_pack_makes_one_file_that_runs_anywhere(tmp_path: Path) -> None:
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive)).returncode == 0
    assert archive.stat().st_mode & stat.S_IXUSR

    def packed(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(archive), *arguments],
            cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip

    report = Report.loads(packed("report", "--json", FEW).stdout)
    assert report[ID].measured
    assert (
        report.environment.probes_hash
        == Report.loads(run_lab("report", "--json", FEW).stdout).environment.probes_hash
    )
    assert packed("list").stdout == run_lab("list").stdout
    for name in ("text", "markdown", "junit", "github", "header"):
        assert packed("report", FEW, "--format", name).returncode == 0
    again = tmp_path / "again.pyz"
    assert packed("pack", "-o", str(again)).returncode == 0
    assert again.read_bytes() == archive.read_bytes()


def test_the_packed_lab_finds_the_baselines_of_its_user(baseline: Path, tmp_path: Path) -> None:
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive)).returncode == 0
    own = tmp_path / "data" / "papaya-lab" / "baselines"

    def gate() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(archive), "gate", "--cell", "auto", FEW], cwd=tmp_path,
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = gate()
    assert done.returncode == 2
    assert done.stderr.startswith(f"probes: {own}: no baselines; record one: ")
    assert f"{archive} gate --update --reason TEXT FILE, then gate FILE; or" in done.stderr
    assert done.stderr.count("\n") == 1
    own.mkdir(parents=True)
    shutil.copy(baseline, own / "mine.json")
    done = gate()
    assert done.returncode == 0, done.stderr
    assert "data/papaya-lab/baselines/mine.json" in done.stderr
