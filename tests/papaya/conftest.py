"""A server for a test, and the oracle: the log says what each client must have been sent."""

from __future__ import annotations

import contextlib
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
from papaya import engines
from papaya.key import LENGTH
from papaya.load.chat import Load, Member
from papaya.selftest import Server
from papaya.settings import NEEDED

Serve = Callable[..., Server]

ENGINES = engines.list_engines()
every_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measure the facts of this host, once for all servers."""
    path = tmp_path_factory.mktemp("facts") / "report.json"
    probes.measure(only=NEEDED).save(path)
    return path


@pytest.fixture
def serve(tmp_path: Path, facts: Path) -> Iterator[Serve]:
    """Return a function that starts servers; each is stopped after the test."""
    servers: list[Server] = []

    def start(*options: str, folder: str | None = None, wait: bool = True, **more: Any) -> Server:
        where = folder or str(tmp_path)
        # The engine pool serves these few clients with several workers.
        given = ("--report", str(facts), "--fill", "4", *options)
        server = Server(where, *given, wait=False, **more)
        servers.append(server)  # Before the wait, so that it is stopped if the wait fails.
        if wait:
            server.wait_until_listening()
        return server

    yield start
    # Stop all servers before any assertion, so that none outlives a failure.
    ended = []
    for server in servers:
        ran = server.process.poll() is None
        try:
            status = server.stop()  # If it has ended, this closes its pipe.
            ended.append(status if ran else 0)
        except subprocess.TimeoutExpired:
            ended.append(server.stop(signal.SIGKILL))
    for server, status in zip(servers, ended, strict=True):
        assert status == 0, server.read_errors()
        assert "Traceback" not in server.read_errors()
        assert "failed" not in server.read_errors()


class Fake:
    """A fake server that sends what the test says."""

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

    def accept(self, history: bytes) -> socket.socket:
        """Accept the next connection, read its key, and send ``history``."""
        client, _ = self.listening.accept()
        client.settimeout(20)
        given = b""
        while len(given) < LENGTH:
            given += client.recv(LENGTH - len(given))
        client.sendall(history)
        return client


def until(condition: Callable[[], object], load: Load | None = None) -> None:
    """Wait until ``condition()`` is true, and let a ``load`` receive in between."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in 20 s"
        if load:
            load.step(0.005)
        else:
            time.sleep(0.005)


def settle(load: Load, log: Callable[[], bytes]) -> None:
    """Wait until every client has been sent the log to its end."""
    reading = [member for member in load.members if member.reads and not member.closed]
    until(lambda: all(log().endswith(stream(m)) for m in reading), load)


def check_streams(load: Load, log: Callable[[], bytes]) -> None:
    """Check that each client was sent a part of the log: whole lines, in order, to the end."""
    settle(load, log)
    for member in load.members:
        if member.reads:
            check_stream(member, log())


def stream(member: Member) -> bytes:
    """Return the whole lines that a client was sent, without notices."""
    return b"".join(line + b"\n" for line in member.lines() if not line.startswith(b"* "))


def check_stream(member: Member, log: bytes) -> None:
    """See `check_streams`; a client that was disconnected need not have the end."""
    lines = stream(member)
    start = log.find(lines)
    assert start == 0 or (start > 0 and log[start - 1 : start] == b"\n"), member.name
    if not member.closed:
        assert start + len(lines) == len(log), member.name


def state(pid: int) -> str:
    """Return the state of a process (proc(5)); Z also if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"


def runs(pid: int) -> bool:
    """Return whether the process has not ended."""
    return state(pid) != "Z"


def descendants(pid: int) -> dict[int, list[int]]:
    """Return the process ids of all descendants of ``pid``, by parent (Linux)."""
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


def list_serving(server: Server) -> list[int]:
    """Return the processes that serve clients: all but the daemon and their group's leader."""
    found = []
    for pid in descendants(server.process.pid):
        with contextlib.suppress(ProcessLookupError):  # It has ended.
            if pid not in (server.process.pid, os.getpgid(pid)):
                found.append(pid)
    return sorted(found)


def load_for(server: Server, address: tuple[str, int] | None = None) -> Load:
    """Return a load for the server, at its first address or the given one."""
    return Load(address or server.address, server.key)
