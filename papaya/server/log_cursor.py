"""Reading the log: how much of it each client has been sent.

No client has a queue: the log is the queue, and a slow reader costs only its offset in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .message_log import find_line_start, find_stamp, open_current
from .scoreboard import COMMITTED, GENERATION

if TYPE_CHECKING:
    import socket

    from .scoreboard import Scoreboard

_READ = 1 << 16
_MISSED = 1 << 20
"""Bytes of lines that a client which connects again is sent at most; if it has missed more, it is
sent the last lines, as any other."""


class FellBehind(Exception):
    """The client missed lines, which are in no file that is open, or might be sent wrong ones."""


class _File:
    """One of the files that have been the log, open as long as a client needs it."""

    def __init__(self, path: str, scoreboard: Scoreboard) -> None:
        self.descriptor = -1
        self.descriptor, record = open_current(path, scoreboard)
        self.generation, _, self.base, self.start, self.truncations = record
        self.committed = scoreboard.locate(self.generation, COMMITTED)
        """The index of its end in the scoreboard's numbers, while it is the log."""

    def close(self) -> None:
        """Close the file: no client in this process needs it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


class LogReader:
    """Read the log in one process for its clients.  A child may continue with its parent's."""

    def __init__(self, path: str, scoreboard: Scoreboard, end: bytes = b"") -> None:
        self.path = path
        self.scoreboard = scoreboard
        self.end = end
        """What follows the last line that is sent at once."""
        self.file = _File(path, scoreboard)
        self.read_until = scoreboard[self.file.committed]
        """The offset in the file up to which `read_new` has returned lines."""
        self.chunk_at = -1, 0
        """The generation of the file and the offset that ``chunk`` was read from."""
        self.chunk = b""

    def make_cursor(self, history: int, since: int = 0) -> LogCursor:
        """Return the cursor of a new client.

        It is ``history`` lines before the end, or at the first line of the stamp ``since`` or
        later, if that is further back and the client has not missed too much.
        """
        while True:
            file = self.refresh()
            start = end = self.scoreboard[file.committed]
            # Of a file that another program has truncated, no writer knows yet.
            if history and os.fstat(file.descriptor).st_size >= end:
                start = find_line_start(file.descriptor, end, history + 1)
                if since and (first := find_stamp(file.descriptor, end, since, _MISSED)) >= 0:
                    start = min(start, first)
            if self.is_current(file):
                return LogCursor(self, file, start)

    def refresh(self) -> _File:
        """Switch to the file that is the log now, and return it."""
        if not self.is_current(self.file):
            self.file = _File(self.path, self.scoreboard)
            self.read_until = self.file.base
        return self.file

    def is_current(self, file: _File) -> bool:
        """Return whether the file is the log, with the content that it had when it was opened."""
        return self.scoreboard[GENERATION] == file.generation

    def read_new(self) -> tuple[int, bytes]:
        """Return the lines committed since the last call, and their offset in the file.

        There are none if that is too much for one call, or if another file has become the log.
        """
        file = self.refresh()
        start, end = self.read_until, self.scoreboard[file.committed]
        if not self.is_current(file):
            return -1, b""
        self.read_until = end
        data = self._read(file, start, end - start) if 0 < end - start <= _READ else b""
        return (start, data) if data else (-1, b"")

    def read_chunk(self, file: _File, offset: int, most: int) -> bytes:
        """Return up to ``most`` bytes at ``offset``, read once for all clients at this offset."""
        at = file.generation, offset
        if self.chunk_at != at:
            # Only committed bytes: others might change before they are committed.
            self.chunk = self._read(file, offset, min(_READ, most))
            self.chunk_at = at
        return self.chunk[:most]

    def _read(self, file: _File, offset: int, most: int) -> bytes:
        """Read from a file that is or was the log."""
        data = os.pread(file.descriptor, most, offset)
        if self.is_current(file) or self.scoreboard.get_file().truncations == file.truncations:
            return data
        return b""  # The log was truncated: this may be of its new content.


class LogCursor:
    """The position of one client in the log."""

    __slots__ = ("file", "offset", "reader")

    def __init__(self, reader: LogReader, file: _File, offset: int) -> None:
        self.reader = reader
        self.file = file
        self.offset = offset

    def advance(self, client: socket.socket) -> None:
        """Send all new lines to ``client``.

        Raise BlockingIOError if the socket's buffer is full, another OSError if the client is
        gone, `FellBehind` if it missed lines, and CommandError if the log cannot be opened.
        """
        reader, numbers = self.reader, self.reader.scoreboard.numbers
        while True:
            file = self.file
            left = numbers[file.committed] - self.offset
            if reader.is_current(file):
                # If another program truncated the file, there is nothing to send: the next
                # writer will notice.
                if left <= 0 or (not self._send(client, left) and reader.is_current(file)):
                    return
                continue
            new = reader.refresh()
            # The place in the chat where this client is, and where the new file begins.
            owed = new.start - (file.start + self.offset - file.base)
            if owed > 0 and new.truncations == file.truncations and self._send(client, owed):
                continue
            if owed:
                raise FellBehind
            self.file, self.offset = new, new.base

    def _send(self, client: socket.socket, most: int) -> int:
        """Send up to ``most`` bytes of the file; return how many were sent."""
        data = self.reader.read_chunk(self.file, self.offset, most)
        end = self.reader.end if len(data) == most else b""
        # Not by sendfile(), which would send the new content of a file that has been truncated
        # since the last look, before a program could see that.
        sent = min(client.send(data + end), len(data)) if data else 0
        self.offset += sent
        return sent
