"""A process a processor, each serving many clients.

The daemon accepts and hands the connection to the worker with the fewest clients.  A
new line costs a signal a worker and a send a client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from dataclasses import dataclass, field

from ..server.processes import fork
from ..server.scoreboard import CLIENTS, SENDER
from ..server.server import LEFT, Engine, Service, Visitor, how_it_ended
from ..server.wakeup import Group, ringer
from ._worker import WELCOME, Worker

_SHORT_LIVES = 8
_AGAIN_SECONDS = 1.0


@dataclass
class _Worker:
    number: int
    pid: int
    channel: socket.socket
    since: float
    heard: bytes = b""
    visitors: dict[int, Visitor] = field(default_factory=dict)


class Pool(Engine):
    """Workers, as many as there are processors."""

    unused = frozenset(("wait", "send"))

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.workers: dict[int, _Worker] = {}
        """By process id."""
        self.missing: list[int] = []
        """Numbers of workers that there are no processes or descriptors for."""
        self.last = 0
        self.short: str | None = None
        """Why the last could not be started."""
        self.draining = False
        self.short_lives = 0
        """Workers in a row that lived less than a second."""

    def start(self) -> None:
        self.group = Group(self.chat.say)
        self._ring = ringer(self.chat.settings["multicast"], self.group.id, self.chat.board)
        for number in range(self.chat.config.workers or os.cpu_count() or 1):
            self._start_worker(number)

    def ring(self) -> None:
        self._ring()

    def run(self) -> None:
        while not self.service.ending:
            self.service.step(_AGAIN_SECONDS if self.missing else None)
            missing, self.missing = self.missing, []
            for number in missing:
                self._replace(number)

    # The daemon -----------------------------------------------------------------------------

    def _start_worker(self, number: int) -> None:
        daemon = os.getpid()
        with contextlib.ExitStack() as undone:
            ours, theirs = socket.socketpair()
            undone.callback(ours.close)
            with theirs:
                worker = Worker(self.chat, self.group, self.ring, theirs, number)
                pid = fork(lambda: worker.run(daemon), self.chat.say)
            undone.pop_all()
        ours.setblocking(False)
        started = _Worker(number, pid, ours, time.monotonic())
        self.workers[pid] = started
        self.service.watch(ours, lambda: self._hear(started))

    def _replace(self, number: int) -> None:
        """Start a worker anew; where that cannot be, the others go on, and it is tried again."""
        try:
            self._start_worker(number)
        except OSError as error:
            self.missing.append(number)
            if error.strerror != self.short:
                self.chat.say(f"worker {number} cannot be started yet: {error.strerror}")
            self.short = error.strerror
        else:
            self.short = None

    def take(self, accepted: socket.socket, visitor: Visitor) -> None:
        self.last += 1
        for worker in sorted(self.workers.values(), key=lambda w: len(w.visitors)):
            # One may have been killed a moment ago.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(worker.channel, [b"%d\n" % self.last], [accepted.fileno()])
                worker.visitors[self.last] = visitor
                accepted.close()
                return
        raise OSError(errno.EPIPE, "no worker is left")

    def hear(self) -> None:
        for worker in list(self.workers.values()):
            self._hear(worker)

    def _hear(self, worker: _Worker) -> None:
        """What a worker has to say of its clients."""
        if worker.pid not in self.workers:
            return  # It ended in this very round.
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := worker.channel.recv(65536):
                worker.heard += data
        *lines, worker.heard = worker.heard.split(b"\n")
        for line in lines:
            id, _, word = line.decode().partition(" ")
            self._heard(worker, word, int(id))

    def _heard(self, worker: _Worker, word: str, id: int) -> None:
        if word != WELCOME:
            self.service.gone(worker.visitors.pop(id), word)
        else:
            self.service.welcomed(worker.visitors[id])

    def reap(self, pid: int, status: int) -> None:
        if pid == self.group.id:
            self.service.fail("the process that leads the workers was killed")
        worker = self.workers.get(pid)
        if worker is None:
            return
        self._hear(worker)
        del self.workers[pid]
        self.service.unwatch(worker.channel)
        worker.channel.close()
        for number in (SENDER, CLIENTS):
            self.chat.board.set_slot(worker.number, number, 0)
        for visitor in worker.visitors.values():
            self.service.gone(visitor, LEFT)
        if self.draining:
            return
        self.chat.say(
            f"worker {worker.number} ended ({how_it_ended(status)}); another takes its place"
        )
        lived = time.monotonic() - worker.since
        self.short_lives = self.short_lives + 1 if lived < 1 else 0
        if self.short_lives > _SHORT_LIVES:
            self.service.fail("workers end as soon as they begin")
        else:
            self._replace(worker.number)

    def drain(self) -> None:
        self.draining = True
        for pid in self.workers:
            os.kill(pid, signal.SIGTERM)

    def idle(self) -> bool:
        return not self.workers

    def kill(self) -> None:
        self.group.end()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


ENGINE = Pool
