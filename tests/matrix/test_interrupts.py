"""Test that an interrupt is held back, and that a new process can be interrupted all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from matrix.interrupts import STOPPING, block_stopping, make_temporary_folder, run_program


def test_an_interrupt_arrives_at_the_end_of_the_block() -> None:
    steps = []

    def work() -> None:
        with block_stopping():
            signal.raise_signal(signal.SIGINT)
            steps.append("noted")
        steps.append("too late")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["noted"]


def test_a_new_process_has_the_mask_of_before() -> None:
    script = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    command = [sys.executable, "-c", script]
    usual = subprocess.run(command, capture_output=True, check=True).stdout
    with block_stopping() as restore:
        blocked = subprocess.run(command, capture_output=True, check=True).stdout
        restored = subprocess.run(
            command, capture_output=True, check=True, preexec_fn=restore
        ).stdout
    assert restored == usual
    assert blocked.count(b"Signals.SIG") >= usual.count(b"Signals.SIG") + len(STOPPING)


def test_a_program_that_an_interrupt_meets_at_its_start_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen
    started: list[subprocess.Popen[Any]] = []

    def start_and_interrupt(*arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        started.append(start(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start_and_interrupt)
    with (
        pytest.raises(KeyboardInterrupt),
        run_program([sys.executable, "-c", "import time; time.sleep(1000)"], end),
    ):
        raise AssertionError
    assert started[0].returncode == -signal.SIGTERM


def end(process: subprocess.Popen[Any]) -> None:
    process.terminate()


def test_a_program_of_a_block_that_fails_is_ended() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    with pytest.raises(LookupError), run_program(command, end) as process:
        raise LookupError
    assert process.returncode == -signal.SIGTERM


def test_a_program_is_waited_for() -> None:
    with run_program([sys.executable, "-c", "exit(3)"], end) as process:
        pass
    assert process.returncode == 3


def test_a_temporary_folder_that_an_interrupt_meets_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def make_and_interrupt(*arguments: Any, **options: Any) -> str:
        folder: str = make(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return folder

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkdtemp", make_and_interrupt)
    with pytest.raises(KeyboardInterrupt), make_temporary_folder():
        raise AssertionError
    assert list(tmp_path.iterdir()) == []
