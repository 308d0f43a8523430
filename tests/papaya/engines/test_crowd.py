"""Crowds with every engine: no honest client is turned away, and no log is flooded."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from papaya.key import LENGTH
from papaya.selftest import Server
from papaya.server.status import read_counters
from tests.papaya.conftest import Serve, check_streams, every_engine, load_for, until
from tests.worlds import needs_linux


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Raise the limit of open files: three thousand clients are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip("needs 8192 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def get_counters(server: Server) -> dict[str, Any]:
    return read_counters(server.log_path + ".status")


def check_none_refused(server: Server) -> None:
    assert get_counters(server)["refused"] == 0
    assert "refused" not in server.read_errors()


def connect_all(
    stack: contextlib.ExitStack, server: Server, count: int, line: bytes = b"ann: hello\n"
) -> list[socket.socket]:
    """Connect that many clients, each with the key and a line in the first packet."""
    made = []
    for _ in range(count):
        client = stack.enter_context(socket.create_connection(server.address, timeout=20))
        client.sendall(server.key + line)
        made.append(client)
    return made


@every_engine
def test_crowds_with_the_key_in_the_first_packet(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--history", "0")
    for size in 3 * ((64, 100) if engine == "fork" else (64, 100, 200, 300)):
        before = get_counters(server)["lines"]
        with contextlib.ExitStack() as stack:
            connect_all(stack, server, size)
            until(lambda: get_counters(server)["lines"] == before + size)  # noqa: B023
            check_none_refused(server)
            assert get_counters(server)["clients"] == size
        until(lambda: get_counters(server)["clients"] == 0)


@every_engine
def test_max_clients_that_come_back_at_once(engine: str, serve: Serve) -> None:
    """A crowd as large as the limit, twice: the second comes before the first is forgotten."""
    size = 300 if engine == "fork" else 3000
    server = serve("--engine", engine, "--history", "1", "--max-clients", str(size))
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(server.key + b"ann: welcome\n")
        assert client.recv(100).endswith(b" ann: welcome\n")
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            for client in connect_all(stack, server, size, line=b""):
                assert client.recv(100).endswith(b" ann: welcome\n")
            check_none_refused(server)
            assert get_counters(server)["clients"] == size


@every_engine
def test_a_client_at_the_limit_that_comes_back(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-clients", "1", "--history", "0")
    for number in range(1, 31):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(server.key + b"ann: %d\n" % number)
            assert client.recv(100).endswith(b" ann: %d\n" % number)
    check_none_refused(server)


@every_engine
def test_300_quick_visits(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    for number in range(300):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(server.key + b"visitor: %d\n" % number)
    until(lambda: get_counters(server)["lines"] == 300)
    said = re.findall(rb" visitor: (\d+)\n", server.read_log())
    assert sorted(map(int, said)) == list(range(300))
    check_none_refused(server)


@every_engine
def test_500_silent_connections_leave_room(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--auth-timeout", "60")
    with contextlib.ExitStack() as stack, load_for(server) as load:
        for _ in range(500):
            stack.enter_context(socket.create_connection(server.address, timeout=20))
        until(lambda: get_counters(server)["waiting"] == 500)
        load.join(8)
        assert load.exchange(3).perfect
        check_streams(load, server.read_log)
        # The silent ones are as many as one address may have: some had to give way.
        assert get_counters(server)["waiting"] >= 500 - 8


class Flood:
    """Keep ``count`` keyless connections open, and connect again whenever one is closed."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self.address, self.count = address, count
        self.refilled = 0
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._fill, args=(n,)) for n in range(3)]

    def __enter__(self) -> Flood:
        for one in self.threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for one in self.threads:
            one.join()

    def _fill(self, number: int) -> None:
        import selectors

        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            while not self.ending.is_set():
                while len(selector.get_map()) < self.count // len(self.threads):
                    with contextlib.suppress(OSError):
                        made = socket.create_connection(self.address, timeout=20)
                        stack.callback(made.close)
                        selector.register(made, selectors.EVENT_READ)
                for key, _ in selector.select(0.02):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    self.refilled += 1


