"""Forking: the exit status, a failure, and the descriptors of a child."""

from __future__ import annotations

import os
import signal

from papaya.server.processes import close_inherited, describe_exit, fork_child


def wait(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def test_a_child_exits_with_its_result() -> None:
    assert describe_exit(wait(fork_child(lambda: 7, print))) == "exit status 7"


def test_a_child_that_fails_logs_one_line() -> None:
    reading, writing = os.pipe()

    def fail() -> int:
        raise ValueError("no")

    def log_event(line: str) -> None:
        os.write(writing, line.encode())

    pid = fork_child(fail, log_event)
    os.close(writing)
    assert describe_exit(wait(pid)) == "exit status 1"
    with open(reading, "rb") as file:
        assert file.read() == b"a process failed: ValueError: no"


def test_a_child_that_is_killed_is_described_by_its_signal() -> None:
    def die() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert describe_exit(wait(fork_child(die, print))) == "SIGKILL"


def test_only_the_kept_descriptors_stay_open() -> None:
    kept, closed = os.pipe()

    def count() -> int:
        close_inherited(kept)
        os.fstat(kept)
        try:
            os.fstat(closed)
        except OSError:
            return 42
        return 0

    assert describe_exit(wait(fork_child(count, print))) == "exit status 42"
    os.close(kept)
    os.close(closed)
