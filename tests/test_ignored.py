"""Test that git ignores every file that the README's commands make, above all the key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.needs import needs
from tests.worlds import ROOT

MADE = [
    "papaya.key", "papaya.log", "papaya.log.1", "papaya.log.status", "results/here/report.json",
    "results/here/log", "quick/index.html", ".lab/bin/python", ".chat/bin/python", ".venv/x",
    ".matrix/bin/python", ".experiment/bin/python", "facts.md", "atlas.html", "lab.pyz", "probes.h",
]  # fmt: skip


@needs("git")
def test_what_the_readme_makes_is_ignored(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    command = ["git", "check-ignore", "--", *MADE, "README.md", "docs/experiment/cells.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == MADE
