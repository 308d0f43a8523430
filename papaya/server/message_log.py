"""The chat's log: whole lines, each appended in one write under an exclusive lock.

Every process opens the log that it writes for itself: a descriptor kept over fork() would
share its lock and its offset with the parent (locks.flock_shared_by_fork).  Up to the
scoreboard's ``COMMITTED`` the file holds whole lines that never change again.  They are
read without a lock, so this number replaces the paper's shared lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..protocol import format_stamp, make_stamp, read_stamp, stamp_lines
from .data_sync import choose_data_sync
from .scoreboard import COMMITTED, GENERATION, HELD, LINES, REPAIRED, STAMP

if TYPE_CHECKING:
    from collections.abc import Callable

    from .log_lock import LogLock
    from .scoreboard import Record, Scoreboard

_CHUNK = 1 << 16
_STEP = 1 << 12
"""Bytes read at once when searching for line starts; each client that joins needs this memory."""
_ALL_BITS = (1 << 64) - 1
_fdatasync = choose_data_sync()


class LogFull(CommandError):
    """The log has reached its size limit, ``max_log``."""


def open_log(path: str, create: bool = True) -> int:
    """Open the log and return a new descriptor.  Raise CommandError."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    flags |= os.O_CREAT if create else 0
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CommandError(f"{path}: not a regular file", 3)
    return descriptor


def open_current(path: str, scoreboard: Scoreboard) -> tuple[int, Record]:
    """Open the file that is the log now; return its descriptor and its record.

    If the log's name belongs to another file, or to none, make the daemon switch to a file of
    that name, as SIGHUP does.  Raise CommandError if the daemon does not.
    """
    asked = -1
    while True:
        record = scoreboard.get_file()
        problem = CommandError(f"{path}: renamed, and the daemon has not opened a new log", 3)
        try:
            descriptor = open_log(path, create=False)
        except CommandError as error:
            problem = error
        else:
            if identify(descriptor) == record.identity:
                return descriptor, record
            os.close(descriptor)
        if scoreboard[GENERATION] != record.generation:
            continue
        if asked == record.generation or not scoreboard.request_rotation():
            raise problem
        asked = record.generation


def identify(file: int | str) -> tuple[int, int]:
    """Return the device and the inode of a file, as a record of the scoreboard has them."""
    found = os.stat(file)
    # As unsigned 64-bit numbers: st_dev is signed on macOS.
    return found.st_dev & _ALL_BITS, found.st_ino & _ALL_BITS


