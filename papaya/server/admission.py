"""Who may connect: early drop without a key, back-off after wrong ones, a most of clients."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

_LONGEST_BACKOFF = 60.0
_FORGOTTEN = 600.0
"""Seconds after the end of its wait that a source's wrong keys are forgotten."""
_KEPT = 10000
_MAPPED = bytes(10) + b"\xff\xff"


class Limits:
    """Counts connections and remembers which addresses sent wrong keys.

    ``early_drop`` is START, RATE and FULL: from START connections without a key on, a new
    one is dropped with RATE percent, rising to all of them at FULL, as sshd's MaxStartups.
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
        self.clients = 0
        self.refused = 0
        self.wrong: dict[str, tuple[int, float]] = {}
        """By source: how many wrong keys, and until when it waits."""

    def refuses(self, host: str) -> str:
        """Why a new connection from ``host`` is refused, or nothing; one not refused is waiting."""
        why = self._why(host)
        if why:
            self.refused += 1
        else:
            self.waiting += 1
        return why

    def _why(self, host: str) -> str:
        if self.waiting + self.clients >= self.max_clients + self.full:
            return "too many connections"
        if self.clients >= self.max_clients:
            return "too many clients"
        _, until = self.wrong.get(source(host), (0, 0.0))
        if self.clock() < until:
            return "wrong key before"
        if self._drops():
            return "too many connections without a key"
        return ""

    def _drops(self) -> bool:
        if self.waiting < self.start:
            return False
        if self.waiting >= self.full:
            return True
        share = (self.waiting - self.start) / (self.full - self.start)
        return self.chance() * 100 < self.rate + (100 - self.rate) * share

    def welcomed(self, host: str) -> None:
        """One that waited sent the key, and is a client."""
        # Behind one address there may be one with an old key and others with the right one.
        self.wrong.pop(source(host), None)
        self.waiting -= 1
        self.clients += 1

    def failed(self, host: str, wrong_key: bool) -> None:
        """One that waited left without a key, or sent a wrong one."""
        self.waiting -= 1
        if not wrong_key:
            return
        self.refused += 1
        if not self.backoff:
            return
        now = self.clock()
        times, until = self.wrong.pop(source(host), (0, 0.0))
        if until < now - _FORGOTTEN:
            times = 0
        if len(self.wrong) >= _KEPT:
            del self.wrong[next(iter(self.wrong))]  # Who sent its last the longest ago.
        wait = min(_LONGEST_BACKOFF, self.backoff * 2 ** min(times, 30))
        self.wrong[source(host)] = (times + 1, now + wait)

    def left(self) -> None:
        """A client left."""
        self.clients -= 1


def source(host: str) -> str:
    """What an address is counted as: itself, or the /64 of an IPv6 one, which is one customer's."""
    if ":" not in host:
        return host
    address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[len(_MAPPED) :])
    return socket.inet_ntop(socket.AF_INET6, address[:8] + bytes(8))
