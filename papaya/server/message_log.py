"""The chat's log: whole lines, each appended in one write under an exclusive lock.

Every process opens the log that it writes for itself: a descriptor kept over fork() would
share its lock and its offset with the parent (locks.flock_shared_by_fork).  Up to the
scoreboard's ``COMMITTED`` the file holds whole lines that never change again.  They are
read without a lock, so this number replaces the paper's shared lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from probes import libc
from probes.errors import CommandError

from ..protocol import stamp_lines
from .data_sync import choose_data_sync
from .scoreboard import BYTES, COMMITTED, GENERATION, LINES, REPAIRED

if TYPE_CHECKING:
    from .scoreboard import Scoreboard

Lock = Callable[[int, bool], None]
"""Take (True; waits) or release (False) the exclusive lock of a descriptor."""


def _flock(descriptor: int, take: bool) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX if take else fcntl.LOCK_UN)


def _fcntl(descriptor: int, take: bool) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_EX if take else fcntl.LOCK_UN)


def _ofd(descriptor: int, take: bool) -> None:
    lock = libc.Flock(l_type=fcntl.F_WRLCK if take else fcntl.F_UNLCK, l_whence=os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, bytes(lock))


LOCKS: dict[str, Lock] = {"flock": _flock, "ofd": _ofd, "fcntl": _fcntl}
"""The functions that lock, by value of the setting ``lock``."""

_CHUNK = 1 << 16
_STEP = 1 << 12
"""Bytes read at once when searching for line starts; each client that joins needs this memory."""
_fdatasync = choose_data_sync()


def open_log(path: str) -> int:
    """Open the log and return a new descriptor.  Raise CommandError."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CommandError(f"{path}: not a regular file", 3)
    return descriptor


class LogMoved(Exception):
    """The log was renamed, and the daemon has not opened a new one."""


def open_current(path: str, scoreboard: Scoreboard) -> tuple[int, int, int, int]:
    """Open the file that is the log now; return descriptor, generation, base and filled.

    If the log's name already belongs to another file, make the daemon switch to that file, as
    SIGHUP does.  Raise `LogMoved` if the daemon does not.
    """
    until = time.monotonic() + 2
    requested = -1
    while True:
        generation, inode, base, filled = scoreboard.get_file()
        descriptor = open_log(path)
        if os.fstat(descriptor).st_ino == inode:
            return descriptor, generation, base, filled
        os.close(descriptor)
        if scoreboard[GENERATION] != generation:
            continue
        if time.monotonic() > until:
            raise LogMoved
        if requested != generation:
            scoreboard.request_rotation()
            requested = generation
        time.sleep(0.001)


class MessageLog:
    """Write the log in one process, which opens the file for its first line."""

    def __init__(
        self, path: str, scoreboard: Scoreboard, lock: Lock, durable: bool = False
    ) -> None:
        self.path = path
        self.scoreboard = scoreboard
        self.lock = lock
        self.durable = durable
        self.descriptor, self.generation = -1, -1

    def recover(self) -> int:
        """Open the log, cut off a torn last line, and return how many bytes that line had."""
        self.descriptor = open_log(self.path)
        self.lock(self.descriptor, True)
        try:
            return self._adopt(self.descriptor)
        finally:
            self.lock(self.descriptor, False)

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold the log's lock; for use before `recover`."""
        descriptor = open_log(self.path)
        try:
            self.lock(descriptor, True)
            yield
        finally:
            os.close(descriptor)  # This releases the lock.

    def append(self, lines: list[bytes]) -> tuple[int, str]:
        """Append the lines in one write, each after its time.

        Return how many lines are in the log, and why the others are not: "" if all are.  The
        lines that are counted can be read, and stay.
        """
        self._lock_current()
        try:
            start = self._repair_end()
            data = stamp_lines(lines, time.time())
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
                # The disk is full: cut off the part of the next line that it took.
                whole = data.rfind(b"\n", 0, end - start) + 1
                kept = data.count(b"\n", 0, whole)
                why = os.strerror(errno.ENOSPC)
                self._commit(start, start + whole, kept)
                with contextlib.suppress(OSError):  # The next writer will cut it off.
                    os.ftruncate(self.descriptor, start + whole)
            else:
                self._commit(start, end, kept)
            return kept, why
        finally:
            self.lock(self.descriptor, False)

    def rotate(self) -> bool:
        """Switch to another file if the log's path names another file, or none.

        Return whether it did.  The old file keeps all its lines, and no line is written to it
        after this call.
        """
        self._lock_current()
        old = self.descriptor
        try:
            self._repair_end()
            new = open_log(self.path)
            if os.path.sameopenfile(new, old):
                os.close(new)
                return False
            self.descriptor = new
            self._adopt(new)
        finally:
            self.lock(old, False)
        os.close(old)
        return True

    def _adopt(self, descriptor: int) -> int:
        """Make the file the log; return how many bytes of a torn last line were cut off."""
        size = os.lseek(descriptor, 0, os.SEEK_END)
        whole = find_line_start(descriptor, size, 1)
        if whole < size:
            os.ftruncate(descriptor, whole)
        self.scoreboard.set_file(os.fstat(descriptor).st_ino, whole)
        self.generation = self.scoreboard[GENERATION]
        return size - whole

    def _lock_current(self) -> None:
        """Take the lock of the file that is the log now."""
        while True:
            if self.descriptor < 0:
                self.descriptor, self.generation, *_ = open_current(self.path, self.scoreboard)
            self.lock(self.descriptor, True)
            if self.scoreboard[GENERATION] == self.generation:
                return
            self.lock(self.descriptor, False)
            os.close(self.descriptor)
            self.descriptor = -1

    def _repair_end(self) -> int:
        """Commit what a killed writer left, cut off its torn line, and return the log's end.

        The caller holds the lock.
        """
        end = os.lseek(self.descriptor, 0, os.SEEK_END)
        committed = self.scoreboard[COMMITTED]
        if end == committed:
            return end
        if end < committed:
            # Another program truncated it (copytruncate): continue as in another file.
            end = find_line_start(self.descriptor, end, 1)
            os.ftruncate(self.descriptor, end)
            self.scoreboard.set_file(os.fstat(self.descriptor).st_ino, end)
            self.generation = self.scoreboard[GENERATION]
            return end
        whole, lines, at = committed, 0, committed
        while at < end:
            data = os.pread(self.descriptor, _CHUNK, at)
            if not data:
                break  # Another program is truncating it.
            if b"\n" in data:
                whole = at + data.rindex(b"\n") + 1
                lines += data.count(b"\n")
            at += len(data)
        if whole < end:
            os.ftruncate(self.descriptor, whole)
            self.scoreboard[REPAIRED] += 1
        self._commit(committed, whole, lines)
        return whole

    def _commit(self, start: int, end: int, lines: int) -> None:
        self.scoreboard[LINES] += lines
        self.scoreboard[BYTES] += end - start
        self.scoreboard[COMMITTED] = end


def find_line_start(descriptor: int, end: int, count: int) -> int:
    """Return the offset after the ``count``-th line feed back from ``end``, or 0."""
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
