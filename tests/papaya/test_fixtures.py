"""Test the fixture `serve`: servers are stopped after the test, even if it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.worlds import ROOT, needs_linux

from .conftest import runs

TEST = """
from pathlib import Path
from tests.papaya.conftest import facts, serve

def test_two_servers(serve, tmp_path):
    for name in ("first", "second"):
        folder = Path({folder!r}, name)
        folder.mkdir()
        server = serve(folder=str(folder))
        (folder / "pid").write_text(str(server.process.pid))
        with open(server.errors_path, "a") as errors:
            errors.write("a process failed")
"""


@needs_linux
def test_servers_are_ended_before_any_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(TEST.format(folder=str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         f"--rootdir={tmp_path}", "--confcutdir", str(tmp_path), str(path)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed, 1 error" in done.stdout, done.stdout
    pids = [int((tmp_path / name / "pid").read_text()) for name in ("first", "second")]
    assert not any(map(runs, pids))
