"""Admission: which connection is let in, and which gives way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from papaya import config
from papaya.key import LENGTH
from papaya.server.admission import Admission
from papaya.server.connection import Connection

KEY = b"k" * LENGTH


class Service:
    """Takes the place of the service; `step` is a round of its loop."""

    def __init__(self, **entries: Any) -> None:
        self.lines: list[str] = []
        self.log_event = self.lines.append
        self.watched: dict[socket.socket, Callable[[], object]] = {}
        self.served: list[int] = []
        """The ports of the clients that the engine was given."""
        self.leaving = 0
        """Clients whose end the engine has not reported yet."""
        self.now = 0.0
        options = {"key": "/k", "log": "/l", **entries}
        self.admission = Admission(
            self,  # type: ignore[arg-type]
            config.load(None, options),
            KEY,
            clock=lambda: self.now,
        )
        self.sockets: list[socket.socket] = []
        self.last_port = 0

    def watch(self, source: socket.socket, callback: Callable[[], object]) -> None:
        assert source not in self.watched
        self.watched[source] = callback

    def unwatch(self, source: socket.socket) -> None:
        del self.watched[source]

    def serve_client(self, accepted: socket.socket, connection: Connection) -> bool:
        self.served.append(connection.port)
        self.sockets.append(accepted)
        return True

    def update_clients(self) -> None:
        while self.leaving:
            self.leaving -= 1
            self.admission.remove_client()

    def step(self, seconds: float = 0) -> None:
        self.now += seconds
        for callback in list(self.watched.values()):
            callback()
        self.admission.tidy()

    def connect(self, data: bytes = b"", host: str = "192.0.2.1") -> socket.socket:
        """Connect from the next port, with ``data`` in the first packet."""
        client, accepted = socket.socketpair()
        client.settimeout(20)
        self.sockets.append(client)
        self.last_port += 1
        if data:
            client.sendall(data)
        self.admission.add(accepted, Connection(host, self.last_port))
        return client


@pytest.fixture
def make() -> Iterator[Callable[..., Service]]:
    """Return a function that makes a service."""
    made: list[Service] = []

    def make_service(**entries: Any) -> Service:
        made.append(Service(**entries))
        return made[-1]

    yield make_service
    for service in made:
        service.admission.close()
        assert not service.watched
        assert service.admission.waiting == 0
        for one in service.sockets:
            one.close()


Make = Callable[..., Service]


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_key_that_is_there_already_is_read_at_once(make: Make) -> None:
    service = make()
    service.connect(KEY + b"ann: hello\n")
    assert service.served == [1]
    assert service.admission.waiting == 0
    # What comes after the key is the engine's.
    assert service.sockets[-1].recv(100) == b"ann: hello\n"


def test_a_key_in_pieces(make: Make) -> None:
    service = make()
    client = service.connect(KEY[:1])
    for at in range(1, LENGTH):
        service.step()
        assert service.served == []
        assert service.admission.waiting == 1
        client.sendall(KEY[at : at + 1])
    service.step()
    assert service.served == [1]


def test_the_oldest_gives_way_and_not_one_whose_key_has_come(make: Make) -> None:
    service = make(max_unauthenticated=4)
    hosts = [f"192.0.2.{number}" for number in range(1, 5)]
    clients = [service.connect(host=host) for host in hosts]
    clients[0].sendall(KEY)  # No round of the loop has read it.
    clients.append(service.connect(host="192.0.2.5"))
    assert service.served == [1]
    assert service.lines == []
    clients.append(service.connect(host="192.0.2.6"))
    assert service.lines == ["refused 192.0.2.2 port 2: too many connections without a key"]
    assert [is_closed(client) for client in clients[1:]] == [True, False, False, False, False]
    assert (service.admission.waiting, service.admission.refused) == (4, 1)


def test_a_source_has_half_and_its_own_oldest_gives_way(make: Make) -> None:
    service = make(max_unauthenticated=10)
    other = service.connect(host="198.51.100.1")
    flood = [service.connect(host=f"2001:db8::{number:x}") for number in range(1, 101)]
    assert not is_closed(other)
    assert [is_closed(client) for client in flood] == 95 * [True] + 5 * [False]
    assert service.admission.refused == 95
    # One from the same source that sends its key within the next four connections is let in.
    honest = service.connect(host="2001:db8::ffff")
    for _ in range(4):
        service.connect(host="2001:db8::1")
    assert service.served == []
    honest.sendall(KEY)
    service.step()
    assert len(service.served) == 1


def test_the_source_with_the_most_gives_way(make: Make) -> None:
    service = make(max_unauthenticated=10)
    first = service.connect(host="198.51.100.1")
    crowd = [service.connect() for _ in range(5)]
    few = [service.connect(host=f"198.51.100.{number}") for number in range(2, 6)]
    new = service.connect(host="203.0.113.1")
    closed = [is_closed(client) for client in (first, *crowd, *few, new)]
    assert closed == [False, True, *9 * [False]]


def test_a_wrong_key_and_none_in_time(make: Make) -> None:
    service = make(auth_timeout=5.0, backoff=1.0)
    silent = service.connect(KEY[:-1], host="192.0.2.7")
    late = service.connect(host="192.0.2.8")
    assert service.admission.measure_rest() == 5
    wrong = service.connect(b"x" * LENGTH + b"eve: hello\n")
    assert wrong.recv(1) == b""
    assert service.connect(KEY).recv(1) == b""
    service.now = 5
    late.sendall(KEY)  # It came before the end, but no round of the loop has read it.
    service.admission.tidy()
    assert silent.recv(1) == b""
    assert service.lines == [
        "refused 192.0.2.1 port 3: wrong key",
        "refused 192.0.2.1 port 4: wrong key before",
        "refused 192.0.2.7 port 1: no key in time",
    ]
    assert service.served == [2]
    assert service.admission.refused == 3
    assert service.admission.measure_rest() is None


def test_wrong_keys_of_a_source_are_logged_in_a_flood(make: Make) -> None:
    service = make(backoff=0.0, max_unauthenticated=1)
    for _ in range(100):
        service.connect(host="192.0.2.9")
    for _ in range(100):
        service.connect(b"x" * LENGTH, host="192.0.2.10")
    assert sum("wrong key" in line for line in service.lines) == 5
    assert service.admission.refused == 99 + 100
    assert service.admission.measure_rest() == 5.0  # The one that is left.
    service.step(10)
    assert service.lines[-1].startswith("174 more refused in the last 10 s: ")


def test_one_that_leaves_without_a_key_is_no_refusal(make: Make) -> None:
    service = make()
    service.connect(KEY[:50]).close()
    service.step()
    assert (service.admission.waiting, service.admission.refused) == (0, 0)
    assert service.lines == []


def test_at_the_limit_a_client_waits_for_a_place(make: Make) -> None:
    service = make(max_clients=1)
    service.connect(KEY)
    again, late = service.connect(KEY + b"ann: again\n"), service.connect(KEY)
    assert (service.served, service.admission.waiting) == ([1], 2)
    assert service.admission.measure_rest() == 3
    service.admission.remove_client()
    assert service.admission.measure_rest() == 0
    service.step()
    assert service.served == [1, 2]
    assert not is_closed(again)
    service.step(2.9)
    assert not is_closed(late)
    service.step(0.1)
    assert is_closed(late)
    assert service.lines == ["refused 192.0.2.1 port 3: too many clients"]


def test_a_crowd_at_the_limit_waits_while_places_become_free(make: Make) -> None:
    """A busy engine may take longer to clean up than one client would wait."""
    service = make(max_clients=20)
    for _ in range(20):
        service.connect(KEY)
    crowd = [service.connect(KEY) for _ in range(20)]
    for number in range(1, 11):
        service.step(2.5)
        service.leaving = 1
        service.update_clients()
        service.step()
        assert len(service.served) == 20 + number
    assert not any(map(is_closed, crowd))
    service.step(2.9)
    assert not any(map(is_closed, crowd))
    service.step(0.2)  # 3 s after the last place became free.
    assert sum(map(is_closed, crowd)) == 10


def test_at_the_limit_no_client_waits_for_ever(make: Make) -> None:
    service = make(max_clients=20)
    for _ in range(20):
        service.connect(KEY)
    crowd = [service.connect(KEY) for _ in range(20)]
    for _ in range(14):
        service.step(2.1)
        service.leaving = 1
        service.update_clients()
        service.step()
    assert not any(map(is_closed, crowd))
    service.step(0.7)
    assert sum(map(is_closed, crowd)) == 6


def test_at_the_limit_the_engine_is_asked_first(make: Make) -> None:
    service = make(max_clients=1)
    service.connect(KEY)
    service.leaving = 1
    service.connect(KEY)
    assert service.served == [1, 2]


def test_a_client_that_cannot_be_served_is_disconnected(make: Make) -> None:
    service = make()
    service.serve_client = lambda *_: False  # type: ignore[method-assign]
    client = service.connect(KEY + b"x: y\n")
    assert client.recv(1) == b""
    assert service.admission.clients == 0
