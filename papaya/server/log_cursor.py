"""Reading the log: how far a client has been sent it.

A client has no queue of its own: the log is the queue, and a place in it is all that
is kept of a client that reads slowly.
"""

from __future__ import annotations

import os
import socket

from .message_log import after_newline, open_current
from .scoreboard import COMMITTED, GENERATION, Board

_MOST = 1 << 20
_READ = 1 << 16


class Behind(Exception):
    """The client is so far behind that a file came and went in between: it missed lines."""


class _File:
    """One file the log has been, open as long as a client is at it."""

    def __init__(self, path: str, board: Board) -> None:
        self.descriptor = -1
        self.descriptor, self.generation, self.base, self.filled = open_current(path, board)
        self.inode = os.fstat(self.descriptor).st_ino

    def close(self) -> None:
        """Nobody in this process is at it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


class Reader:
    """The log as one process reads it for its clients.  A child may go on with its parent's."""

    def __init__(self, path: str, board: Board, sendfile: bool) -> None:
        self.path = path
        self.board = board
        self.sendfile = sendfile
        self.file = _File(path, board)
        self.told = board[COMMITTED]
        self.read_at = -1, 0
        """The generation of the file that was read, and where."""
        self.read = b""

    def join(self, history: int) -> Place:
        """The place of a client that has just come: ``history`` lines before the end."""
        while True:
            self.refresh()
            end = self.board[COMMITTED]
            if self.board[GENERATION] == self.file.generation:
                break  # Else it may be the end of another file.
        start = after_newline(self.file.descriptor, end, history + 1) if history else end
        return Place(self, self.file, start)

    def refresh(self) -> None:
        """Go on to the file the log is now."""
        if self.board[GENERATION] != self.file.generation:
            self.file = _File(self.path, self.board)

    def news(self) -> tuple[int, bytes]:
        """What was committed since it was asked for last, and where that is in the file."""
        self.refresh()
        start, end = self.told, self.board[COMMITTED]
        if not 0 < end - start <= _READ:
            start = end
        self.told = end
        return start, os.pread(self.file.descriptor, end - start, start) if end > start else b""

    def chunk(self, file: _File, offset: int, most: int) -> bytes:
        """Up to ``most`` bytes at ``offset``, read once for all clients that are there."""
        at = file.generation, offset
        if self.read_at != at:
            # No byte that is not committed: it might be another by the time it is.
            self.read = os.pread(file.descriptor, min(_READ, most), offset)
            self.read_at = at
        return self.read[:most]


class Place:
    """Where one client is in the log."""

    __slots__ = ("file", "has_all", "offset", "reader")

    def __init__(self, reader: Reader, file: _File, offset: int) -> None:
        self.reader = reader
        self.file = file
        self.offset = offset
        self.has_all = False
        """Whether it had all there was when it was looked at last."""

    def advance(self, to: socket.socket) -> None:
        """Send all that is new.

        Raises BlockingIOError when the socket takes no more for now, another OSError when
        the client is gone, and `Behind` when it missed lines.
        """
        board = self.reader.board.numbers
        while True:
            left = board[COMMITTED] - self.offset
            if board[GENERATION] == self.file.generation:
                # Nothing to send where somebody cut the file: the next writer will see it.
                if left <= 0 or not self._send(to, left):
                    self.has_all = True
                    return
                continue
            self.reader.refresh()
            new = self.reader.file
            # Cut (copytruncate), it has the same inode, and what it had is gone.
            if new.inode == self.file.inode:
                if not self.has_all:
                    raise Behind
            elif self._send(to, _MOST):
                continue
            # No more is written to the old file, and this was its end: on to the next.
            if new.filled - self.file.filled > 1:
                raise Behind
            self.file = new
            self.offset = new.base

    def _send(self, to: socket.socket, most: int) -> int:
        self.has_all = False
        if self.reader.sendfile:
            sent = os.sendfile(to.fileno(), self.file.descriptor, self.offset, min(most, _MOST))
        else:
            data = self.reader.chunk(self.file, self.offset, most)
            sent = to.send(data) if data else 0
        self.offset += sent
        return sent
