"""Test the command baseline."""

from __future__ import annotations

import json
from dataclasses import replace

from probes import Report
from tests.matrix.workplace import Workplace


def test_a_baseline_brought_from_elsewhere(work: Workplace) -> None:
    work.cell("box", "here")
    assert work.run("--no-selftest", "box").returncode == 0
    report = work.results("box") / "report.json"
    done = work("baseline", "box", "--import", str(report), "--reason", "measured there")
    assert done.returncode == 0, done.stderr
    recorded = Report.load(work.folder / "baselines" / "box.json")
    assert recorded.later["imported_from"] == str(report)
    shown = work("table", "--results", str(work.folder / "none"), "--format", "json")
    assert f"imported from {report}" in json.loads(shown.stdout)["columns"][0]["platform"]
    # Neither without a reason, nor a part of one.
    assert work("baseline", "box", "--import", str(report), "--reason", " ").returncode == 2
    document = json.loads(report.read_text())
    document["facts"] = {id: f for id, f in document["facts"].items() if id.startswith("abi.")}
    part = work.folder / "part.json"
    part.write_text(json.dumps(document))
    refused = work("baseline", "box", "--import", str(part), "--reason", "x")
    assert (refused.returncode, "incomplete report" in refused.stderr) == (2, True)
    # One of an older lab lacks what that did not ask yet.
    document = json.loads(report.read_text())
    document["environment"]["probes_hash"] = "0" * 64
    del document["facts"]["locks.flock_shared_by_fork"]
    part.write_text(json.dumps(document))
    older = work("baseline", "box", "--import", str(part), "--reason", "x")
    assert older.returncode == 0, older.stderr
    assert "a report of an older lab; it lacks locks.flock_shared_by_fork" in older.stderr
    # A cell of another platform takes none of ours.
    work.cells.write_text('[cell.bsd]\nways = ["here"]\nplatform = "freebsd"\n')
    refused = work("baseline", "bsd", "--import", str(report), "--reason", "x")
    assert refused.returncode == 2
    assert "which is not bsd" in refused.stderr


def test_a_broken_baseline_is_unreadable_input(work: Workplace) -> None:
    work.cell("box", "here")
    (work.folder / "baselines").mkdir()
    (work.folder / "baselines" / "box.json").write_text("{")
    done = work.run("--no-selftest", "box")
    assert done.returncode == 2
    assert "box.json: not JSON" in done.stdout


def test_what_qemu_user_answered_is_recorded_nowhere(here: Report, work: Workplace) -> None:
    work.cell("box", "here")
    report = work.folder / "emulated.json"
    replace(here, environment=replace(here.environment, hypervisor="qemu-user")).save(report)
    cells = '[cell.box]\nways = ["chroot:/"]\nplatform = "{}"\n'
    work.cells.write_text(cells.format("qemu-user"))
    refused = work("baseline", "box", "--import", str(report), "--reason", "x")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "not recorded: qemu-user answered the system calls" in line
    # Nor as what it stands for.
    work.cells.write_text(cells.format("linux"))
    refused = work("baseline", "box", "--import", str(report), "--reason", "x")
    assert refused.returncode == 2
    assert "qemu-user emulates its processor" in refused.stderr
    assert not (work.folder / "baselines").exists()
