"""The log's lock: taken, not taken in time, and by whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from papaya.server.log_lock import LOCKS, LogBusy, LogLock, describe_holder
from tests.worlds import ROOT, needs_linux

HOLDER = """
import os, sys
from papaya.server.log_lock import LogLock
descriptor = os.open(sys.argv[1], os.O_RDWR)
LogLock(sys.argv[2], 5).take(descriptor, sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.fixture
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is stopped reading."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process


KINDS = pytest.mark.parametrize("kind", sorted(LOCKS))


@KINDS
def test_a_lock_that_is_held_is_waited_for_and_then_not(
    kind: str, path: Path, descriptor: int, holder: subprocess.Popen[str]
) -> None:
    lock = LogLock(kind, 0.2)
    began = time.monotonic()
    for _ in range(100):  # Only the first waits.
        with pytest.raises(LogBusy, match=rf"^{path}: locked by .*; end it, or wait for it$"):
            lock.take(descriptor, str(path))
    assert 0.2 <= time.monotonic() - began < 10
    assert holder.stdin
    holder.stdin.close()
    holder.wait()
    lock.take(descriptor, str(path))
    lock.release(descriptor)


@KINDS
def test_a_lock_is_had_as_soon_as_it_is_free(
    kind: str, path: Path, descriptor: int, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdin
    lock = LogLock(kind, 60)
    timer = signal.signal(signal.SIGUSR1, lambda *_: holder.stdin and holder.stdin.close())
    try:
        pid = os.fork()
        if not pid:  # Once this process sleeps in the kernel, or is about to.
            os.execlp("sh", "sh", "-c", f"sleep 0.2; kill -USR1 {os.getppid()}")
        lock.take(descriptor, str(path))
        os.waitpid(pid, 0)
    finally:
        signal.signal(signal.SIGUSR1, timer)


def test_another_timer_and_handler_are_left_as_they_were(path: Path, descriptor: int) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 100, 7)
    other = os.open(path, os.O_RDWR)
    try:
        LogLock("flock", 5).take(other, str(path))
        with pytest.raises(LogBusy):
            LogLock("flock", 0.05).take(descriptor, str(path))
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 90 < left <= 100
        assert interval == 7
        signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
        os.close(other)


@needs_linux
@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_the_holder_is_named(kind: str, descriptor: int, holder: subprocess.Popen[str]) -> None:
    name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
    assert describe_holder(descriptor) == f"process {holder.pid} ({name})"


@needs_linux
@pytest.mark.parametrize("kind", ["ofd"])
def test_an_ofd_lock_names_no_process(
    kind: str, descriptor: int, holder: subprocess.Popen[str]
) -> None:
    assert (kind, describe_holder(descriptor)) == ("ofd", "another process")
