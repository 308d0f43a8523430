"""Bells: how a worker that has written lines makes the other workers read the log.

A pipe for each worker, to which every process of the service can write.  Ringing is one system
call, and interrupts nothing; a worker without clients is not rung.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ..server.scoreboard import CLIENTS

if TYPE_CHECKING:
    from ..server.scoreboard import Scoreboard


class Bells:
    """Make the pipes, before the workers are forked."""

    def __init__(self, workers: int, scoreboard: Scoreboard) -> None:
        self.numbers = scoreboard.numbers
        self.clients = [scoreboard.get_index(worker, CLIENTS) for worker in range(workers)]
        self.pipes = [os.pipe() for _ in range(workers)]
        """The reading and the writing end of each worker's bell."""
        for descriptor in self.list_descriptors():
            os.set_blocking(descriptor, False)

    def list_descriptors(self) -> list[int]:
        """Return all ends of all bells."""
        return [end for ends in self.pipes for end in ends]

    def ring(self, worker: int) -> None:
        """Make a worker read the log."""
        # A full pipe has rung already.
        with contextlib.suppress(BlockingIOError):
            os.write(self.pipes[worker][1], b"\0")

    def ring_others(self, worker: int) -> None:
        """Make all workers that have clients read the log, but the one that calls this."""
        for other, clients in enumerate(self.clients):
            if other != worker and self.numbers[clients]:
                self.ring(other)

    def ring_all(self) -> None:
        """Make all workers read the log, also those that only keep the old file open."""
        for worker in range(len(self.pipes)):
            self.ring(worker)

    def answer(self, worker: int) -> None:
        """Take note of all rings so far, in the worker that is rung."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.pipes[worker][0], 1 << 16)
