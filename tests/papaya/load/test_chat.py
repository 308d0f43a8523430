"""The load as a judge: what a faulty server does to one client is told."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from papaya.key import LENGTH
from papaya.load.chat import Load

KEY = b"k" * LENGTH
STAMP = b"2026-11-22T23:59:59Z "
Fault = Callable[[list[bytes]], list[bytes]]


class Faulty:
    """A server in a thread; ``fault`` changes what the first client is sent of a few lines."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.held: list[bytes] = []
        self.clients: dict[socket.socket, bytes] = {}
        self.selector = selectors.DefaultSelector()

    def serve(self, listening: socket.socket, ended: socket.socket) -> None:
        self.selector.register(listening, selectors.EVENT_READ)
        self.selector.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is ended:
                    return
                if source is listening:
                    client, _ = listening.accept()
                    self.clients[client] = b""
                    self.selector.register(client, selectors.EVENT_READ)
                else:
                    self.take(source)

    def take(self, client: socket.socket) -> None:
        data = client.recv(65536)
        if not data:
            self.selector.unregister(client)
            del self.clients[client]
            client.close()
            return
        *lines, self.clients[client] = (self.clients[client] + data).split(b"\n")
        for line in lines:
            self.say(STAMP + line.removeprefix(KEY) + b"\n")

    def say(self, line: bytes) -> None:
        first, *others = self.clients
        for other in others:
            other.sendall(line)
        if b"hello" in line:
            first.sendall(line)
            return
        self.held.append(line)
        if len(self.held) == 4:
            first.sendall(b"".join(self.fault(self.held)))
            self.held = []


@contextmanager
def served(fault: Fault) -> Iterator[tuple[str, int]]:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        faulty = Faulty(fault)
        serving = threading.Thread(target=faulty.serve, args=(listening, theirs))
        serving.start()
        try:
            yield listening.getsockname()
        finally:
            ours.close()
            serving.join()
            for client in faulty.clients:
                client.close()
            faulty.selector.close()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda four: four, {"perfect": True, "lost": 0, "torn": 0, "duplicated": 0}),
        (lambda four: four[1:], {"lost": 5, "torn": 0, "duplicated": 0}),
        (lambda four: [*four, four[0]], {"lost": 0, "torn": 0, "duplicated": 5}),
        (
            lambda four: four[::-1],
            {"lost": 0, "torn": 0, "duplicated": 0, "disordered": 1, "same_order": False},
        ),
        (lambda four: [four[0][:30], *four[1:]], {"lost": 10, "duplicated": 0}),
        (lambda four: [four[0][:40] + four[0][41:], *four[1:]], {"lost": 5, "duplicated": 0}),
    ],
    ids=["none", "loss", "duplication", "disorder", "a line run into the next", "a byte less"],
)
def test_what_a_faulty_server_does_is_told(fault: Fault, told: dict[str, object]) -> None:
    with served(fault) as address, Load(address, KEY) as load:
        load.join(4)
        result = load.exchange(5, timeout=0.5)
        assert {name: getattr(result, name) for name in told} == told, result
        assert result.perfect == ("perfect" in told)
        assert (result.torn > 0) == (result.lost > 0 and told.get("torn") is None)
