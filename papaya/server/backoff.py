"""Back-off: refuse a source for a while after it sent a wrong key."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 60.0
_FORGOTTEN = 600.0
"""Seconds after the end of a back-off when a source's wrong keys are forgotten."""
_REMEMBERED = 10000
"""Sources with wrong keys."""
_MAPPED = bytes(10) + b"\xff\xff"


class Backoff:
    """Remember which sources sent wrong keys.

    The first wrong key of a source lasts ``seconds``, each further one twice as long; with 0
    no source is refused.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self.wrong: dict[str, tuple[int, float]] = {}
        """By source: the number of wrong keys, and the end of its back-off."""

    def is_refused(self, source: str) -> bool:
        """Return whether the source sent a wrong key and its time is not over."""
        _, until = self.wrong.get(source, (0, 0.0))
        return self.clock() < until

    def add(self, source: str) -> int:
        """Record a wrong key, and return how many the source has sent in a row."""
        now = self.clock()
        times, until = self.wrong.pop(source, (0, now))
        if until < now - _FORGOTTEN:
            times = 0
        if len(self.wrong) >= _REMEMBERED:
            del self.wrong[next(iter(self.wrong))]  # The source whose last wrong key is oldest.
        wait = min(_LONGEST, self.seconds * 2 ** min(times, 30))
        self.wrong[source] = (times + 1, now + wait)
        return times + 1

    def forgive(self, source: str) -> None:
        """Forget the wrong keys of a source that sent the right one.

        Several users may share an address, one with an old key and others with the right one.
        """
        self.wrong.pop(source, None)


def get_source(host: str) -> str:
    """Return the unit of limits for an address: an IPv4 address, or the /64 of an IPv6 one.

    A provider usually gives one customer a whole /64.
    """
    if ":" not in host:
        return host
    address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[len(_MAPPED) :])
    return socket.inet_ntop(socket.AF_INET6, address[:8] + bytes(8))
