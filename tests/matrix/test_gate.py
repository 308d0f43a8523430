"""Test how a cell is held against its baseline."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.cell import Cell
from matrix.gate import compare_with_baseline
from matrix.outcome import CellOutcome
from probes import Report
from probes.errors import CommandError
from probes.fact import BLOCKED
from tests.matrix.workplace import ROOT, Workplace


def test_a_host_is_measured_recorded_and_gated(work: Workplace) -> None:
    work.cell("box", "here")
    done = work.run("box")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no baseline, selftest 3/3" in done.stdout
    found = re.search(r"to record one: (.*) --reason TEXT\n", done.stdout)
    assert found, done.stdout
    assert "box: measuring" in done.stderr
    report = Report.load(work.results("box") / "report.json")
    assert (report.later["cell"], report.later["way"]) == ("box", "here")
    selftest = json.loads((work.results("box") / "selftest.json").read_text())
    assert set(selftest) == {"coroutines", "fork", "pool"}

    subprocess.run(f"{found[1]} --reason 'as it is'", shell=True, cwd=ROOT, check=True)
    again = work.run("--no-selftest", "box")
    assert (again.returncode, "0 changed" in again.stdout) == (0, True), again.stdout

    # Another world, as far as the baseline knows.
    path = work.folder / "baselines" / "box.json"
    document = json.loads(path.read_text())
    document["facts"]["locks.flock_shared_by_fork"]["value"] = False
    path.write_text(json.dumps(document))
    changed = work.run("--no-selftest", "box")
    assert changed.returncode == 1
    assert "locks.flock_shared_by_fork: no -> yes (inherent, drift)" in changed.stdout
    assert "papaya's settings that depend on it: log" in changed.stdout


def test_a_platform_that_is_not_what_it_is_called(work: Workplace) -> None:
    work.cells.write_text('[cell.bsd]\nways = ["here"]\nplatform = "freebsd"\n')
    done = work.run("--allow-missing", "bsd")
    assert done.returncode == 3
    assert "which is not bsd: it is not freebsd" in done.stdout


def test_the_oldest_python_is_held_against_its_own_baseline(work: Workplace) -> None:
    work.cell("old", "here:oldest")
    assert work.run("--no-selftest", "old").returncode == 0
    report = Report.load(work.results("old") / "report.json")
    minor = ".".join(report.environment.python.split()[1].split(".")[:2])
    (work.folder / "baselines").mkdir()
    report.save(work.folder / "baselines" / f"python{minor}.json")
    done = work.run("old")
    assert done.returncode == 0, done.stdout
    assert "0 changed" in done.stdout
    tried = f"no selftest: Python {minor}" if minor in ("3.9", "3.10") else "selftest 3/3"
    assert tried in done.stdout


def test_nothing_measured_is_no_pass(here: Report) -> None:
    facts = {fact.id: replace(fact, status=BLOCKED, value=None, reason="-") for fact in here}
    cell = Cell("box", (("here", ""),), baselines="/nowhere")
    with pytest.raises(CommandError, match="nothing was measured") as raised:
        compare_with_baseline(
            cell, Report(here.environment, facts), CellOutcome("box"), (), require_all=False
        )
    assert raised.value.status == 3


def test_a_report_of_qemu_user_is_compared_with_nothing(here: Report, tmp_path: Path) -> None:
    emulated = replace(here, environment=replace(here.environment, hypervisor="qemu-user"))
    here.with_later(approvals=[]).save(tmp_path / "box.json")
    cell = Cell("box", (("chroot", "/root"),), platform="qemu-user", baselines=str(tmp_path))
    outcome = CellOutcome("box")
    with pytest.raises(CommandError, match=r"box\.json: a baseline of .* it is not qemu-user"):
        compare_with_baseline(cell, emulated, outcome, (), False)
    (tmp_path / "box.json").unlink()
    compare_with_baseline(cell, emulated, outcome, (), False)
    assert outcome.baseline == "emulated by qemu-user, compared with nothing"
