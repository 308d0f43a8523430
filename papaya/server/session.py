"""What one process needs to take part in the chat: its own log, its own eyes on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from probes.errors import CommandError

from ..config import Config
from ..key import LENGTH, same
from ..protocol import Lines
from ..settings import Settings
from .log_cursor import Place, Reader
from .message_log import LOCKS, Log, Moved
from .scoreboard import Board


class WrongKey(Exception):
    """What the client sent is not the key."""


class Full(Exception):
    """There are as many clients as there may be."""


TOO_LONG, NOT_KEPT = 1, 2
NOTICES = {
    TOO_LONG: "a line was refused: it is longer than {most} bytes",
    NOT_KEPT: "a line was refused: the log could not take it",
}
"""What one client alone may be told, by number: a number fits into a slot of the board."""


@dataclass(frozen=True)
class Chat:
    """What the processes of a service share, made before the first fork."""

    config: Config
    settings: Settings
    key: bytes
    board: Board
    say: Callable[[str], None]
    """Says a line in the service's own log."""

    def log(self) -> Log:
        """The log for this process to write, opened at the first line."""
        config = self.config
        lock = LOCKS[self.settings["lock"]]
        return Log(config.log, self.board, lock, config.durability == "data")

    def reader(self, sendfile: bool) -> Reader:
        """The log for this process to read, opened now."""
        return Reader(self.config.log, self.board, sendfile)

    def notice(self, number: int) -> str:
        """The words of a notice."""
        return NOTICES[number].format(most=self.config.max_line)


class Session:
    """What one client sends: first the key, then lines, which go into the log."""

    def __init__(
        self, chat: Chat, log: Log, ring: Callable[[], None], reader: Callable[[], Reader]
    ) -> None:
        self.chat = chat
        self.log = log
        self.ring = ring
        self.reader = reader
        self.given = b""
        """What there is of the key."""
        self.place: Place | None = None
        """Where the client is in the log, once it has sent the key."""
        self.lines = Lines(chat.config.max_line)
        self.slot = 0
        """The board's, in which the client is counted once it is admitted."""
        self.admitted = False

    def feed(self, data: bytes) -> int:
        """Take what the client sent; the number of a notice for it, or 0.

        Raises `WrongKey` and `Full`.
        """
        if self.place is None:
            self.given += data
            if len(self.given) < LENGTH:
                return 0
            given, data, self.given = self.given[:LENGTH], self.given[LENGTH:], b""
            if not same(given, self.chat.key):
                raise WrongKey
            # Before anything that it sent is looked at: of one that is refused nothing is kept.
            if not self.chat.board.admit(self.slot, self.chat.config.max_clients):
                raise Full
            self.admitted = True
            # Before its first line is in the log: it is owed every line of its own.
            self.place = self.reader().join(self.chat.config.history)
        lines, too_long = self.lines.feed(data)
        notice = self._keep(lines)
        return TOO_LONG if too_long else notice

    def end(self) -> None:
        """The client sends no more."""
        if self.place:
            self._keep(self.lines.end())

    def _keep(self, lines: list[bytes]) -> int:
        if not lines:
            return 0
        try:
            kept, why = self.log.append(lines)
        except Moved:
            kept, why = 0, "it was renamed, and the daemon does not go on with a new one"
        except (CommandError, OSError) as error:
            kept, why = 0, str(error)
        if kept:
            self.ring()
        if kept == len(lines):
            return 0
        self.chat.say(f"{self.chat.config.log}: {len(lines) - kept} lines not kept: {why}")
        return NOT_KEPT
