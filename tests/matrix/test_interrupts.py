"""Test that an interrupt is held back, and that a new process can be interrupted all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from matrix.interrupts import STOPPING, block_stopping


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
