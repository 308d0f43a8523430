"""Reading the log: how much of it each client has been sent.

No client has a queue: the log is the queue, and a slow reader costs only its offset in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .message_log import find_line_start, open_current
from .scoreboard import COMMITTED, GENERATION

if TYPE_CHECKING:
    import socket

    from .scoreboard import Scoreboard

_MOST = 1 << 20
_READ = 1 << 16


class FellBehind(Exception):
    """The client missed lines: a whole file was the log and was rotated before it read on."""


class _File:
    """One of the files that have been the log, open as long as a client needs it."""

    def __init__(self, path: str, scoreboard: Scoreboard) -> None:
        self.descriptor = -1
        self.descriptor, self.generation, self.base, self.filled = open_current(path, scoreboard)
        self.inode = os.fstat(self.descriptor).st_ino

    def close(self) -> None:
        """Close the file: no client in this process needs it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


class LogReader:
    """Read the log in one process for its clients.  A child may continue with its parent's."""

    def __init__(self, path: str, scoreboard: Scoreboard, sendfile: bool) -> None:
        self.path = path
        self.scoreboard = scoreboard
        self.sendfile = sendfile
        self.file = _File(path, scoreboard)
        self.read_until = scoreboard[COMMITTED]
        """The offset up to which `read_new` has returned lines."""
        self.chunk_at = -1, 0
        """The generation of the file and the offset that ``chunk`` was read from."""
        self.chunk = b""

    def make_cursor(self, history: int) -> LogCursor:
        """Return the cursor of a new client, ``history`` lines before the end."""
        while True:
            self.refresh()
            end = self.scoreboard[COMMITTED]
            if self.scoreboard[GENERATION] == self.file.generation:
                break  # Otherwise it may be the end of another file.
        start = find_line_start(self.file.descriptor, end, history + 1) if history else end
        return LogCursor(self, self.file, start)

    def refresh(self) -> None:
        """Switch to the file that is the log now."""
        if self.scoreboard[GENERATION] != self.file.generation:
            self.file = _File(self.path, self.scoreboard)

    def read_new(self) -> tuple[int, bytes]:
        """Return the lines committed since the last call, and their offset in the file."""
        self.refresh()
        start, end = self.read_until, self.scoreboard[COMMITTED]
        if not 0 < end - start <= _READ:
            start = end
        self.read_until = end
        return start, os.pread(self.file.descriptor, end - start, start) if end > start else b""

    def read_chunk(self, file: _File, offset: int, most: int) -> bytes:
        """Return up to ``most`` bytes at ``offset``, read once for all clients at this offset."""
        at = file.generation, offset
        if self.chunk_at != at:
            # Only committed bytes: others might change before they are committed.
            self.chunk = os.pread(file.descriptor, min(_READ, most), offset)
            self.chunk_at = at
        return self.chunk[:most]


class LogCursor:
    """The position of one client in the log."""

    __slots__ = ("at_end", "file", "offset", "reader")

    def __init__(self, reader: LogReader, file: _File, offset: int) -> None:
        self.reader = reader
        self.file = file
        self.offset = offset
        self.at_end = False
        """Whether the client had been sent the whole log when `advance` last returned."""

    def advance(self, client: socket.socket) -> None:
        """Send all new lines to ``client``.

        Raise BlockingIOError if the socket's buffer is full, another OSError if the client is
        gone, and `FellBehind` if it missed lines.
        """
        numbers = self.reader.scoreboard.numbers
        while True:
            left = numbers[COMMITTED] - self.offset
            if numbers[GENERATION] == self.file.generation:
                # If another program truncated the file, there is nothing to send: the next
                # writer will notice.
                if left <= 0 or not self._send(client, left):
                    self.at_end = True
                    return
                continue
            self.reader.refresh()
            new = self.reader.file
            # After copytruncate the inode is the same, and the old content is gone.
            if new.inode == self.file.inode:
                if not self.at_end:
                    raise FellBehind
            elif self._send(client, _MOST):
                continue
            # The old file grows no more, and this was its end: continue with the next file.
            if new.filled - self.file.filled > 1:
                raise FellBehind
            self.file = new
            self.offset = new.base

    def _send(self, client: socket.socket, most: int) -> int:
        self.at_end = False
        if self.reader.sendfile:
            sent = os.sendfile(client.fileno(), self.file.descriptor, self.offset, min(most, _MOST))
        else:
            data = self.reader.read_chunk(self.file, self.offset, most)
            sent = client.send(data) if data else 0
        self.offset += sent
        return sent
