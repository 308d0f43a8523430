"""A server for a test, and the oracle: the log says what everybody must have been sent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import probes
from papaya.key import LENGTH
from papaya.load.chat import Load, Member
from papaya.selftest import Server
from papaya.settings import NEEDED

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The facts of this host, measured once for all servers."""
    path = tmp_path_factory.mktemp("facts") / "report.json"
    probes.measure(only=NEEDED).save(path)
    return path


@pytest.fixture
def serve(tmp_path: Path, facts: Path) -> Iterator[Serve]:
    """Starts servers; each is ended with the test, and leaves no process."""
    servers: list[Server] = []

    def start(*options: str, folder: str | None = None, wait: bool = True, **more: Any) -> Server:
        where = folder or str(tmp_path)
        server = Server(where, "--report", str(facts), *options, wait=False, **more)
        servers.append(server)  # Before it is waited for, so that a failure of that ends it.
        if wait:
            server.wait_until_listening()
        return server

    yield start
    # All are ended before any is judged, so that none outlives a failure.
    ended = []
    for server in servers:
        ran = server.process.poll() is None
        try:
            status = server.stop()  # Of one that has ended it closes what is open.
            ended.append(status if ran else 0)
        except subprocess.TimeoutExpired:
            ended.append(server.stop(signal.SIGKILL))
    for server, status in zip(servers, ended, strict=True):
        assert status == 0, server.read_errors()
        assert "Traceback" not in server.read_errors()
        assert "failed" not in server.read_errors()


class Fake:
    """A server that is told what to say, and takes what comes."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "key"
        self.key.write_text("ab" * 64)
        self.key.chmod(0o600)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(20)
        self.options = [
            f"127.0.0.1:{self.listening.getsockname()[1]}",
            *("--key", str(self.key), "--name", "ann"),
        ]

    def joined(self, history: bytes) -> socket.socket:
        """The next that connects, which is sent ``history``."""
        client, _ = self.listening.accept()
        client.settimeout(20)
        given = b""
        while len(given) < LENGTH:
            given += client.recv(LENGTH - len(given))
        client.sendall(history)
        return client


def until(condition: Callable[[], object], load: Load | None = None) -> None:
    """Wait until ``condition()`` holds; a ``load`` takes what comes meanwhile."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came true"
        if load:
            load.step(0.005)
        else:
            time.sleep(0.005)


def settle(load: Load, log: Callable[[], bytes]) -> None:
    """Wait until everybody was sent the log to its end."""
    reading = [member for member in load.members if member.reads and not member.closed]
    until(lambda: all(log().endswith(stream(m)) for m in reading), load)


def check_streams(load: Load, log: Callable[[], bytes]) -> None:
    """Everybody was sent a stretch of the log: whole lines, in order, each once, to the end."""
    settle(load, log)
    for member in load.members:
        if member.reads:
            check_stream(member, log())


def stream(member: Member) -> bytes:
    """The whole lines a client was sent of the log; what it alone was told left out."""
    return b"".join(line + b"\n" for line in member.lines() if not line.startswith(b"* "))


def check_stream(member: Member, log: bytes) -> None:
    """See `check_streams`; who was cut off has a part of it."""
    lines = stream(member)
    start = log.find(lines)
    assert start == 0 or (start > 0 and log[start - 1 : start] == b"\n"), member.name
    if not member.closed:
        assert start + len(lines) == len(log), member.name


def state(pid: int) -> str:
    """Of a process, by proc(5); Z also where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"


def runs(pid: int) -> bool:
    """Whether the process has not ended."""
    return state(pid) != "Z"


def descendants(pid: int) -> dict[int, list[int]]:
    """The process ids below ``pid``, by parent (Linux)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(") ")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(name))
    found: dict[int, list[int]] = {}
    todo = [pid]
    while todo:
        at = todo.pop()
        found[at] = children.get(at, [])
        todo += found[at]
    return found
