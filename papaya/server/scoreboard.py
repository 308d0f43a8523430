"""What all processes of the service see at once: a page of numbers in shared memory.

Written by whoever holds the log's exclusive lock, but for the slots; read without a
lock.  A number is 64 bits wide and aligned, so that it is written in one go (on a
32-bit processor in two: it could be read half-written as it passes 4 GiB, by a sender
that is woken again at once).
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable

GENERATION, INODE, BASE, COMMITTED, LINES, BYTES, REPAIRED, DAEMON, FILLED = range(9)
_SLOTS = 9
_WIDTH = 8
SENDER, NOTICE, CLIENTS = range(3)
_SLOT_NUMBERS = 3


class Board:
    """The numbers by name, and a slot for each client that has a sender of its own.

    ``generation`` counts the files the log has been, twice each: it is odd while the
    numbers that describe the file are being changed.  ``base`` is where this file's
    lines begin that no earlier client has seen; ``committed`` is where its whole lines
    end, which never move again.  ``filled`` counts the files before this one that got lines.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        numbers = _SLOTS + _SLOT_NUMBERS * slots
        # Anonymous and shared: children have the same memory, and it goes with the last of them.
        self._memory = mmap.mmap(-1, numbers * _WIDTH)
        self.numbers = memoryview(self._memory).cast("Q")
        self.numbers[DAEMON] = os.getpid()
        self.rotate: Callable[[], None] = lambda: None
        """What the daemon's process does on SIGHUP."""

    def ask_for_rotation(self) -> None:
        """Have the daemon go on with the file that has the log's name by now."""
        if self[DAEMON] == os.getpid():
            self.rotate()
        else:
            os.kill(self[DAEMON], signal.SIGHUP)

    def __getitem__(self, number: int) -> int:
        return self.numbers[number]

    def __setitem__(self, number: int, value: int) -> None:
        self.numbers[number] = value

    def file(self) -> tuple[int, int, int, int]:
        """Generation, inode, base and filled of the file the log is now, all of one moment."""
        numbers = self.numbers
        while True:
            generation = numbers[GENERATION]
            found = generation, numbers[INODE], numbers[BASE], numbers[FILLED]
            if not generation % 2 and numbers[GENERATION] == generation:
                return found

    def set_file(self, inode: int, base: int) -> None:
        """The log is another file from now on.  Only under the lock of the one it was."""
        numbers = self.numbers
        numbers[GENERATION] += 1
        numbers[FILLED] += numbers[COMMITTED] != numbers[BASE]
        numbers[INODE] = inode
        numbers[BASE] = base
        numbers[COMMITTED] = base
        numbers[GENERATION] += 1

    # Slots ---------------------------------------------------------------------------------

    def number_of(self, slot: int, number: int) -> int:
        """Where a slot has ``SENDER``, the process that sends to its clients, or another number.

        ``NOTICE`` is of what its client is to be told, ``CLIENTS`` how many were admitted there.
        """
        return _SLOTS + _SLOT_NUMBERS * slot + number

    def slot(self, slot: int, number: int) -> int:
        """What a slot has there."""
        return self.numbers[self.number_of(slot, number)]

    def set_slot(self, slot: int, number: int, value: int) -> None:
        """See `number_of`."""
        self.numbers[self.number_of(slot, number)] = value

    def admit(self, slot: int, most: int) -> bool:
        """Whether one more client is among the ``most`` that there may be, in all slots.

        Without a lock, as each slot has one process that admits there: two that ask for the
        last place at once may both be told no, and never both yes.
        """
        here = self.number_of(slot, CLIENTS)
        self.numbers[here] += 1
        if sum(self.numbers[_SLOTS + CLIENTS :: _SLOT_NUMBERS]) <= most:
            return True
        self.numbers[here] -= 1
        return False

    def senders(self) -> list[int]:
        """The process ids in all slots."""
        return [pid for pid in self.numbers[_SLOTS + SENDER :: _SLOT_NUMBERS] if pid]