@contextlib.contextmanager
def join(server: Server, number: int, source: str) -> Iterator[bool]:
    """Join from an address, say hello, and yield whether it came back, while connected."""
    with socket.create_connection(server.address, 20, (source, 0)) as client:
        got = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(server.key + b"c%d: hello\n" % number)
            while b" c%d: hello\n" % number not in got and (data := client.recv(1000)):
                got += data
        yield b" c%d: hello\n" % number in got


@needs_linux
@every_engine
def test_a_flood_of_keyless_connections_keeps_no_one_out(engine: str, serve: Serve) -> None:
    """From one address, with room for fewer; honest clients join from this one and another.

    Between connect() and the key a client of the flood's address is one of the flood: on a busy
    machine it may have to try again.  One of another address never has.
    """
    server = serve("--engine", engine, "--max-unauthenticated", "100", "--history", "0")
    with Flood(server.address, 150) as flood, contextlib.ExitStack() as stack:
        until(lambda: flood.refilled > 100)
        for number in range(24):
            tries = ["127.0.0.2"] if number % 2 else ["127.0.0.1"] * 3
            joined = (stack.enter_context(join(server, number, source)) for source in tries)
            assert any(joined), f"{number} was refused"
        counters = get_counters(server)
        assert counters["clients"] == 24
        assert counters["waiting"] <= 51
        assert counters["refused"] >= 100
    server.stop()
    lines = [line for line in server.read_errors().splitlines() if "refused" in line]
    # 20, one a second, and a summary every 10 s.
    assert 20 <= len(lines) <= 21 + 1.2 * counters["seconds"]
    assert re.fullmatch(
        r"papaya: \d+ more refused in the last \d+ s: \d+ too many connections without a key",
        lines[-1],
    )
    counted = [int(n) for line in lines for n in re.findall(r"(\d+) more refused", line)]
    assert len(lines) - len(counted) + sum(counted) >= flood.refilled


@every_engine
def test_too_few_descriptors_for_all_that_may_wait(engine: str, serve: Serve) -> None:
    before = ["sh", "-c", 'ulimit -n 200 && exec "$@"', "sh"]
    server = serve("--engine", engine, "--max-clients", "50", before=before)
    said = server.read_errors()
    assert said.count("connections may wait for the key: the limit of open files is 200") == 1
    most = int(re.findall(r"only (\d+) connections", said)[0])
    with contextlib.ExitStack() as stack, load_for(server) as load:
        for _ in range(300):
            stack.enter_context(socket.create_connection(server.address, timeout=20))
        until(lambda: get_counters(server)["refused"] == 300 - most // 2)
        load.join(50)
        assert load.exchange(2).perfect
        assert "Too many open files" not in server.read_errors()


@every_engine
def test_a_key_in_pieces_among_lines(engine: str, serve: Serve) -> None:
    """The key in one packet with lines, and in two with part of a line: nothing is lost."""
    server = serve("--engine", engine, "--history", "0")
    text = b"ann: one\nann: two\n"
    for at in (1, LENGTH - 1, LENGTH, LENGTH + 5, len(server.key + text)):
        with socket.create_connection(server.address, timeout=20) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall((server.key + text)[:at])
            if at < LENGTH:
                until(lambda: get_counters(server)["waiting"] == 1)
            client.sendall((server.key + text)[at:])
            got = b""
            while got.count(b"\n") < 2:
                got += client.recv(1000)
            assert [line[21:] for line in got.splitlines()] == [b"ann: one", b"ann: two"]


@every_engine
def test_connections_without_a_key_end_with_the_service(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(server.key[:-1])
        until(lambda: get_counters(server)["waiting"] == 1)
        assert server.stop() == 0
        assert client.recv(100) == b""
    assert "refused" not in server.read_errors()
