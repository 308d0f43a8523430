"""The user's lines on their way to the log, and the end of the history that follows a join.

A line that comes back is in the log.  The client knows it by its name and text, and by its
position: nothing is sent before the history is complete, so an equal line of the history
acknowledges nothing.  Times are not compared, because a server's clock may be set back.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from probes.files import write_standard_error

if TYPE_CHECKING:
    from .connection import Account

LOST = "may be lost, as it did not come back"
"""What users are told of a line that was sent and is not known to be in the log."""
_QUIET = 0.3
"""Seconds without a line after which the history, which the server sends at once, is complete."""
_HISTORY = 1.0, 4.0
"""Seconds after which the history is complete in any case: a busy chat is never quiet."""


class Outbox:
    """Keep lines until they can be sent, and then until they come back; each is sent once."""

    def __init__(self) -> None:
        self.unsent: deque[bytes] = deque()
        self.sent: deque[bytes] = deque()
        """Lines that were sent and have not come back."""

    def __len__(self) -> int:
        """Return the number of lines that are not known to be in the log."""
        return len(self.unsent) + len(self.sent)

    def take(self) -> bytes:
        """Return the next line to send, with its line feed, and count it as sent."""
        self.sent.append(self.unsent.popleft())
        return self.sent[-1] + b"\n"

    def put_back(self) -> None:
        """Keep the line that `take` returned: the connection took none of it."""
        self.unsent.appendleft(self.sent.pop())

    def acknowledge(self, line: bytes) -> bool:
        """Return whether ``line``, which the server sent, is one of the user's lines."""
        with contextlib.suppress(ValueError):
            self.sent.remove(line)
            return True
        return False

    def give_up(self) -> list[bytes]:
        """Forget and return the lines that were sent and have not come back."""
        lost = list(self.sent)
        self.sent.clear()
        return lost


def report_lines(account: Account, outbox: Outbox) -> bool:
    """Say on standard error which lines are not known to be in the log; return whether any is."""
    problems = [(LOST, line) for line in outbox.give_up()]
    problems += [("not sent", line) for line in outbox.unsent]
    for problem, line in problems:
        write_standard_error(f"papaya: {problem}: {account.describe_line(line)}\n")
    return bool(problems)


class History:
    """Tell when the history that follows a join is complete.

    An empty log has no history, so wait for a time that depends on ``latency``, in seconds.
    """

    def __init__(self, latency: float) -> None:
        least, most = _HISTORY
        self.latest = self.end = time.monotonic() + min(most, max(least, 4 * latency))

    def extend(self) -> None:
        """Note that the server has sent something."""
        if self.measure_rest():
            self.end = min(self.latest, time.monotonic() + _QUIET)

    def measure_rest(self) -> float:
        """Return the seconds until the history is complete, 0 if it is."""
        return max(0.0, self.end - time.monotonic())
