"""Refusals in the service's own log: a limited number of lines, however many there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .event_log import EventLog

_BURST = 20
"""Lines that are logged at once; after them, one a second."""
_SUMMARY_SECONDS = 10.0


class RefusalLog:
    """Log a line for each refused connection, or count it when there are too many."""

    def __init__(self, log_event: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self.log_event = log_event
        self.clock = clock
        self.allowed = float(_BURST)
        self.allowed_at = clock()
        self.unlogged: dict[str, int] = {}
        """The number of refusals without a line of their own, by reason."""
        self.since = 0.0
        """When the first of ``unlogged`` was refused."""

    def add(self, peer: object, why: str, always: bool = False) -> None:
        """Log a refusal, or count it for the summary unless ``always``.

        fail2ban reads the line (deploy/fail2ban-papaya.conf).
        """
        now = self.clock()
        self.allowed = min(_BURST, self.allowed + now - self.allowed_at)
        self.allowed_at = now
        if always or self.allowed >= 1:
            self.allowed = max(0.0, self.allowed - 1)
            self.log_event(f"refused {peer}: {why}")
            return
        if not self.unlogged:
            self.since = now
        self.unlogged[why] = self.unlogged.get(why, 0) + 1

    def get_deadline(self) -> float | None:
        """Return when `summarize` must be called, by ``clock``; None if there is nothing to say."""
        return self.since + _SUMMARY_SECONDS if self.unlogged else None

    def summarize(self) -> None:
        """Log how many refusals were not logged, and why."""
        if not self.unlogged:
            return
        reasons = ", ".join(f"{count} {why}" for why, count in self.unlogged.items())
        count, seconds = sum(self.unlogged.values()), max(1, round(self.clock() - self.since))
        self.unlogged.clear()
        self.log_event(f"{count} more refused in the last {seconds} s: {reasons}")
