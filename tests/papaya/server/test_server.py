"""The service around every engine: keys, limits, signals, the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from papaya.key import LENGTH
from papaya.server.status import read_counters
from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    every_engine,
    load_for,
    runs,
    until,
)
from tests.worlds import needs_linux


@every_engine
def test_a_key_in_many_parts_and_a_wrong_one(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "0")
    with socket.create_connection(server.address, timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(LENGTH):
            client.sendall(server.key[at : at + 1])
        client.sendall("\nann: grüezi\n".encode())
        assert client.recv(1000).endswith("ann: grüezi\n".encode())
    for wrong in (b"0" * LENGTH, server.key[:-1] + b"x", b"GET / HTTP/1.1\r\n" * 20):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(wrong + b"eve: hello\n")
            assert is_closed(client)
    until(lambda: server.read_errors().count("refused 127.0.0.1 port") == 3)
    assert b"eve" not in server.read_log()


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


@every_engine
def test_garbage_is_no_key(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "0", "--auth-timeout", "0.5")
    with load_for(server) as load:
        load.join(1)
        given = [b"\0" * LENGTH, os.urandom(4 * LENGTH), b"\n" * 70000, server.key[::-1], b"\xff"]
        for garbage in given:
            with socket.create_connection(server.address, timeout=20) as client:
                with contextlib.suppress(ConnectionError):  # It may have seen enough.
                    client.sendall(garbage)
                assert is_closed(client)
        until(lambda: server.read_errors().count("refused 127.0.0.1 port") == len(given), load)
        assert load.exchange(2).perfect
        assert server.read_log().count(b"\n") == 1 + 2


@every_engine
def test_whoever_sends_no_key_is_let_go(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--auth-timeout", "0.5")
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(server.key[:-1])
        assert is_closed(client)
    until(lambda: "no key in time" in server.read_errors())


@every_engine
def test_an_address_with_wrong_keys_waits_longer_each_time(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "60")
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(b"0" * LENGTH)
        assert is_closed(client)
    until(lambda: "wrong key" in server.read_errors())
    with socket.create_connection(server.address, timeout=20) as client:
        assert is_closed(client)
    until(lambda: "wrong key before" in server.read_errors())


@every_engine
def test_500_connections_that_never_send_a_key(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--auth-timeout", "6", "--max-unauthenticated", "50")
    with load_for(server) as load:
        load.join(8)
        silent = [socket.create_connection(server.address, timeout=20) for _ in range(500)]
        result = load.exchange(20)
        assert result.perfect, result
        status = server.log_path + ".status"
        until(lambda: read_counters(status)["refused"] >= 475)  # type: ignore[operator]
        assert read_counters(status)["waiting"] <= 25  # type: ignore[operator]
        if sys.platform == "linux":
            assert sum(map(len, descendants(server.process.pid).values())) <= 2 * 8 + 1
        for connection in silent:
            connection.settimeout(20)
            assert is_closed(connection)
            connection.close()
        until(lambda: read_counters(server.log_path + ".status")["waiting"] == 0)
        load.join(1)
        check_streams(load, server.read_log)


@every_engine
def test_no_more_clients_than_allowed(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-clients", "3")
    with load_for(server) as load:
        load.join(3)
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(server.key)
            assert is_closed(client)
        assert load.exchange(3).perfect
        assert read_counters(server.log_path + ".status")["clients"] == 3


@every_engine
def test_of_a_client_that_is_refused_nothing_is_kept(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-clients", "3", "--auth-timeout", "60")
    with load_for(server) as load, contextlib.ExitStack() as stack:
        late = [stack.enter_context(socket.create_connection(server.address)) for _ in range(4)]
        until(lambda: read_counters(server.log_path + ".status")["waiting"] == 4)
        *_, leaving = load.join(3)
        for connected in late[:3]:
            connected.settimeout(20)
            connected.sendall(server.key + b"eve: in the log?\n")
        for connected in late[:3]:
            assert is_closed(connected)
        until(lambda: server.read_errors().count("too many clients") == 3)
        assert read_counters(server.log_path + ".status")["refused"] == 3
        assert b"eve" not in server.read_log()
        assert load.exchange(3).perfect
        # Now one more client is allowed.
        load.leave(leaving)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 2)
        late[3].sendall(server.key + b"eve: now\n")
        until(lambda: b"eve: now" in server.read_log(), load)
        check_streams(load, server.read_log)


@every_engine
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_with_every_line(engine: str, signum: int, serve: Serve) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        deaf, *_ = load.join(8)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        load.stop_reading(deaf)
        result = load.exchange(30, size=2000)
        assert result.perfect
        before = descendants(server.process.pid) if sys.platform == "linux" else {}
        started = time.monotonic()
        assert server.stop(signum) == 0
        assert time.monotonic() - started < 2
        assert server.read_log().count(b"\n") == 8 + 8 * 30 - 30
        assert not any(os.path.exists(f"/proc/{pid}") for pid in before)
        assert not os.path.exists(server.log_path + ".status")


@needs_linux
@every_engine
def test_killed_it_leaves_no_orphan_and_no_torn_line(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        load.join(16)
        victims = [pid for pids in descendants(server.process.pid).values() for pid in pids]

        def kill(sent: int) -> None:
            if sent == 200:
                os.kill(server.process.pid, signal.SIGKILL)

        load.exchange(40, after_each=kill, timeout=10)
        server.stop(signal.SIGKILL)
        until(lambda: not any(runs(pid) for pid in victims))
        delivered = {line for member in load.members for line in member.lines()}
    with open(server.log_path, "ab") as log:
        log.write(b"2026-11-23T00:00:00Z torn")
    # SIGKILL may interrupt a write of several lines between two pages and tear a line by itself.
    torn = server.read_log().rpartition(b"\n")[2]
    again = serve("--engine", engine)
    assert f"cut {len(torn)} bytes" in again.read_errors()
    lines = again.read_log().splitlines()
    assert again.read_log().endswith(b"\n")
    assert delivered <= set(lines)
    with load_for(again) as load:
        load.join(2)
        assert load.exchange(2).perfect
