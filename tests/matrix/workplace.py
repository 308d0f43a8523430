"""A folder with cells, results and baselines of its own, in which the matrix is run for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


class Workplace:
    """A folder with cells, results and baselines of its own, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells.toml"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.command = [
            sys.executable, "-m", "matrix",
            "--cells", str(self.cells), "--baselines", str(folder / "baselines"),
        ]  # fmt: skip
        self.environment = {**os.environ, "TMPDIR": str(self.scratch)}

    def cell(self, name: str, *ways: str) -> None:
        """One more cell."""
        with self.cells.open("a") as file:
            file.write(f"[cell.{name}]\nways = {json.dumps(ways)}\n")

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; nothing of it is left in the scratch folder."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=600,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        if "--keep" not in arguments:
            assert os.listdir(self.scratch) == []
        return done

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`matrix run`."""
        return self("run", "--results", str(self.folder / "results"), *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it, for a test that does something to it while it runs."""
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start_run(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `matrix run`."""
        return self.start("run", "--results", str(self.folder / "results"), *arguments)

    def results(self, cell: str) -> Path:
        """Where a cell's results are."""
        return self.folder / "results" / cell


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read its progress until a line holds these words, and return all that was read.

    A process that ends without them fails the test with what it said.
    """
    assert process.stderr
    said = ""
    while words not in said:
        line = process.stderr.readline()
        assert line, f"{words!r} is not in {said!r}"
        said += line
    return said
