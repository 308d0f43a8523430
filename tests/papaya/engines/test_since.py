"""A client that was connected before is sent what it missed, if it asks with the key."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path

import pytest

from papaya.protocol import format_request, make_stamp, stamp_lines
from papaya.selftest import Server
from tests.papaya.conftest import Serve, every_engine

HISTORY = 7
START = 1_795_000_000
NUMBERS = itertools.count()


def write_log(folder: Path, count: int, text: bytes = b"bob: ") -> list[bytes]:
    """Write a log with two lines in each second, and return them with their times."""
    lines = [
        stamp_lines([text + b"%d" % number], make_stamp(START + number // 2))
        for number in range(count)
    ]
    (folder / "chat.log").write_bytes(b"".join(lines))
    return lines


def receive(connected: socket.socket, end: bytes) -> bytes:
    """Read until what came ends with ``end``."""
    said = b""
    while not said.endswith(end):
        data = connected.recv(65536)
        assert data, said
        said += data
    return said


def join(server: Server, *parts: bytes) -> bytes:
    """Send the key and what follows, and return what comes before a line of the client."""
    last = b"ann: here %d\n" % next(NUMBERS)
    with socket.create_connection(server.address, timeout=20) as connected:
        connected.sendall(server.key + parts[0])
        for part in parts[1:]:
            time.sleep(0.05)  # So that it comes later; if it does not, the answer is the same.
            connected.sendall(part)
        connected.sendall(last)
        return receive(connected, b"Z " + last)[: -len(last) - 21]


def ask(seconds: int) -> bytes:
    return format_request(make_stamp(seconds))


@every_engine
def test_it_begins_with_the_second_that_is_asked_for(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    lines = write_log(tmp_path, 100)
    server = serve("--engine", engine)
    said = join(server, ask(START + 20))
    assert said == b"".join(lines[40:])
    # What the client says in the same packet is not lost.
    assert join(server, ask(START + 21) + b"ann: quick\n").startswith(b"".join(lines[42:]))
    assert server.read_log().count(b"Z ann: quick\n") == 1
    assert b"\x01" not in server.read_log()
    # Of another file than the client was sent last, everything is later.
    assert join(server, ask(START - 1)).startswith(b"".join(lines))


@every_engine
def test_what_is_no_request_changes_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    lines = write_log(tmp_path, 100)
    server = serve("--engine", engine, "--history", "7")
    said = [
        join(server, b""),
        join(server, ask(START + 10**6)),  # The server's clock was set back since.
        join(server, ask(START + 48)),  # Less than the history.
        join(server, b"\x01\x10\x11\n"),
        join(server, b"\x01" + b"\x1f" * 14 + b"\n"),
        join(server, b"", ask(START)),  # Too late: it is a line without content.
    ]
    assert said[0] == b"".join(lines[-HISTORY:])
    for one in said:
        assert one.count(b"\n") == HISTORY
        assert b"\x01" not in one


@every_engine
def test_who_missed_too_much_is_sent_the_last_lines(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    write_log(tmp_path, 3000, b"bob: " + b"x" * 1000)
    server = serve("--engine", engine)
    assert join(server, ask(START)).count(b"\n") == HISTORY
    near = join(server, ask(START + 1400))
    assert near.count(b"\n") == 200 + 1  # With the line of the first client.


@pytest.mark.parametrize("count", [200])
def test_a_crowd_is_sent_what_each_missed(count: int, serve: Serve, tmp_path: Path) -> None:
    lines = write_log(tmp_path, 2 * count)
    server = serve("--engine", "pool", "--workers", "2", "--fill", "1")
    connections = []
    try:
        for number in range(count):
            connected = socket.create_connection(server.address, timeout=20)
            connections.append(connected)
            connected.sendall(server.key + ask(START + number))
        for number, connected in enumerate(connections[:-4]):
            said = receive(connected, lines[-1])
            assert said == b"".join(lines[2 * number :])
    finally:
        for connected in connections:
            connected.close()
