"""What tests of several commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.worlds import ROOT, run_lab

FEW = "--only=sockets.v6only_default"
ID = "sockets.v6only_default"


def save(path: Path, *options: str) -> Path:
    done = run_lab("report", "--json", "-o", str(path), *(options or (FEW,)))
    assert done.returncode == 0, done.stderr
    return path


def with_value(source: Path, path: Path, value: object) -> Path:
    """Return the report with one answer changed."""
    document = json.loads(source.read_text())
    document["facts"][ID]["value"] = value
    path.write_text(json.dumps(document))
    return path


def with_input(path: Path, *arguments: str, folder: Path = ROOT) -> tuple[int, str, str]:
    """Status, output and errors of a lab whose standard input is a file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    with open(path, "rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "probes", *arguments],
            cwd=folder, env=environment, stdin=file, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout, done.stderr
