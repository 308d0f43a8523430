"""Session: the lines that one client sends after the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..protocol import LineSplitter
from .message_log import LogFull
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import ServiceContext
    from .message_log import MessageLog


TOO_LONG, NOT_KEPT, LOG_FULL, SLOW_DOWN = 1, 2, 3, 4
_NOTICES = {
    TOO_LONG: "a line was refused: it is longer than {most} bytes",
    NOT_KEPT: "a line was refused: it could not be written to the log",
    LOG_FULL: "a line was refused: the log has reached its limit of {max_log} bytes",
    SLOW_DOWN: "slow down: {rate} lines a second are read from you, and the rest waits",
}
"""Notices for a single client, by number, because a slot of the scoreboard holds only numbers."""


def describe_notice(number: int, context: ServiceContext) -> str:
    """Return the text of a notice."""
    config = context.config
    return _NOTICES[number].format(
        most=config.max_line, rate=config.max_rate, max_log=config.max_log
    )


class Session:
    """Append the lines of one client to the log."""

    def __init__(
        self, context: ServiceContext, log: MessageLog, wake_senders: Callable[[], None]
    ) -> None:
        self.context = context
        self.log = log
        self.wake_senders = wake_senders
        self.lines = LineSplitter(context.config.max_line)
        self.is_full = False
        """Whether the last line was refused because the log is full."""
        self.limit = RateLimit(context.config.max_rate, context.config.burst)

    def feed(self, data: bytes) -> int:
        """Take what the client sent; return the number of a notice for the client, or 0."""
        self.limit.spend(data)
        lines, too_long = self.lines.feed(data)
        notice = self._append(lines)
        if too_long:
            notice = TOO_LONG
        if not notice and self.limit.left < 0 and self.limit.must_tell():
            notice = SLOW_DOWN
        return notice

    def finish(self) -> None:
        """Append the unfinished last line of a client that has stopped sending."""
        self._append(self.lines.finish())

    def _append(self, lines: list[bytes]) -> int:
        if not lines:
            return 0
        was_full, self.is_full = self.is_full, False
        try:
            kept, why = self.log.append(lines)
        except LogFull as error:
            self.is_full = True
            if not was_full:  # Not for each line, because this may last for long.
                self.context.log_event(f"lines are refused: {error}")
            return LOG_FULL
        except CommandError as error:
            kept, why = 0, str(error)
        except OSError as error:
            kept, why = 0, f"{self.context.config.log}: {error.strerror}"
        if kept:
            self.wake_senders()
        if kept == len(lines):
            return 0
        self.context.log_event(f"{len(lines) - kept} lines not kept: {why}")
        return NOT_KEPT
