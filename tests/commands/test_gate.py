"""The command gate."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from probes import Report
from probes.commands.gate import is_ci
from tests.commands import FEW, ID, with_input, with_value
from tests.worlds import run_lab


def test_a_report_may_come_by_standard_input(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    status, said, _ = with_input(drifted, "diff", str(baseline), "-")
    assert (status, "B  -: " in said, ID in said) == (1, True, True)
    assert with_input(baseline, "diff", "-", str(baseline))[0] == 0
    status, said, _ = with_input(drifted, "gate", str(baseline), "--against", "-")
    assert (status, f"{ID}: " in said) == (1, True)
    assert with_input(baseline, "gate", str(baseline), "--against", "-")[0] == 0
    # A baseline by standard input has no file of allowed differences beside it.
    (tmp_path / "-.allowed.json").write_text("{")
    arguments = ("gate", "-", "--against", str(drifted), "--format", "github")
    status, said, errors = with_input(baseline, *arguments, folder=tmp_path)
    assert (status, "file=" in said, errors) == (1, False, "")
    folder = tmp_path / "baselines"
    folder.mkdir()
    shutil.copy(baseline, folder / "a.json")
    auto = ("gate", "--cell", "auto", "--baselines", str(folder), "--against", "-")
    status, said, errors = with_input(drifted, *auto)
    assert (status, "a.json" in errors) == (1, True)


def test_update_takes_a_report_by_standard_input(here: Report, tmp_path: Path) -> None:
    report, path = tmp_path / "report.json", tmp_path / "baseline.json"
    here.save(report)
    arguments = ("gate", str(path), "--update", "--against", "-")
    assert with_input(report, *arguments)[0] == 2
    assert with_input(report, *arguments, "--reason", "x")[0] == (2 if is_ci() else 0)


@pytest.mark.parametrize("text", ["true", "1", "TRUE", "woodpecker", "yes"])
def test_what_a_ci_service_sets(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", text)
    assert is_ci()


@pytest.mark.parametrize("text", ["", "0", "false", "False", "no", " "])
def test_what_is_no_ci(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", text)
    assert not is_ci()
    monkeypatch.delenv("CI")
    assert not is_ci()


def test_gate_passes_what_is_unchanged(baseline: Path) -> None:
    done = run_lab("gate", str(baseline), FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gate passed: 1 fact, unchanged\n"


def test_gate_names_a_drift_with_what_to_do(baseline: Path, drifted: Path) -> None:
    for done in (
        run_lab("gate", str(drifted), FEW),
        run_lab("gate", str(drifted), "--against", str(baseline)),
    ):
        assert done.returncode == 1
        line, headline = done.stdout.splitlines()
        assert re.match(rf"{ID}: (yes -> no|no -> yes) \(configured, drift\)", line)
        assert "Set IPV6_V6ONLY" in line
        assert "RFC 3493" in line
        assert headline == "gate FAILED: 1 fact, 1 changed"


def test_gate_formats(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    def said(name: str, **environment: str) -> str:
        done = run_lab(
            "gate", str(drifted), "--against", str(baseline), "--format", name,
            environment=environment,
        )  # fmt: skip
        assert done.returncode == 1
        return done.stdout

    document = json.loads(said("json"))
    assert (document["status"], document["changes"][0]["id"]) == (1, ID)
    assert f"| {ID} |" in said("markdown")
    assert '<testsuite name="probes gate" tests="1" failures="1"' in said("junit")
    summary = tmp_path / "summary.md"
    text = said("github", GITHUB_STEP_SUMMARY=str(summary))
    assert re.search(rf"^::error file={drifted},line=1,title={ID}::", text, re.M)
    assert f"| {ID} |" in summary.read_text()


def test_gate_honours_what_is_allowed(baseline: Path, drifted: Path) -> None:
    copy = drifted.with_name("allowed-drift.json")
    shutil.copy(drifted, copy)
    old, new = (Report.load(path)[ID].value for path in (drifted, baseline))
    entry = {"fact": ID, "from": old, "to": new, "reason": "known", "expires": "2999-01-01"}
    allowed = copy.with_name("allowed-drift.allowed.json")
    allowed.write_text(json.dumps({"allowed": [entry]}))
    done = run_lab("gate", str(copy), "--against", str(baseline))
    assert done.returncode == 0
    assert "Allowed: known" in done.stdout
    allowed.write_text(json.dumps({"allowed": [{**entry, "expires": "2001-01-01"}]}))
    done = run_lab("gate", str(copy), "--against", str(baseline))
    assert done.returncode == 1
    assert "expired" in done.stdout
    allowed.write_text("{")
    assert run_lab("gate", str(copy), "--against", str(baseline)).returncode == 2


def test_update_shows_asks_and_writes(here: Report, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    baseline = tmp_path / "baseline.json"
    here.save(baseline)
    drifted = with_value(baseline, tmp_path / "drifted.json", not here[ID].value)
    arguments = ["gate", str(path), "--update", "--against", str(drifted)]
    done = run_lab(*arguments)
    assert (done.returncode, path.exists()) == (2, False)
    assert "--reason" in done.stderr
    assert run_lab(*arguments, "--reason", "first").returncode == 0
    assert Report.load(path).later["approvals"][0]["reason"] == "first"

    before = path.read_bytes()
    arguments = ["gate", str(path), "--update", "--against", str(baseline), "--reason", "second"]
    done = run_lab(*arguments, environment={"CI": "true"})
    assert (done.returncode, path.read_bytes()) == (2, before)
    assert "never writes where CI is set" in done.stderr
    assert run_lab(*arguments, FEW).returncode == 2
    assert path.read_bytes() == before
    done = run_lab(*arguments, environment={"CI": "false"})
    assert done.returncode == 0
    assert ID in done.stdout
    assert "gate" not in done.stdout
    assert [a["reason"] for a in Report.load(path).later["approvals"]] == ["first", "second"]
    assert run_lab("gate", str(path), "--against", str(baseline)).returncode == 0


def test_update_records_no_part_of_a_report(baseline: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    done = run_lab("gate", str(path), "--update", "--reason", "x", "--against", str(baseline))
    assert (done.returncode, path.exists()) == (2, False)
    assert "incomplete report" in done.stderr


def test_choosing_from_a_report_that_is_there_is_refused(baseline: Path) -> None:
    done = run_lab("gate", str(baseline), "--against", str(baseline), FEW)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_gate_refuses_another_platform(baseline: Path, tmp_path: Path) -> None:
    document = json.loads(baseline.read_text())
    document["environment"]["system"] = "Plan9"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    done = run_lab("gate", str(other), "--against", str(baseline))
    assert done.returncode == 2
    assert "plan9" in done.stderr
    assert done.stderr.count("\n") == 1
    document["environment"].update(system="Linux", machine="s390x")
    other.write_text(json.dumps(document))
    done = run_lab("gate", str(other), "--against", str(baseline))
    assert done.returncode == 2
    assert "on s390x, the report of" in done.stderr


def test_gate_of_a_cell(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "baselines"
    folder.mkdir()

    def gate(cell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_lab("gate", "--cell", cell, "--baselines", str(folder), *arguments)

    for cell in ("auto", "a"):
        done = gate(cell, FEW)
        assert done.returncode == 2
        assert f"{folder}: no baselines; record one: " in done.stderr
        assert done.stderr.count("\n") == 1
    document = json.loads(baseline.read_text())
    # Another system's, another Python's of this one, and this one's own.
    document["environment"]["python"] = "CPython 3.0.0"
    (folder / "a.json").write_text(json.dumps(document))
    document["environment"]["emulated_32_bit"] = not document["environment"]["emulated_32_bit"]
    (folder / "b.json").write_text(json.dumps(document))
    (folder / "a.json").rename(tmp_path / "a.json")
    assert "no baseline of this platform" in gate("auto", FEW).stderr
    (tmp_path / "a.json").rename(folder / "a.json")
    done = gate("auto", FEW)
    assert (done.returncode, "a.json" in done.stderr) == (0, True), done.stderr
    shutil.copy(drifted, folder / "c.json")
    done = gate("auto", FEW)
    assert (done.returncode, "c.json" in done.stderr) == (1, True), done.stderr
    assert gate("auto", "--against", str(drifted)).returncode == 0
    assert gate("a", FEW).returncode == 0
    assert gate("c", FEW).returncode == 1
    unknown = gate("d", FEW)
    assert unknown.returncode == 2
    assert "no baseline 'd'; there are a, b, c" in unknown.stderr


def test_gate_allows_what_is_configured_and_nothing_else(here: Report, tmp_path: Path) -> None:
    was, inherent = tmp_path / "was.json", "sockets.v4mapped_address"
    here.save(was)
    document = json.loads(was.read_text())
    for id, value in ((ID, not here[ID].value), (inherent, "otherwise")):
        document["facts"][id]["value"] = value
    now = tmp_path / "now.json"
    now.write_text(json.dumps(document))
    assert (here[ID].scope, here[inherent].scope) == ("configured", "inherent")

    def gate(*allowed: str) -> subprocess.CompletedProcess[str]:
        return run_lab("gate", str(was), "--against", str(now), *allowed)

    assert f"{ID}: " in gate().stdout
    done = gate("--allow", "sockets.*")
    assert done.returncode == 1
    assert "1 changed, 1 allowed" in done.stdout
    refused = gate("--allow", inherent)
    assert refused.returncode == 2
    assert f"{inherent} is inherent" in refused.stderr
    assert "it matches no fact" in gate("--allow", "nothing.*").stderr
    document["facts"][inherent]["value"] = here[inherent].value
    now.write_text(json.dumps(document))
    assert gate("--allow", ID).returncode == 0
