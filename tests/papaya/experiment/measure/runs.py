"""Run the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.worlds import ROOT


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "papaya", "experiment", *arguments]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        command("run", "--output", str(folder), *arguments),
        cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, errors = process.communicate()
    assert "Traceback" not in errors, errors
    assert groups(process.pid) == []
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def groups(pid: int) -> list[Path]:
    """Control groups that the run of this process made."""
    return list(Path("/sys/fs/cgroup").glob(f"**/papaya-{pid}-*"))
