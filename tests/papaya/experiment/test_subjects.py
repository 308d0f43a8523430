"""Every subject that can be built here does the work that is asked of all."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from papaya.experiment import subjects
from papaya.experiment.results import folder as results
from tests.needs import needs, require
from tests.papaya.conftest import descendants
from tests.worlds import needs_linux

NAMES = list(subjects.SUBJECTS)
SINKS = [n for n, subject in subjects.SUBJECTS.items() if subject.work != results.CHAT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where they are built, once."""
    # Short: the chat's status socket is in there.
    with tempfile.TemporaryDirectory() as name:
        yield name


def made(name: str, folder: str) -> subjects.Made:
    try:
        return subjects.make(name, folder)
    except subjects.Missing as missing:
        if "C compiler" in str(missing):
            require("cc")
        pytest.skip(str(missing))


def size(path: Path, wanted: int) -> int:
    """Bytes in the file, as soon as there are that many."""
    until = time.monotonic() + 20
    while (found := path.stat().st_size) < wanted and time.monotonic() < until:
        time.sleep(0.005)
    return found


@pytest.mark.parametrize("name", SINKS)
def test_what_is_read_is_written(name: str, folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as file:
        process, address = subjects.start(
            made(name, folder), str(tmp_path), lambda: None, file.fileno()
        )
    with process:
        try:
            clients = [socket.create_connection(address) for _ in range(3)]
            for client in clients:
                # More than a read takes.
                client.sendall(b"abcdefghij" * 1000)
            quoted = name == "go-goroutines-original"
            wanted = 30_000
            if subjects.SUBJECTS[name].work == results.ORIGINAL and not quoted:
                wanted = 3 * 8192  # What stdio holds back of each process is less than 4 KiB.
            assert size(out, wanted) >= wanted
            for client in clients:
                client.close()
            if not quoted:
                # Its processes end by _exit, and what stdio still holds is lost.
                assert name == "c-processes-original" or size(out, 30_000) == 30_000
                assert set(out.read_bytes()) == set(b"abcdefghij")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert process.stderr
            assert process.stderr.read() == b""


@needs_linux
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_it_is_left(name: str, folder: str, tmp_path: Path) -> None:
    subject = made(name, folder)
    process, address = subjects.start(subject, folder, lambda: None)
    with process:
        clients = [socket.create_connection(address) for _ in range(5)]
        for client in clients:
            client.sendall((subject.key or b"") + b"x: hello\n")
        # Each is being served when it ends: a process or two of its own, where that is its way.
        below = set(descendants(process.pid))
        if "processes" in name:
            until = time.monotonic() + 20
            while len(below) < 6 and time.monotonic() < until:
                below = set(descendants(process.pid))
            assert len(below) == 6
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        for client in clients:
            client.close()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    until = time.monotonic() + 20
    while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    for name, said in (
        ("c-epoll", "a C compiler is not installed; install"),
        ("go-goroutines", "Go is not installed; pip"),
    ):
        with pytest.raises(subjects.Missing, match=said):
            subjects.make(name, str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(subjects.Missing, match="gevent is not installed; pip install gevent"):
        subjects.make("python-gevent", str(tmp_path))


def test_one_that_does_not_start_says_why(folder: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\necho 'no luck today' >&2\nexit 3\n")
    bad.chmod(0o755)
    subject = subjects.Made(subjects.SUBJECTS["c-epoll"], (str(bad),), "none")
    with pytest.raises(subjects.NotStarted, match="no luck today"):
        subjects.start(subject, str(tmp_path), lambda: None)


def test_one_that_says_no_port_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "_LIMIT", 0.1)
    silent = subjects.Made(subjects.SUBJECTS["c-epoll"], ("sleep", "1000"), "")
    with pytest.raises(subjects.NotStarted, match="no port printed within"):
        subjects.start(silent, str(tmp_path), lambda: None)


@pytest.mark.parametrize("before_exec", [False, True])
def test_an_interrupt_while_one_starts_leaves_nothing(tmp_path: Path, before_exec: bool) -> None:
    def interrupt() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)

    script = (
        "exec sleep 1000" if before_exec else 'echo $$ >pid; kill -INT "$PPID"; exec sleep 1000'
    )
    slow = subjects.Made(subjects.SUBJECTS["c-epoll"], ("sh", "-c", script), "")
    with pytest.raises(KeyboardInterrupt):
        subjects.start(slow, str(tmp_path), interrupt if before_exec else lambda: None)
    with pytest.raises(ProcessLookupError):
        os.killpg(int((tmp_path / "pid").read_text()), 0)


@needs("cc")
def test_a_compiler_that_fails_leaves_the_subject_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = tmp_path / "cc"
    bad.write_text("#!/bin/sh\necho 'cc: internal error' >&2\nexit 1\n")
    bad.chmod(0o755)
    monkeypatch.setenv("CC", str(bad))
    with pytest.raises(subjects.Missing, match="internal error"):
        subjects.make("c-epoll", str(tmp_path))
    assert os.listdir(tmp_path) == ["cc"]
