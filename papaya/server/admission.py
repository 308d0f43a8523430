"""Admission: hold each connection until it has sent the key, then pass it to the engine.

A connection without the key costs a descriptor of the daemon and no process.  At most ``limit``
wait at a time, half of them from one source.  A new connection beyond that takes the place of
the one that has waited longest: clients send the key within one round trip, so theirs are among
the youngest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..key import LENGTH, is_same
from ..protocol import REQUEST_LENGTH, parse_request
from .backoff import Backoff, get_source
from .refusals import RefusalLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config
    from .connection import Connection
    from .server import Service

WRONG_KEY, WRONG_BEFORE, NO_KEY = "wrong key", "wrong key before", "no key in time"
CROWDED, FULL = "too many connections without a key", "too many clients"
"""Why connections are refused."""

_PATIENCE, _MOST_PATIENCE = 3.0, 30.0
"""Seconds that a client with the key waits for a place, from the last time that one became free,
and in all.

A crowd that reconnects may come before the engine has cleaned up after all of it.
"""
_ALWAYS_LOGGED = 5
"""Wrong keys of one source that are logged in any case, as many as fail2ban's ``maxretry``."""


@dataclass(eq=False)
class _Waiting:
    """A connection that has not been admitted, and how long it may wait."""

    socket: socket.socket
    connection: Connection
    source: str
    until: float
    partial_key: bytes = b""


