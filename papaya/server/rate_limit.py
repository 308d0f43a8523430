"""Rate limit: how much the service reads from one client.

What a client has sent is never refused: the service reads later from a client that sends too much,
and TCP makes the client wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RateLimit:
    """A token bucket: ``rate`` lines a second, and ``burst`` lines at once; a rate of 0: no limit.

    1,024 bytes count as a line if they have fewer.  The bucket may be in debt, because a read may
    return more lines than are left.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self.left = burst
        self.at = clock()
        self.is_told = False
        """Whether the client was told to slow down since the bucket was full."""

    def spend(self, data: bytes) -> None:
        """Count what the client sent."""
        if not self.rate:
            return
        now = self.clock()
        self.left = min(self.burst, self.left + self.rate * (now - self.at))
        self.at = now
        if self.left == self.burst:
            self.is_told = False
        self.left -= max(data.count(b"\n"), len(data) / 1024)

    def must_tell(self) -> bool:
        """Return whether the client must be told to slow down: once for each time of excess."""
        must, self.is_told = self.left < 0 and not self.is_told, self.is_told or self.left < 0
        return must

    def measure_pause(self) -> float:
        """Return for how many seconds after `spend` nothing may be read from the client."""
        return -self.left / self.rate if self.left < 0 else 0.0
