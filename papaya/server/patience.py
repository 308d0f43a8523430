"""Patience: how long a process may be stopped, or show no progress, before it is killed.

Time is counted in ticks of the process that waits: if the whole service was suspended (SIGSTOP, a
laptop that slept), that counts as one tick, however long it took.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TICKS = 10


class Patience:
    """Count for how many ticks the state of each process has been the same."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = seconds / TICKS
        """Seconds from one tick to the next."""
        self.clock = clock
        self.due = 0.0
        self.seen: dict[int, tuple[int, int]] = {}
        """The last state of each process, and the ticks since it was first seen."""

    def count(self, states: Mapping[int, int]) -> list[int]:
        """Count a tick if one is due; return the processes whose time is over, each once.

        ``states`` has a number for each process id, which changes when the process does something.
        """
        now = self.clock()
        if now < self.due:
            return []
        self.due = now + self.interval
        before, self.seen = self.seen, {}
        for pid, state in states.items():
            last, ticks = before.get(pid, (state, -1))
            self.seen[pid] = state, ticks + 1 if state == last else 0
        return [pid for pid, (_, ticks) in self.seen.items() if ticks == TICKS]

    def is_late(self, pid: int) -> bool:
        """Return whether a third of the process's time is over."""
        return pid in self.seen and self.seen[pid][1] > TICKS // 3
