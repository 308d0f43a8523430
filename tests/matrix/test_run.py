"""Cells for real: this host, brought up, measured, gated, taken down; and what can go wrong."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.cell import load_cells
from matrix.providers import vagrant
from probes.load_catalogue import load_catalogue
from tests.matrix.workplace import Workplace, read_until
from tests.papaya.conftest import descendants, runs, state, until
from tests.worlds import needs_linux


def test_the_second_way_is_taken_where_the_first_lacks_something(work: Workplace) -> None:
    work.cell("box", "here:python9.9", "here")
    done = work.run("--no-selftest", "box")
    assert done.returncode == 0
    assert "not by here: no working python9.9" in done.stderr


def test_without_a_network_a_box_that_is_not_there_is_missing_at_once(work: Workplace) -> None:
    nowhere = "http://127.0.0.1:1/debian"
    work.environment |= {
        "MATRIX_CACHE": str(work.folder / "cache"), "MATRIX_MIRROR": nowhere,
        "VAGRANT_HOME": str(work.folder), "VAGRANT_SERVER_URL": nowhere, "no_proxy": "127.0.0.1",
    }  # fmt: skip
    work.cell("box", "here")
    for cell in ("freebsd", "debian32", "debian32-userland"):
        done = work.run(cell)
        assert done.returncode == 3
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{cell}  MISSING ")
        assert (
            "apt-get install" in line or "127.0.0.1 cannot be reached (Connection refused)" in line
        )
        # Nothing was begun.
        assert "fetching" not in done.stderr
    assert "or by qemu: " in work.run("debian32").stdout


def test_a_box_that_vagrant_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path))
    assert not vagrant._has_box("freebsd", "libvirt")
    (tmp_path / "boxes/roboxes-VAGRANTSLASH-freebsd14/4.3.12/amd64/libvirt").mkdir(parents=True)
    assert vagrant._has_box("freebsd", "libvirt")
    assert not vagrant._has_box("freebsd", "virtualbox")
    assert not vagrant._has_box("freebsd13", "libvirt")


def test_all_cells_that_can_run_here(work: Workplace, tmp_path: Path) -> None:
    # The built-in cells are all replaced, most by one that lacks its Python.
    for name in load_cells():
        work.cell(f'"{name}"', "here:python9.9")
    done = work.run("--all-here")
    assert done.returncode == 3
    assert done.stderr.endswith("matrix: no cell can run here: `doctor` says what each lacks\n")
    work.cell("box", "here")
    done = work.run("--all-here", "--no-selftest")
    assert done.returncode == 0, done.stderr
    assert f"matrix: 1 of {len(load_cells()) + 1}: box\n" in done.stderr
    assert done.stdout.startswith(f"box  here  {len(load_catalogue())} facts, no baseline")


@pytest.mark.parametrize("words", [(), ("--all-here", "box")])
def test_cells_are_either_named_or_all(work: Workplace, words: tuple[str, ...]) -> None:
    done = work.run(*words)
    assert done.returncode == 2
    said = "no cells, or two choices of them: name cells, or use --all-here"
    assert done.stderr == f"matrix: {said}\n"


def test_a_temporary_folder_with_a_blank(blank: Workplace) -> None:
    blank.cell("box", "here")
    done = blank.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


def _until_it_measures(
    work: Workplace, then: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str]:
    with work.start_run("box") as process:
        assert process.stdout
        read_until(process, "box: measuring")
        then(process)
        said = process.stdout.read()
        status = process.wait(60)
    until = time.monotonic() + 20
    # The far end removes its own, a moment after the near end is gone.
    while os.listdir(work.scratch):
        assert time.monotonic() < until, os.listdir(work.scratch)
        time.sleep(0.01)
    return status, said


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_everything_down(work: Workplace, signum: int) -> None:
    work.cell("box", "here")
    below: list[int] = []

    def interrupt(process: subprocess.Popen[str]) -> None:
        below.extend(descendants(process.pid))
        process.send_signal(signum)

    status, said = _until_it_measures(work, interrupt)
    assert status == 130
    assert "interrupted" in said
    until = time.monotonic() + 20
    while left := [pid for pid in below if runs(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_is_told_of_every_cell(work: Workplace, signum: int) -> None:
    """Also of those that had not begun; and a second one is one too many."""
    for name in ("one", "two", "three"):
        work.cell(name, "here")
    with work.start_run("--jobs", "1", "one", "two", "three") as process:
        assert read_until(process, "one: measuring").count("\n") == 1
        process.send_signal(signum)
        process.send_signal(signum)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "matrix: interrupted; not finished: one, two, three; "
        "the same command measures all its cells again"
    )
    assert said.splitlines() == [
        "one    here  FAILED interrupted",
        "two    FAILED interrupted before it began",
        "three  FAILED interrupted before it began",
    ]
    until(lambda: not os.listdir(work.scratch))


@needs_linux
def test_two_signals_at_once_end_a_cell_without_a_complaint(work: Workplace) -> None:
    work.cell("box", "here")
    with work.start_run("box") as process:
        read_until(process, "box: measuring")
        (cell,) = descendants(process.pid)[process.pid]
        os.kill(cell, signal.SIGSTOP)
        until(lambda: state(cell) == "T")
        # Both are pending when it goes on, as if they had come in the same moment.
        os.kill(cell, signal.SIGINT)
        os.kill(cell, signal.SIGTERM)
        os.kill(cell, signal.SIGCONT)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert not re.search("Traceback|race", errors), errors
    until(lambda: not os.listdir(work.scratch))


@needs_linux
def test_an_interrupt_before_it_begins(work: Workplace) -> None:
    """While it imports: by a module that asks to be interrupted."""
    module = work.folder / "tomllib.py"
    module.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    work.environment["PYTHONPATH"] = str(work.folder)
    work.cell("box", "here")
    done = work.run("box")
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


@needs_linux
def test_a_platform_that_dies_in_the_middle(work: Workplace) -> None:
    work.cell("box", "here")

    def kill(process: subprocess.Popen[str]) -> None:
        children = descendants(process.pid)
        (cell,) = children[process.pid]
        (far_end,) = children[cell]
        # With all it runs, or is about to run: that would write its compiled modules anew.
        for pid in _stopped(far_end):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Nobody is left to remove what it had.
        for path in work.scratch.glob("matrix-*"):
            if path.name != "matrix-box":
                subprocess.run(["rm", "-rf", str(path)], check=False)

    status, said = _until_it_measures(work, kill)
    assert status == 3
    assert "lost the connection" in said


def _stopped(pid: int) -> set[int]:
    """Yield a process and all below it, stopped, so that none starts another."""
    stopped: set[int] = set()

    def look_again() -> bool:
        """Whether that were all.  One that was missed may have sent SIGCONT to the others."""
        before = set(stopped)
        stopped.update(each for each in descendants(pid) if runs(each))
        for each in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        # D: its vfork() waits for a child that is stopped itself, and it stops with the return.
        return stopped == before and all(state(each) in "TtDZ" for each in stopped)

    until(look_again)
    return stopped