class Admission:
    """Decide which connections become clients, and count them."""

    def __init__(
        self,
        service: Service,
        config: Config,
        key: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.key = key
        self.clock = clock
        self.limit = config.max_unauthenticated
        self.max_clients = config.max_clients
        self.auth_timeout = config.auth_timeout
        self.backoff = Backoff(config.backoff, clock)
        self.refusals = RefusalLog(service.log_event, clock)
        self.keyless: dict[_Waiting, None] = {}
        """In the order of their arrival, as in ``sources``."""
        self.sources: dict[str, dict[_Waiting, None]] = {}
        """The same connections by source."""
        self.queue: deque[_Waiting] = deque()
        """Connections that have sent the key, but for which there is no place yet."""
        self.clients = 0
        self.refused = 0
        self.freed_at = clock()
        """When a client left last."""

    @property
    def waiting(self) -> int:
        """The number of connections that have not been admitted yet."""
        return len(self.keyless) + len(self.queue)

    def add(self, accepted: socket.socket, connection: Connection) -> None:
        """Take a new connection, and read at once, because the key is usually there already."""
        source = get_source(connection.host)
        new = _Waiting(accepted, connection, source, self.clock() + self.auth_timeout)
        if self.backoff.is_refused(source):
            self._refuse(new, WRONG_BEFORE)
            return
        self.keyless[new] = None
        self.sources.setdefault(source, {})[new] = None
        self.service.watch(accepted, functools.partial(self._read, new))
        if not self._read(new):
            self._make_room(source)

    def remove_client(self) -> None:
        """Discount a client that has left."""
        self.clients -= 1
        self.freed_at = self.clock()

    def measure_rest(self) -> float | None:
        """Return the seconds until `tidy` must be called; None if nothing is due."""
        if self.queue and self.clients < self.max_clients:
            return 0.0
        due = []
        if self.queue:
            due.append(self._get_end(self.queue[0]))
        if self.keyless:
            due.append(next(iter(self.keyless)).until)
        if (deadline := self.refusals.get_deadline()) is not None:
            due.append(deadline)
        return max(0.0, min(due) - self.clock()) if due else None

    def tidy(self) -> None:
        """Admit the queue to places that are free, and refuse connections whose time is over."""
        while self.queue and self.clients < self.max_clients:
            self._admit(self.queue.popleft())
        now = self.clock()
        while self.queue and self._get_end(self.queue[0]) <= now:
            self._refuse(self.queue.popleft(), FULL)
        while self.keyless and (oldest := next(iter(self.keyless))).until <= now:
            self._refuse_keyless(oldest, NO_KEY)
        if (deadline := self.refusals.get_deadline()) is not None and deadline <= now:
            self.refusals.summarize()

    def close(self) -> None:
        """Disconnect all connections that wait."""
        for one in list(self.keyless):
            self._release(one)
            _hang_up(one.socket)
        while self.queue:
            _hang_up(self.queue.popleft().socket)
        self.refusals.summarize()

    def _read(self, one: _Waiting) -> bool:
        """Read what is missing of the key; return whether the connection waits no more for it.

        What comes after the key stays in the socket for the engine.
        """
        if one not in self.keyless:
            return True  # It was closed in this round of the loop.
        try:
            data = one.socket.recv(LENGTH - len(one.partial_key), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        one.partial_key += data
        if not data:
            self._release(one)
            one.socket.close()
        elif len(one.partial_key) < LENGTH:
            return False
        elif is_same(one.partial_key, self.key):
            self._release(one)
            self.backoff.forgive(one.source)
            self._admit_or_queue(one)
        else:
            self._release(one)
            self._refuse(one, WRONG_KEY)
        return True

    def _admit_or_queue(self, one: _Waiting) -> None:
        one.partial_key = b""
        if self.clients >= self.max_clients:
            self.service.update_clients()
        if self.clients < self.max_clients and not self.queue:
            self._admit(one)
        elif len(self.queue) < max(self.limit, self.max_clients):  # A whole crowd may come back.
            one.until = self.clock() + _MOST_PATIENCE
            self.queue.append(one)
        else:
            self._refuse(one, FULL)

    def _get_end(self, one: _Waiting) -> float:
        """Return until when a client waits for a place."""
        came = one.until - _MOST_PATIENCE
        return min(one.until, max(came, self.freed_at) + _PATIENCE)

    def _admit(self, one: _Waiting) -> None:
        self.clients += 1  # Before the engine can report that the client has left.
        one.connection = dataclasses.replace(one.connection, since=_take_request(one.socket))
        if not self.service.serve_client(one.socket, one.connection):
            self.clients -= 1
            _hang_up(one.socket)

    def _make_room(self, source: str) -> None:
        """Refuse connections that have waited longest until the rest is within the limits."""
        while True:
            if len(self.sources.get(source, ())) > max(1, self.limit // 2):
                crowd = self.sources[source]
            elif len(self.keyless) > self.limit:
                crowd = max(self.sources.values(), key=len)
            else:
                return
            self._refuse_keyless(next(iter(crowd)), CROWDED)

    def _refuse_keyless(self, one: _Waiting, why: str) -> None:
        """Refuse a connection, unless its key has come in the meantime."""
        if not self._read(one):
            self._release(one)
            self._refuse(one, why)

    def _release(self, one: _Waiting) -> None:
        """Stop waiting for the key."""
        del self.keyless[one]
        same = self.sources[one.source]
        del same[one]
        if not same:
            del self.sources[one.source]
        self.service.unwatch(one.socket)

    def _refuse(self, one: _Waiting, why: str) -> None:
        self.refused += 1
        wrong = self.backoff.add(one.source) if why == WRONG_KEY else 0
        self.refusals.add(one.connection, why, always=0 < wrong <= _ALWAYS_LOGGED)
        _hang_up(one.socket)


def _take_request(accepted: socket.socket) -> int:
    """Return the stamp that a client asks for with the key, 0 if it does not.

    Other data that came after the key stays in the socket.
    """
    with contextlib.suppress(OSError):
        asked = accepted.recv(REQUEST_LENGTH, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if since := parse_request(asked):
            accepted.recv(REQUEST_LENGTH)
            return since
    return 0


def _hang_up(accepted: socket.socket) -> None:
    """Close a connection so that the peer reads its end.

    Unread data would make it a reset (RFC 1122 4.2.2.13), and a child that has just been forked
    may have the socket open for a moment longer.
    """
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_WR)
        accepted.recv(1 << 16, socket.MSG_DONTWAIT)
    accepted.close()
