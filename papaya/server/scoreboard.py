"""Scoreboard: a page of numbers in memory that all processes of the service share.

Only the holder of the log's exclusive lock writes the numbers, apart from the slots; they
are read without a lock.  A number is 64 bits wide and aligned, so the processor writes it
at once.  A 32-bit processor needs two writes: when a number passes 4 GiB, a sender may read
it half-written, but the next line wakes that sender at once.
"""

from __future__ import annotations

import mmap
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATION, INODE, BASE, COMMITTED, LINES, BYTES, REPAIRED, DAEMON, FILLED = range(9)
_SLOTS = 9
_WIDTH = 8
SENDER, NOTICE = range(2)
"""The fields of a slot: the process that sends to its clients, and a notice."""
_SLOT_FIELDS = 2


class Scoreboard:
    """Hold the numbers by name, and a slot for each sender.

    ``GENERATION`` goes up by two with each file that becomes the log; it is odd while the
    numbers that describe the file change.  ``BASE`` is the offset in this file from which no
    earlier client has seen lines.  ``COMMITTED`` is the end of the whole lines, which never
    change again.  ``FILLED`` counts the earlier files to which lines were written.
    """

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

    def request_rotation(self) -> None:
        """Make the daemon switch to the file that has the log's name now."""
        if self[DAEMON] == os.getpid():
            self.rotate()
        else:
            os.kill(self[DAEMON], signal.SIGHUP)

    def __getitem__(self, number: int) -> int:
        return self.numbers[number]

    def __setitem__(self, number: int, value: int) -> None:
        self.numbers[number] = value

    def get_file(self) -> tuple[int, int, int, int]:
        """Return generation, inode, base and filled of the log's file, all of one moment."""
        numbers = self.numbers
        while True:
            generation = numbers[GENERATION]
            found = generation, numbers[INODE], numbers[BASE], numbers[FILLED]
            if not generation % 2 and numbers[GENERATION] == generation:
                return found

    def set_file(self, inode: int, base: int) -> None:
        """Record that another file is the log now.  The caller holds the old file's lock."""
        numbers = self.numbers
        numbers[GENERATION] += 1
        numbers[FILLED] += numbers[COMMITTED] != numbers[BASE]
        numbers[INODE] = inode
        numbers[BASE] = base
        numbers[COMMITTED] = base
        numbers[GENERATION] += 1

    def get_index(self, slot: int, field: int) -> int:
        """Return the index in ``numbers`` of a slot's field: SENDER or NOTICE."""
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
