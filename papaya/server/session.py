"""Session: what one client sends, first the key, then lines for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..key import LENGTH, is_same
from ..protocol import LineSplitter
from .message_log import LogMoved

if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import ServiceContext
    from .log_cursor import LogCursor, LogReader
    from .message_log import MessageLog


class WrongKey(Exception):
    """The client did not send the key."""


class Full(Exception):
    """The service already has ``max_clients`` clients."""


TOO_LONG, NOT_KEPT = 1, 2
_NOTICES = {
    TOO_LONG: "a line was refused: it is longer than {most} bytes",
    NOT_KEPT: "a line was refused: it could not be written to the log",
}
"""Notices for a single client, by number, because a slot of the scoreboard holds only numbers."""


def describe_notice(number: int, context: ServiceContext) -> str:
    """Return the text of a notice."""
    return _NOTICES[number].format(most=context.config.max_line)


class Session:
    """Check the key that one connection sends, and append its lines to the log."""

    def __init__(
        self,
        context: ServiceContext,
        log: MessageLog,
        wake_senders: Callable[[], None],
        get_reader: Callable[[], LogReader],
    ) -> None:
        self.context = context
        self.log = log
        self.wake_senders = wake_senders
        self.get_reader = get_reader
        self.partial_key = b""
        self.cursor: LogCursor | None = None
        """The client's position in the log, once it has sent the key."""
        self.lines = LineSplitter(context.config.max_line)
        self.slot = 0
        """The slot of the scoreboard in which the client is counted once it is admitted."""
        self.admitted = False

    def feed(self, data: bytes) -> int:
        """Take what the client sent; return the number of a notice for the client, or 0.

        Raise `WrongKey` or `Full`.
        """
        if self.cursor is None:
            self.partial_key += data
            if len(self.partial_key) < LENGTH:
                return 0
            given, data = self.partial_key[:LENGTH], self.partial_key[LENGTH:]
            self.partial_key = b""
            if not is_same(given, self.context.key):
                raise WrongKey
            # Admission comes before the lines: no line of a refused client may be logged.
            if not self.context.scoreboard.admit(self.slot, self.context.config.max_clients):
                raise Full
            self.admitted = True
            # The cursor comes before the first line: the client must be sent its own lines.
            self.cursor = self.get_reader().make_cursor(self.context.config.history)
        lines, too_long = self.lines.feed(data)
        notice = self._append(lines)
        return TOO_LONG if too_long else notice

    def finish(self) -> None:
        """Append the unfinished last line of a client that has stopped sending."""
        if self.cursor:
            self._append(self.lines.finish())

    def _append(self, lines: list[bytes]) -> int:
        if not lines:
            return 0
        try:
            kept, why = self.log.append(lines)
        except LogMoved:
            kept, why = 0, "the log was renamed, and the daemon has not opened a new one"
        except (CommandError, OSError) as error:
            kept, why = 0, str(error)
        if kept:
            self.wake_senders()
        if kept == len(lines):
            return 0
        lost = len(lines) - kept
        self.context.log_event(f"{self.context.config.log}: {lost} lines not kept: {why}")
        return NOT_KEPT
