"""Delivery with every engine: each client is sent every line."""

from __future__ import annotations

import contextlib
import signal
import socket
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papaya.server.status import read_counters
from tests.papaya.conftest import (
    Serve,
    check_streams,
    every_engine,
    load_for,
    settle,
    until,
)


@every_engine
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_64_clients_that_all_talk_at_once(engine: str, host: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--listen", f"{host}:0")
    with load_for(server) as load:
        load.join(64)
        result = load.exchange(50)
        assert result.delivered == 204_800
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
def test_one_port_for_both_families(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--listen", ":0", "--listen", ":0")
    port = server.addresses[0][1]
    with load_for(server, ("127.0.0.1", port)) as load:
        load.join(2)
        load.address = ("::1", port)
        load.join(2)
        assert load.exchange(5).perfect


@every_engine
def test_one_that_stops_reading_delays_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--send-timeout", "3")
    with load_for(server) as load:
        deaf, *_ = load.join(16)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        load.stop_reading(deaf)
        # More than the kernel holds for one connection.
        result = load.exchange(130, size=4000)
        assert result.perfect, result
        check_streams(load, server.read_log)
        # Later it is disconnected.
        until(lambda: "disconnected: read nothing for 3 s" in server.read_errors())
        load.exchange(1)
        assert read_counters(server.log_path + ".status")["clients"] == 15


@every_engine
def test_one_that_reads_slowly_gets_everything_and_delays_nobody(engine: str, serve: Serve) -> None:
    # It reads a little again and again, so it never stalls for the whole timeout.
    server = serve("--engine", engine, "--send-timeout", "10")
    with load_for(server) as load:
        slow, *_ = load.join(4)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        load.stop_reading(slow)

        def read(sent: int) -> None:
            if sent % 4 == 0:
                with contextlib.suppress(BlockingIOError):
                    slow.chunks.append(slow.socket.recv(4096))

        result = load.exchange(400, size=4000, after_each=read)
        assert result.perfect, result
        log = server.read_log()
        got = b"".join(slow.chunks)
        behind = len(log) - len(got)
        assert behind > 1 << 20
        slow.socket.settimeout(20)
        while not got.endswith(log[-5000:]):
            data = slow.socket.recv(1 << 20)
            assert data
            got += data
        assert log.endswith(got)
        assert read_counters(server.log_path + ".status")["clients"] == 4


@every_engine
def test_clients_that_come_and_go(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load, load_for(server) as guests:
        load.join(16)

        def meanwhile(sent: int) -> None:
            if sent % 100 == 0:
                guests.join(2)
                for guest in guests.members[:-2]:
                    guests.leave(guest)

        result = load.exchange(60, after_each=meanwhile)
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
@pytest.mark.parametrize("size", [1, 4096])
def test_messages_of_the_least_and_the_most_bytes(engine: str, size: int, serve: Serve) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        load.join(4)
        lines = [b"%c" % letter * size for letter in b"abcdefghij"]
        for member in load.members:
            for line in lines:
                load.say(member, line + b"\n")
        until(lambda: server.read_log().count(b"\n") == 44, load)
        settle(load, server.read_log)
        said = [line[21:] for line in server.read_log().splitlines() if b"hello" not in line]
        assert sorted(said) == sorted(4 * lines)
        check_streams(load, server.read_log)


@every_engine
def test_a_longer_line_is_refused_and_its_sender_told(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-line", "100")
    with load_for(server) as load:
        load.join(2)
        talker, other = load.members
        load.say(
            talker, b"x" * 100_000 + b"\nname: short\n" + b"y" * 101 + b"\n" + b"z" * 100 + b"\n"
        )
        until(lambda: b"z" * 100 + b"\n" in b"".join(talker.chunks), load)
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
        until(lambda: b"z" * 100 + b"\n" in b"".join(other.chunks), load)
        assert b"* " not in b"".join(other.chunks)
        assert [line[21:] for line in server.read_log().splitlines()][-2:] == [
            b"name: short",
            b"z" * 100,
        ]
        check_streams(load, server.read_log)


@pytest.mark.parametrize("engine", ["pool", "coroutines"])
def test_a_thousand_that_only_listen(engine: str, serve: Serve) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    server = serve("--engine", engine, "--max-clients", "1100")
    with load_for(server) as load:
        members = load.join(1000, timeout=90)
        result = load.exchange(5, senders=members[:2])
        assert result.delivered == 10_000
        assert result.perfect, result


@every_engine
def test_a_client_joins_with_the_last_lines(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--history", "3")
    with load_for(server) as load:
        (first,) = load.join(1)
        for number in range(5):
            load.say(first, b"a: %d\n" % number)
        until(lambda: len(first.lines()) == 6, load)
        (second,) = load.join(1)
        assert [line[21:] for line in second.lines()[:3]] == [b"a: 2", b"a: 3", b"a: 4"]


@every_engine
def test_garbage_hurts_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        (witness,) = load.join(1)

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(max_size=6000), st.booleans())
        def garbage(data: bytes, abrupt: bool) -> None:
            with socket.create_connection(server.address) as client:
                client.sendall(server.key + data)
                if abrupt:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        garbage()
        load.exchange(1)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 1)
        load.exchange(1)
        check_streams(load, server.read_log)
        for line in server.read_log().decode().split("\n"):  # Strictly UTF-8.
            assert not [c for c in line if unicodedata.category(c) == "Cc" and c != "\t"]
        assert witness.closed is False


@every_engine
def test_one_that_says_much_at_once_delays_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-line", "65536")
    with load_for(server) as load:
        flood, other = load.join(2)
        load.stop_reading(flood)
        said = b"f: " + b"x" * 60000 + b"\n"
        flood.socket.setblocking(True)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(flood.socket.sendall, said * 1500)
            load.say(other, b"other: now\n")
            until(lambda: b"other: now" in b"".join(other.chunks), load)
            assert not done.done()
            server.stop(signal.SIGKILL)
            with pytest.raises(OSError):  # noqa: PT011 (reset, or a broken pipe)
                done.result()


@every_engine
def test_who_sends_no_more_is_sent_everything(engine: str, serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "chat.log"
    before = b"2026-11-22T23:59:59Z x: %s\n" % (b"y" * 900) * 9000
    log.write_bytes(before)
    server = serve("--engine", engine, "--log", str(log), "--history", "9000")
    with socket.create_connection(server.address) as client:
        client.sendall(server.key + b"me: last\n")
        client.shutdown(socket.SHUT_WR)
        got = b""
        client.settimeout(20)
        while data := client.recv(1 << 20):
            got += data
    assert got.startswith(before)
    assert got.endswith(b" me: last\n")