class MessageLog:
    """Write the log in one process, which opens the file for its first line."""

    def __init__(
        self,
        path: str,
        scoreboard: Scoreboard,
        lock: LogLock,
        log_event: Callable[[str], None],
        durable: bool = False,
        most: int = 0,
    ) -> None:
        self.path = path
        self.scoreboard = scoreboard
        self.numbers = scoreboard.numbers
        self.lock = lock
        self.log_event = log_event
        self.durable = durable
        self.most = most
        """The size in bytes from which on lines are refused; 0 for none."""
        self.descriptor = -1
        self.identity = -1, -1
        self._follow(-1)

    def recover(self) -> int:
        """Open the log in the daemon, cut off a torn last line, and return how long that was.

        Raise CommandError.
        """
        self.descriptor = open_log(self.path)
        self.lock.take(self.descriptor, self.path)
        try:
            return self._adopt(self.descriptor)
        finally:
            self.lock.release(self.descriptor)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def append(self, lines: list[bytes]) -> tuple[int, str]:
        """Append the lines in one write, each after its time.

        Return how many lines are in the log, and why the others are not: "" if all are.  The
        lines that are counted can be read, and stay.  Raise CommandError, such as `LogFull`, or
        OSError if none is.  Without lines, nothing of the log changes.
        """
        numbers = self.numbers
        self._lock_current()
        went_back = ""
        try:
            # What is rare has functions of its own: a process that has just been woken pays for
            # each function that it calls, and calling one for the first time copies memory that
            # a child has shared with its parent.
            start = os.lseek(self.descriptor, 0, os.SEEK_END)
            if start != numbers[self.record + COMMITTED]:
                start = self._repair_end(start)
            if self.most and start >= self.most:
                raise LogFull(f"{self.path}: has {start} bytes, the most is {self.most}; rotate it")
            stamp = make_stamp(int(time.time()))
            if stamp < numbers[self.record + STAMP] or numbers[HELD]:
                stamp, went_back = self._hold_stamp(stamp)
            data = stamp_lines(lines, stamp)
            try:
                written = os.write(self.descriptor, data)
                if self.durable:
                    _fdatasync(self.descriptor)
            except OSError as error:
                _cut(self.descriptor, start)
                return 0, f"{self.path}: {error.strerror}"
            end = os.lseek(self.descriptor, 0, os.SEEK_END)
            if end != start + written:
                start = self._find_written(start, data[:written], end)
            if lines:
                numbers[self.record + STAMP] = stamp
            if written == len(data):
                numbers[self.record + COMMITTED] = start + written
                numbers[LINES] += len(lines)
                return len(lines), ""
            # The disk is full: cut off the part of the next line that it took.
            whole = data.rfind(b"\n", 0, written) + 1
            kept = data.count(b"\n", 0, whole)
            self._commit(start + whole, kept)
            with contextlib.suppress(OSError):  # The next writer will cut it off.
                _cut(self.descriptor, start + whole)
            return kept, f"{self.path}: {os.strerror(errno.ENOSPC)}"
        finally:
            self.lock.release(self.descriptor)
            if went_back:
                self.log_event(went_back)

    def rotate(self) -> bool:
        """Switch to another file if the log's path names another file, or none.

        Return whether it did.  The old file keeps all its lines, and no line is written to it
        after this call.  Only the daemon may call this, so that its descriptor is always that of
        the log.  Raise CommandError or OSError; then the old file is still the log.
        """
        old = self.descriptor
        self.lock.take(old, self.path)
        try:
            self._refresh()
            self._repair_end(os.lseek(old, 0, os.SEEK_END))
            new = open_log(self.path)
            if os.path.sameopenfile(new, old):
                os.close(new)
                return False
            try:
                self._adopt(new)
            except BaseException:
                os.close(new)
                raise
            self.descriptor = new
        finally:
            self.lock.release(old)
        os.close(old)
        return True

    def _adopt(self, descriptor: int) -> int:
        """Make the file the log; return how many bytes of a torn last line were cut off."""
        size = os.lseek(descriptor, 0, os.SEEK_END)
        whole = find_line_start(descriptor, size, 1)
        whole = _cut(descriptor, whole)
        # All that can fail comes first: after an error the old file is still the log.
        identity, stamp = identify(descriptor), _read_last_stamp(descriptor, whole)
        self._follow(self.scoreboard.set_file(identity, whole, stamp))
        self.identity = identity
        return size - whole

    def _lock_current(self) -> None:
        """Take the lock of the file that is the log now.

        First make the daemon switch if the file was deleted, or another file has its name,
        because the lines would not be found in it.
        """
        asked = False
        while True:
            if self.descriptor < 0:
                self.descriptor, record = open_current(self.path, self.scoreboard)
                self._follow(record.generation)
                self.identity = record.identity
            self.lock.take(self.descriptor, self.path)
            try:
                is_current = self.numbers[GENERATION] == self.generation or self._refresh()
                is_lost = is_current and self._is_lost()
                if is_current and not is_lost:
                    return
                if asked and is_current:
                    # The daemon could not switch.  The old file will do if it has a name.
                    if not self._is_deleted():
                        return
                    raise CommandError(f"{self.path}: deleted, and no new file can be opened", 3)
            except BaseException:
                self.lock.release(self.descriptor)
                raise
            self.lock.release(self.descriptor)
            if is_lost:
                self.scoreboard.request_rotation()
                asked = True
            else:
                self.close()

    def _refresh(self) -> bool:
        """Return whether the file is still the log; take note of its newest record.

        The caller holds the file's lock.
        """
        record = self.scoreboard.get_file()
        if record.identity != self.identity:
            return False
        self._follow(record.generation)  # It may be another because a program truncated the file.
        return True

    def _follow(self, generation: int) -> None:
        """Use the record of that generation in the scoreboard."""
        self.generation = generation
        self.record = self.scoreboard.locate(generation, 0)

    def _is_lost(self) -> bool:
        """Return whether the file was deleted, or another file has its name.

        A file that was renamed is not lost: SIGHUP will tell when to begin a new one.
        """
        try:
            if identify(self.path) == self.identity:
                return False
        except OSError:
            return self._is_deleted()
        return os.path.isfile(self.path) or self._is_deleted()

    def _is_deleted(self) -> bool:
        return os.fstat(self.descriptor).st_nlink == 0

    def _repair_end(self, end: int) -> int:
        """Commit what a killed writer left, cut off its torn line, and return the log's new end.

        The caller holds the lock.
        """
        committed = self.numbers[self.record + COMMITTED]
        if end == committed:
            return end
        if end < committed:
            # Another program truncated it (copytruncate): continue as in another file.
            end = _cut(self.descriptor, find_line_start(self.descriptor, end, 1))
            self._restart(end)
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
            end = _cut(self.descriptor, whole)
            if end < whole:
                return self._repair_end(end)
            self.scoreboard[REPAIRED] += 1
        if lines:
            last = self.record + STAMP
            self.numbers[last] = max(self.numbers[last], _read_last_stamp(self.descriptor, whole))
        self._commit(whole, lines)
        return whole

    def _find_written(self, start: int, data: bytes, end: int) -> int:
        """Return where the lines just written are: at ``start``, if they were appended there.

        If another program truncated the file after its end had been looked for, they are at its
        new ``end``, and the file continues there as another.  The caller holds the lock.
        """
        at = end - len(data)
        if end >= start + len(data) or at < 0 or os.pread(self.descriptor, len(data), at) != data:
            return start
        self._restart(at)
        return at

    def _restart(self, end: int) -> None:
        """Continue the file at ``end`` as another, because a program has truncated it."""
        stamp = self.numbers[self.record + STAMP]
        self._follow(self.scoreboard.set_file(self.identity, end, stamp, truncated=True))

    def _hold_stamp(self, now: int) -> tuple[int, str]:
        """Return the time for new lines, and what to log of it once the lock is released.

        Times never go backwards in one file: while the clock is behind, the last time is held.
        """
        last = self.numbers[self.record + STAMP]
        was_held, self.numbers[HELD] = self.numbers[HELD], now < last
        if now >= last:
            return now, ""
        if was_held:
            return last, ""
        return last, (
            f"{self.path}: the clock says {format_stamp(now)}, and the last line is of "
            f"{format_stamp(last)}: new lines have that time until the clock has passed it"
        )

    def _commit(self, end: int, lines: int) -> None:
        self.numbers[self.record + COMMITTED] = end
        self.numbers[LINES] += lines


