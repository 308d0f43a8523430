"""The log's exclusive lock: three kinds of it, none waited for without end.

A process that was stopped while it held the lock, or another program's lock of the file, would
otherwise stop every writer of the chat.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import TYPE_CHECKING

from probes import libc
from probes.errors import CommandError

from .processes import set_handler, set_timer

if TYPE_CHECKING:
    from collections.abc import Callable


def _lock_by_ofd(descriptor: int, operation: int) -> None:
    lock_type = fcntl.F_UNLCK if operation == fcntl.LOCK_UN else fcntl.F_WRLCK
    command = fcntl.F_OFD_SETLK if operation & fcntl.LOCK_NB else fcntl.F_OFD_SETLKW
    fcntl.fcntl(descriptor, command, bytes(libc.Flock(l_type=lock_type, l_whence=os.SEEK_SET)))


LOCKS: dict[str, Callable[[int, int], None]] = {
    "flock": fcntl.flock,
    "ofd": _lock_by_ofd,
    "fcntl": fcntl.lockf,
}
"""The functions that lock, by value of the setting ``lock``; they take flock()'s operations."""


class LogBusy(CommandError):
    """Another process holds the log's lock, and has for longer than this one may wait."""


class LogLock:
    """Take and release the exclusive lock of a descriptor.  ``seconds`` is how long to wait."""

    def __init__(self, kind: str, seconds: float) -> None:
        self.lock = LOCKS[kind]
        self.seconds = seconds
        self.was_busy = False
        """Whether waiting was in vain last time; then the next attempt does not wait."""

    def take(self, descriptor: int, path: str) -> None:
        """Take the lock of the file, which is ``path`` in messages.  Raise `LogBusy`."""
        try:
            self.lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES (POSIX fcntl()).
            if self.was_busy or not self._wait(descriptor):
                self.was_busy = True
                holder = describe_holder(descriptor)
                raise LogBusy(f"{path}: locked by {holder}; end it, or wait for it", 3) from None
        self.was_busy = False

    def release(self, descriptor: int) -> None:
        """Release the lock."""
        self.lock(descriptor, fcntl.LOCK_UN)

    def _wait(self, descriptor: int) -> bool:
        """Wait for the lock; return False if that takes too long.

        No function takes a lock with a time limit, so a timer's signal interrupts it.
        """
        began = time.monotonic()
        handler = set_handler(signal.SIGALRM, _raise_timeout)
        left, interval = set_timer(signal.ITIMER_REAL, self.seconds)
        try:
            self.lock(descriptor, fcntl.LOCK_EX)
        except TimeoutError:
            # The signal may have come just after the lock.
            self.release(descriptor)
            return False
        finally:
            # A timer of someone else continues, late if it must.
            rest = max(left - (time.monotonic() - began), 1e-6) if left else 0.0
            set_timer(signal.ITIMER_REAL, rest, interval)
            set_handler(signal.SIGALRM, handler)
        return True


def _raise_timeout(*_: object) -> None:
    raise TimeoutError


def describe_holder(descriptor: int) -> str:
    """Describe who has a lock of the file, such as ``process 4711 (logrotate)``, if Linux tells."""
    found = os.fstat(descriptor)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError, ValueError), open("/proc/locks", encoding="ascii") as file:
        for line in file:
            # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF" (proc_locks(5)); -1 for an OFD lock.
            fields = line.split()
            if name in fields and "->" not in fields and (pid := int(fields[4])) > 0:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                    return f"process {pid} ({comm.read().strip()})"
    return "another process"
