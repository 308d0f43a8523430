"""Run the action's script as GitHub does, with its variables and files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from probes import Report
from tests.worlds import ROOT

ACTION = (ROOT / "action.yml").read_text(encoding="utf-8")


class Job:
    """A workspace, and the step of the action run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary, self.outputs = folder / "summary", folder / "outputs"

    def __call__(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        given = {"python": sys.executable, "only": "abi", **inputs}
        (script,) = re.findall(r"^      run: '(.*)'$", ACTION, re.MULTILINE)
        names = dict(
            re.findall(r"^        (PROBES_\w+): \$\{\{ inputs\.(\w+) \}\}$", ACTION, re.MULTILINE)
        )
        defaults = {
            name: json.loads(text) if text.startswith('"') else text
            for name, text in re.findall(r"^  (\w+):\n    .*\n    default: (.*)$", ACTION, re.M)
        }
        assert set(names.values()) == set(defaults) - {"artifact"}
        assert set(given) <= set(defaults)
        environment = {
            **os.environ,
            **{name: given.get(input, defaults[input]) for name, input in names.items()},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
        }
        for path in (self.summary, self.outputs):
            path.write_text("")
        return subprocess.run(
            ["sh", "-e", "-c", script], cwd=self.folder, env=environment, capture_output=True,
            stdin=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip

    def output(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_report(job: Job) -> None:
    done = job(command="report")
    assert done.returncode == 0, done.stderr
    assert "::group::abi" in done.stdout
    assert "abi.long_bits" in job.summary.read_text()
    output = job.output()
    assert output.pop("status") == "0"
    assert "abi.long_bits" in Report.load(job.folder / output["report"])
    assert json.loads((job.folder / output["sarif"]).read_text())["version"] == "2.1.0"


def test_the_first_baseline_is_recorded_and_then_holds(job: Job) -> None:
    first = job(baseline="ci/linux.json", output="out")
    assert first.returncode == 2
    assert "::error title=probes gate%3A no baseline yet::ci/linux.json: does not" in first.stdout
    assert "commit it as ci/linux.json" in job.summary.read_text()
    assert job.output()["baseline"] == "out/baseline.json"
    (job.folder / "ci").mkdir()
    (job.folder / "out/baseline.json").rename(job.folder / "ci/linux.json")
    again = job(baseline="ci/linux.json", output="out")
    assert again.returncode == 0, again.stdout
    assert "gate passed" in again.stdout
    assert "::error" not in again.stdout
    assert json.loads((job.folder / "out/probes.sarif").read_text())["runs"][0]["results"] == []


@pytest.mark.parametrize(("allow", "status"), [("", 1), ("sockets.v6only_*", 0)])
def test_drift_is_annotated_unless_it_is_allowed(job: Job, allow: str, status: int) -> None:
    id, only = "sockets.v6only_default", "abi,\n sockets.v6only_default"
    job(baseline="b.json", only=only)
    recorded = Report.load(job.folder / "probes-output/baseline.json")
    facts = dict(recorded.facts)
    facts[id] = replace(facts[id], value=not facts[id].value)
    replace(recorded, facts=facts).save(job.folder / "b.json")
    done = job(baseline="b.json", allow=allow, only=only)
    assert done.returncode == status, done.stdout
    kind = "error" if status else "notice"
    assert f"::{kind} file=b.json,line=1,title={id}::{id}: " in done.stdout
    assert id in job.summary.read_text()
    (result,) = json.loads((job.folder / job.output()["sarif"]).read_text())["runs"][0]["results"]
    assert result["ruleId"] == id
    assert ("suppressions" in result) == (not status)
    assert job.output()["status"] == str(status)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "baseline: not given"),
        ({"command": "reprot"}, "command: 'reprot' is not known; use report or gate"),
        ({"command": "report", "only": "nothing"}, "no probe matches 'nothing'"),
        ({"baseline": "action.json"}, "action.json: "),
        ({"command": "$(touch hurt)"}, "is not known"),
    ],
)
def test_a_wrong_input_is_an_annotation(job: Job, inputs: dict[str, str], said: str) -> None:
    (job.folder / "action.json").write_text("{")
    done = job(**inputs)
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=probes::")
    assert said in done.stdout
    assert done.stderr == ""
    assert not (job.folder / "hurt").exists()