def _cut(descriptor: int, end: int) -> int:
    """Cut off what is after the line that ends at ``end``; return where the file ends then.

    A file that another program makes shorter in the meantime stays so: ftruncate(2) would fill
    it up with NULs, in which no line begins.
    """
    size = os.lseek(descriptor, 0, os.SEEK_END)
    while size > end:
        os.ftruncate(descriptor, end)
        size, end = end, find_line_start(descriptor, end, 1)
    return size


def _read_last_stamp(descriptor: int, end: int) -> int:
    """Return the stamp of the line that ends at ``end``; see `papaya.protocol.read_stamp`."""
    return read_stamp(os.pread(descriptor, 32, find_line_start(descriptor, end, 2)))


def find_stamp(descriptor: int, end: int, stamp: int, most: int) -> int:
    """Return the offset of the first line with that stamp or a later one.

    It is ``end`` if there is none, and -1 if it is more than ``most`` bytes before ``end``.
    """
    least = low = max(0, end - most)
    high = end
    # Times never go backwards in one file.  What is before `low` belongs to earlier lines.
    while low < high:
        middle = (low + high) // 2
        start = find_line_start(descriptor, middle, 1)
        if read_stamp(os.pread(descriptor, 32, start)) >= stamp:
            high = start
        else:
            low = middle + 1
    return high if high >= least else -1


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
