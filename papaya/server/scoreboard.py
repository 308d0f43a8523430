"""Scoreboard: a page of numbers in memory that all processes of the service share.

A number is 64 bits wide and aligned, so a 64-bit processor writes it at once.  Who writes which:

- The *record* of the log's file, which is `DEVICE` to `STAMP`, and `GENERATION`, which tells
  which of the two records is valid: the holder of the log's lock.  Only the daemon makes another
  file the log, so its descriptor of the log is always one of the valid file; any writer may
  begin a new record for the same file, after another program has truncated it.
- ``LINES``, ``REPAIRED`` and ``HELD``: the holder of the log's lock.
- ``ATTEMPTS``: the daemon, after each attempt to make another file the log.
- A slot: the process that it is for, and the daemon once that process has ended.

All are read without a lock.  A new record is written beside the valid one before ``GENERATION``
goes up by one, so a process that is killed between any two of its writes leaves the old record
or the new one, and no reader waits for it.  A reader takes a record if ``GENERATION`` is the same
before and after, and then opens the file and compares its identity with the record's.

``COMMITTED`` of the valid record, the end of the whole lines, only grows.  It is written after
the lines, and before the senders are woken.  A processor that does not keep stores in order
(ARM) may show it early to a sender that was awake anyway; the kernel, which locks the file's
size, then sends that process less, and it sends the rest when it is woken: the kernel's lock of
the signal, or of the pipe, orders what the writer did before it.  A new record and ``GENERATION``
are kept in order by the locks of the system calls in between (Linux,
Documentation/memory-barriers.txt, "an UNLOCK followed by a LOCK").  So are ``COMMITTED`` and
``CLIENTS``: a writer commits, then looks which workers have clients and wakes those; a worker says
that it has clients, then looks at the log once more.  A 32-bit processor needs two writes for a
number: when ``COMMITTED`` passes 4 GiB, a sender may read it half-written, but the next line wakes
that sender at once.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATION, LINES, REPAIRED, HELD, ATTEMPTS, DAEMON = range(6)
DEVICE, INODE, BASE, START, TRUNCATIONS, COMMITTED, STAMP = range(7)
"""The fields of a record."""
_RECORDS = 6
_RECORD_FIELDS = 7
_SLOTS = _RECORDS + 2 * _RECORD_FIELDS
_WIDTH = 8
SENDER, NOTICE, BEATS, CLIENTS = range(4)
"""The fields of a slot: the process that sends to one client, and a notice for that client; a
number that a worker raises whenever it does something, and how many clients it has."""
_SLOT_FIELDS = 4
_PATIENCE = 2.0
"""Seconds for which the daemon may take to answer a request."""


class Record(NamedTuple):
    """What all processes know of a file that is, or has been, the log."""

    generation: int
    identity: tuple[int, int]
    """The device and the inode, which name a file for as long as it is open."""
    base: int
    """The offset from which the service has written lines."""
    start: int
    """Bytes of lines that were written to earlier files: the place in the chat of ``base``."""
    truncations: int
    """How often another program had truncated the log: what was in an earlier file may be gone."""


class Scoreboard:
    """Hold the numbers by name, and a slot for each sender."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        numbers = _SLOTS + _SLOT_FIELDS * slots
        # Anonymous and shared: children have the same memory, and the kernel frees it with the
        # last of them.
        self._memory = mmap.mmap(-1, numbers * _WIDTH)
        self.numbers = memoryview(self._memory).cast("Q")
        self.numbers[DAEMON] = os.getpid()
        self.rotate: Callable[[], None] = lambda: None
        """What the daemon's process does on SIGHUP."""

    def request_rotation(self) -> bool:
        """Make the daemon switch to the file that has the log's name now, and wait for it.

        Return whether the daemon has tried.
        """
        if self[DAEMON] == os.getpid():
            self.rotate()
            return True
        generation = self[GENERATION]
        until = time.monotonic() + _PATIENCE
        # The attempt that ends first may have looked before it was asked for; the next has not.
        for _ in range(2):
            before = self[ATTEMPTS]
            os.kill(self[DAEMON], signal.SIGHUP)
            while self[ATTEMPTS] == before:
                if time.monotonic() > until:
                    return False
                time.sleep(0.001)
            if self[GENERATION] != generation:
                break
        return True

    def __getitem__(self, number: int) -> int:
        return self.numbers[number]

    def __setitem__(self, number: int, value: int) -> None:
        self.numbers[number] = value

    def locate(self, generation: int, field: int) -> int:
        """Return the index in ``numbers`` of a field of the record of that generation."""
        return _RECORDS + _RECORD_FIELDS * (generation % 2) + field

    def get_file(self) -> Record:
        """Return the record of the log's file."""
        while True:
            generation = self.numbers[GENERATION]
            at = self.locate(generation, 0)
            device, inode, base, start, truncations = self.numbers[at : at + COMMITTED]
            if self.numbers[GENERATION] == generation:
                return Record(generation, (device, inode), base, start, truncations)

    def set_file(
        self, identity: tuple[int, int], base: int, stamp: int, truncated: bool = False
    ) -> int:
        """Record that another file, or with ``truncated`` the same file, is a new log.

        ``stamp`` is the time of its last line, as for `papaya.protocol.stamp_lines`.  Return the
        new generation.  The caller holds the lock of the file that was the log.
        """
        truncations = self[self.locate(self[GENERATION], TRUNCATIONS)] + truncated
        new = (*identity, base, self.count_bytes(), truncations, base, stamp)
        at = self.locate(self[GENERATION] + 1, 0)
        for field, value in enumerate(new):
            self.numbers[at + field] = value
        self.numbers[GENERATION] += 1
        return self.numbers[GENERATION]

    def count_bytes(self) -> int:
        """Return how many bytes of lines were written since the service started."""
        at = self.locate(self[GENERATION], 0)
        return self.numbers[at + START] + self.numbers[at + COMMITTED] - self.numbers[at + BASE]

    def get_index(self, slot: int, field: int) -> int:
        """Return the index in ``numbers`` of a slot's field, such as SENDER."""
        return _SLOTS + _SLOT_FIELDS * slot + field

    def get_slot(self, slot: int, field: int) -> int:
        """Return a field of a slot."""
        return self.numbers[self.get_index(slot, field)]

    def set_slot(self, slot: int, field: int, value: int) -> None:
        """Set a field of a slot."""
        self.numbers[self.get_index(slot, field)] = value

    def list_senders(self) -> list[int]:
        """Return the process ids of all senders."""
        return [pid for pid in self.numbers[_SLOTS + SENDER :: _SLOT_FIELDS] if pid]
