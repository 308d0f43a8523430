"""The chat's log: whole lines, each appended in one write under an exclusive lock.

Every process opens the log that it writes for itself: a descriptor kept over fork()
would share its lock and its offset with the parent (locks.flock_shared_by_fork).  Up to
the board's ``committed`` the file holds whole lines that never change again, so they are
read without a lock: what the paper's shared lock kept apart, this number does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator

from probes import libc
from probes.errors import CommandError

from ..protocol import timed
from .scoreboard import BYTES, COMMITTED, GENERATION, LINES, REPAIRED, Board

Lock = Callable[[int, bool], None]
"""Take (True) or give back the exclusive lock of a descriptor; taking waits."""


def _flock(descriptor: int, take: bool) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX if take else fcntl.LOCK_UN)


def _fcntl(descriptor: int, take: bool) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_EX if take else fcntl.LOCK_UN)


def _ofd(descriptor: int, take: bool) -> None:
    asked = libc.Flock(l_type=fcntl.F_WRLCK if take else fcntl.F_UNLCK, l_whence=os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, bytes(asked))


LOCKS: dict[str, Lock] = {"flock": _flock, "ofd": _ofd, "fcntl": _fcntl}
"""By the value of the setting ``lock``."""

_CHUNK = 1 << 16
_STEP = 1 << 12
"""Where the last lines are looked for: what is read is memory that every joining client costs."""
# macOS has no fdatasync() that Python offers.
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def open_log(path: str) -> int:
    """The log, opened anew.  Raises CommandError where it cannot be."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CommandError(f"{path}: no regular file", 3)
    return descriptor


class Moved(Exception):
    """The log was renamed, and the daemon has not gone on with a new one."""


def open_current(path: str, board: Board) -> tuple[int, int, int, int]:
    """The file the log is now, opened anew, with its generation, its base and its filled.

    Where its name is another file's already, the daemon is asked to go on with that one,
    as SIGHUP would.  Raises `Moved` where it does not.
    """
    until = time.monotonic() + 2
    asked = -1
    while True:
        generation, inode, base, filled = board.file()
        descriptor = open_log(path)
        if os.fstat(descriptor).st_ino == inode:
            return descriptor, generation, base, filled
        os.close(descriptor)
        if board[GENERATION] != generation:
            continue
        if time.monotonic() > until:
            raise Moved
        if asked != generation:
            board.ask_for_rotation()
            asked = generation
        time.sleep(0.001)


class Log:
    """The log as one process writes it, opened by that process at its first line."""

    def __init__(self, path: str, board: Board, lock: Lock, durable: bool = False) -> None:
        self.path = path
        self.board = board
        self.lock = lock
        self.durable = durable
        self.descriptor, self.generation = -1, -1

    def begin(self) -> int:
        """Open the log and take it over as it is; the bytes of a torn last line that were cut."""
        self.descriptor = open_log(self.path)
        self.lock(self.descriptor, True)
        try:
            size = os.lseek(self.descriptor, 0, os.SEEK_END)
            whole = self._whole(size)
            if whole < size:
                os.ftruncate(self.descriptor, whole)
            self.board.set_file(os.fstat(self.descriptor).st_ino, whole)
            self.generation = self.board[GENERATION]
            return size - whole
        finally:
            self.lock(self.descriptor, False)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else is here meanwhile; for what is done before `begin`."""
        descriptor = open_log(self.path)
        try:
            self.lock(descriptor, True)
            yield
        finally:
            os.close(descriptor)  # And with it the lock.

    def append(self, lines: list[bytes]) -> tuple[int, str]:
        """Append the lines in one write, each with the time before it.

        How many are in the log, and why the others are not: empty when all are.
        What is returned here is there to be read, and stays.
        """
        self._take()
        try:
            start = self._settled()
            data = timed(lines, time.time())
            try:
                end = start + os.write(self.descriptor, data)
                if self.durable:
                    _fdatasync(self.descriptor)
            except OSError as error:
                os.ftruncate(self.descriptor, start)
                return 0, error.strerror or str(error)
            kept = len(lines)
            why = ""
            if end - start < len(data):
                # The disk is full: what it took of the next line is cut off again.
                whole = data.rfind(b"\n", 0, end - start) + 1
                kept = data.count(b"\n", 0, whole)
                why = os.strerror(errno.ENOSPC)
                self._commit(start, start + whole, kept)
                with contextlib.suppress(OSError):  # Then the next writer cuts it off.
                    os.ftruncate(self.descriptor, start + whole)
            else:
                self._commit(start, end, kept)
            return kept, why
        finally:
            self.lock(self.descriptor, False)

    def rotate(self) -> bool:
        """If the log's path names another file by now, or none, go on there.

        Whoever renamed the old one keeps every line in it: none is written to it after this.
        """
        self._take()
        old = self.descriptor
        try:
            self._settled()
            new = open_log(self.path)
            if os.path.sameopenfile(new, old):
                os.close(new)
                return False
            self.descriptor = new
            size = os.lseek(new, 0, os.SEEK_END)
            whole = self._whole(size)
            if whole < size:
                os.ftruncate(new, whole)
            self.board.set_file(os.fstat(new).st_ino, whole)
            self.generation = self.board[GENERATION]
        finally:
            self.lock(old, False)
        os.close(old)
        return True

    def _take(self) -> None:
        """Take the lock of the file the log is now."""
        while True:
            if self.descriptor < 0:
                self.descriptor, self.generation, *_ = open_current(self.path, self.board)
            self.lock(self.descriptor, True)
            if self.board[GENERATION] == self.generation:
                return
            self.lock(self.descriptor, False)
            os.close(self.descriptor)
            self.descriptor = -1

    def _settled(self) -> int:
        """The end of the log, all before it whole and committed.  Under the lock.

        A writer that was killed may have left lines it did not commit, and a part of one.
        """
        end = os.lseek(self.descriptor, 0, os.SEEK_END)
        committed = self.board[COMMITTED]
        if end == committed:
            return end
        if end < committed:
            # Somebody cut it (copytruncate): the log goes on from here as another file would.
            end = self._whole(end)
            os.ftruncate(self.descriptor, end)
            self.board.set_file(os.fstat(self.descriptor).st_ino, end)
            self.generation = self.board[GENERATION]
            return end
        whole, lines, at = committed, 0, committed
        while at < end:
            data = os.pread(self.descriptor, _CHUNK, at)
            if not data:
                break  # Somebody cuts it just now.
            if b"\n" in data:
                whole = at + data.rindex(b"\n") + 1
                lines += data.count(b"\n")
            at += len(data)
        if whole < end:
            os.ftruncate(self.descriptor, whole)
            self.board[REPAIRED] += 1
        self._commit(committed, whole, lines)
        return whole

    def _commit(self, start: int, end: int, lines: int) -> None:
        self.board[LINES] += lines
        self.board[BYTES] += end - start
        self.board[COMMITTED] = end

    def _whole(self, size: int) -> int:
        """Where the last whole line before ``size`` ends."""
        return after_newline(self.descriptor, size, 1)


def after_newline(descriptor: int, end: int, count: int) -> int:
    """The place behind the ``count``-th line feed back from ``end``; 0 if there is none."""
    at = end
    while at > 0:
        size = min(_STEP, at)
        data = os.pread(descriptor, size, at - size)
        found = len(data)
        while (found := data.rfind(b"\n", 0, found)) >= 0:
            count -= 1
            if not count:
                return at - size + found + 1
        at -= size
    return 0
