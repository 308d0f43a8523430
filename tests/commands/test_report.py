"""The command report."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from probes import Report
from tests.commands import FEW, ID
from tests.worlds import ROOT, run_lab


def test_a_terminal_that_takes_no_more_does_not_stop_the_measuring() -> None:
    shown, terminal = pty.openpty()
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(terminal, b"x" * 4096)
    done = subprocess.run(
        [sys.executable, "-m", "probes", "report", FEW],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, text=True, check=False,
    )  # fmt: skip
    os.close(terminal)
    os.close(shown)
    assert done.returncode == 0
    assert "1 measured" in done.stdout


def test_a_summary_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x", Path("/dev/full")):
        done = run_lab(
            "report", FEW, "--format", "github", environment={"GITHUB_STEP_SUMMARY": str(path)}
        )
        assert done.returncode == 3
        assert done.stderr.startswith(f"probes: {path}: the summary: No ")
        assert done.stderr.count("\n") == 1


def test_formats_and_files(tmp_path: Path) -> None:
    path = tmp_path / "report"
    for name in ("text", "json", "markdown", "junit", "github", "header"):
        done = run_lab("report", FEW, "--format", name, "-o", str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert path.read_text().endswith("\n")
        # The same on standard output, but for times and durations.
        printed = run_lab("report", FEW, "--format", name).stdout
        assert len(printed.splitlines()) == len(path.read_text().splitlines())


def test_only_and_skip_choose() -> None:
    done = run_lab("report", "--json", "--only=sockets", "--only=abi.*", "--skip=*.v6only*")
    families = {fact.family for fact in Report.loads(done.stdout)}
    assert families == {"sockets", "abi"}
    assert ID not in Report.loads(done.stdout)


def test_progress_is_for_terminals_alone() -> None:
    shown, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "probes", "report", "--json", FEW],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=False,
    )  # fmt: skip
    os.close(terminal)
    assert done.returncode == 0
    Report.loads(done.stdout)
    assert b"1/1 " + ID.encode() in os.read(shown, 4096)
    os.close(shown)
    assert run_lab("report", FEW).stderr == ""


def on_a_terminal(columns: int, *arguments: str, **environment: str) -> str:
    """Return what the lab writes to a terminal of that width."""
    shown, terminal = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "probes", *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE,
        env={**clean, "TERM": "xterm", "COLUMNS": str(columns), **environment},
    ):  # fmt: skip
        os.close(terminal)
        said = b""
        while True:
            try:
                data = os.read(shown, 65536)
            except OSError:  # Linux: the terminal's other side is closed.
                break
            if not data:
                break
            said += data
    os.close(shown)
    return said.decode().replace("\r\n", "\n")


def test_colour_is_for_terminals_that_want_it() -> None:
    assert "\x1b[" in on_a_terminal(80, "report", FEW)
    assert "\x1b" not in on_a_terminal(80, "report", FEW, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(80, "report", FEW, TERM="dumb")
    assert "\x1b" not in run_lab("report", FEW).stdout


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_the_text_fits_its_terminal(columns: int) -> None:
    for options in ([], ["--verbose"]):
        text = on_a_terminal(columns, "report", "--only=sockets", *options, NO_COLOR="1")
        assert max(map(len, text.splitlines())) <= columns
