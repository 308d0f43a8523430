"""Admission: early drop without a key, back-off after wrong keys, and a limit on clients."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_BACKOFF = 60.0
_FORGOTTEN = 600.0
"""Seconds after the end of a back-off when a source's wrong keys are forgotten."""
_REMEMBERED = 10000
"""Sources with wrong keys."""
_MAPPED = bytes(10) + b"\xff\xff"


class Admission:
    """Count connections, and remember which addresses sent wrong keys.

    ``early_drop`` is START, RATE and FULL: from START connections without a key, a new
    connection is dropped with a probability of RATE percent, which rises to 100 at FULL, as
    sshd's MaxStartups does.
    """

    def __init__(
        self,
        early_drop: tuple[int, int, int],
        max_clients: int,
        backoff: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = lambda: os.urandom(1)[0] / 256,
    ) -> None:
        self.start, self.rate, self.full = early_drop
        self.max_clients = max_clients
        self.backoff = backoff
        self.clock = clock
        self.chance = chance
        self.waiting = 0
        """Connections that have not sent the key yet."""
        self.clients = 0
        self.refused = 0
        self.wrong: dict[str, tuple[int, float]] = {}
        """By source: the number of wrong keys, and the end of its back-off."""

    def add_connection(self, host: str) -> str:
        """Count a new connection from ``host`` as waiting; return why it is refused, or ""."""
        why = self._find_reason(host)
        if why:
            self.refused += 1
        else:
            self.waiting += 1
        return why

    def _find_reason(self, host: str) -> str:
        if self.waiting + self.clients >= self.max_clients + self.full:
            return "too many connections"
        if self.clients >= self.max_clients:
            return "too many clients"
        _, until = self.wrong.get(get_source(host), (0, 0.0))
        if self.clock() < until:
            return "wrong key before"
        if self._drop_early():
            return "too many connections without a key"
        return ""

    def _drop_early(self) -> bool:
        if self.waiting < self.start:
            return False
        if self.waiting >= self.full:
            return True
        share = (self.waiting - self.start) / (self.full - self.start)
        return self.chance() * 100 < self.rate + (100 - self.rate) * share

    def add_client(self, host: str) -> None:
        """Count a waiting connection as a client: it has sent the key."""
        # Several users may share an address, one with an old key and others with the right one.
        self.wrong.pop(get_source(host), None)
        self.waiting -= 1
        self.clients += 1

    def remove_connection(self, host: str, wrong_key: bool) -> None:
        """Discount a waiting connection that ended without the key or with a wrong one."""
        self.waiting -= 1
        if not wrong_key:
            return
        self.refused += 1
        if not self.backoff:
            return
        now = self.clock()
        times, until = self.wrong.pop(get_source(host), (0, 0.0))
        if until < now - _FORGOTTEN:
            times = 0
        if len(self.wrong) >= _REMEMBERED:
            del self.wrong[next(iter(self.wrong))]  # The source whose last wrong key is oldest.
        wait = min(_LONGEST_BACKOFF, self.backoff * 2 ** min(times, 30))
        self.wrong[get_source(host)] = (times + 1, now + wait)

    def remove_client(self) -> None:
        """Discount a client that has left."""
        self.clients -= 1


def get_source(host: str) -> str:
    """Return the unit of back-off for an address: an IPv4 address, or the /64 of an IPv6 one.

    A provider usually gives one customer a whole /64.
    """
    if ":" not in host:
        return host
    address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[len(_MAPPED) :])
    return socket.inet_ntop(socket.AF_INET6, address[:8] + bytes(8))
