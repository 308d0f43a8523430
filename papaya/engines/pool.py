"""A process a processor, each serving many clients.

The daemon accepts and hands the connection to the worker with the fewest clients.  A
new line costs a signal a worker and a send a client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import time
from dataclasses import dataclass, field

from ..board import SENDER
from ..crowd import Client, Crowd
from ..multicast import RING, Group, ringer
from ..processes import close_all_but, dying_with_parent, fork
from ..service import LEFT, Engine, Service, Visitor

WELCOME = "welcome"
_SHORT_LIVES = 8


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

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.workers: dict[int, _Worker] = {}
        """By process id."""
        self.last = 0
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

    # The daemon -----------------------------------------------------------------------------

    def _start_worker(self, number: int) -> None:
        ours, theirs = socket.socketpair()
        daemon = os.getpid()
        pid = fork(lambda: _Loop(self, theirs, number, daemon).run(), self.chat.say)
        theirs.close()
        ours.setblocking(False)
        worker = _Worker(number, pid, ours, time.monotonic())
        self.workers[pid] = worker
        self.service.watch(ours, lambda: self._hear(worker))

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
        elif not self.service.welcomed(worker.visitors[id]):
            with contextlib.suppress(OSError):  # It ended this moment.
                worker.channel.send(b"%d\n" % -id)

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
        self.chat.board.set_slot(worker.number, SENDER, 0)
        for visitor in worker.visitors.values():
            self.service.gone(visitor, LEFT)
        if self.draining:
            return
        self.chat.say(f"worker {worker.number} ended ({status}); another takes its place")
        lived = time.monotonic() - worker.since
        self.short_lives = self.short_lives + 1 if lived < 1 else 0
        if self.short_lives > _SHORT_LIVES:
            self.service.fail("workers end as soon as they begin")
        else:
            self._start_worker(worker.number)

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


class _Loop:
    """A worker's process: its crowd, and the loop that serves it."""

    def __init__(self, pool: Pool, channel: socket.socket, number: int, daemon: int) -> None:
        self.pool = pool
        self.channel = channel
        self.number = number
        self.daemon = daemon
        self.handed: list[int] = []
        self.ending = False

    def run(self) -> int:
        chat = self.pool.chat
        close_all_but(self.channel.fileno())
        self.pool.group.join()
        chat.board.set_slot(self.number, SENDER, os.getpid())
        dying_with_parent(chat.settings["orphans"], signal.SIGTERM)(self.daemon)
        self.selector = selectors.DefaultSelector()
        self.wake, writing = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)
        for handled in (RING, signal.SIGTERM):
            signal.signal(handled, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {RING, signal.SIGTERM})
        self.crowd = Crowd(chat, self, self.pool.ring)
        self.selector.register(self.wake, selectors.EVENT_READ, None)
        self.selector.register(self.channel, selectors.EVENT_READ, None)
        # How soon it is seen that somebody is late.
        pause = min(1.0, chat.config.auth_timeout / 4, chat.config.send_timeout / 4)
        looked = time.monotonic()
        while not (self.ending and self.crowd.quiet()):
            for key, events in self.selector.select(pause):
                if key.data is None:
                    self._hear_of(key.fileobj)
                    continue
                if events & selectors.EVENT_WRITE:
                    self.crowd.send(key.data)
                if events & selectors.EVENT_READ and key.data.id in self.crowd.clients:
                    self.crowd.receive(key.data)
            if time.monotonic() - looked > pause:
                looked = time.monotonic()
                self.crowd.drop_late()
        return 0

    def _hear_of(self, source: object) -> None:
        if source is self.channel:
            self._take_clients()
            return
        came = os.read(self.wake, 4096)
        if signal.SIGTERM in came:
            self._end()
        self.crowd.send_all()

    def _take_clients(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self.channel, 4096, 64)
        if not data:
            # The daemon is gone.
            self._end()
            self.crowd.clients.clear()
            return
        given = iter(descriptors)
        for word in data.split():
            id = int(word)
            if id < 0:
                if -id in self.crowd.clients:
                    self.crowd.drop(self.crowd.clients[-id], LEFT)
                continue
            descriptor = next(given, None)
            if descriptor is None:  # No room for it among our open files.
                self.channel.sendall(f"{id} {LEFT}\n".encode())
                continue
            connected = socket.socket(fileno=descriptor)
            connected.setblocking(False)
            client = self.crowd.add(id, connected)
            self.selector.register(connected, selectors.EVENT_READ, client)

    def _end(self) -> None:
        """Take no more from anybody; what is in the log is sent still."""
        self.ending = True
        for client in self.crowd.clients.values():
            self._watch(client, selectors.EVENT_WRITE if client.waiting else 0)

    # What the crowd asks for ------------------------------------------------------------------

    def watch_writing(self, client: Client, wanted: bool) -> None:
        reading = 0 if self.ending or client.leaving else selectors.EVENT_READ
        self._watch(client, reading | (selectors.EVENT_WRITE if wanted else 0))

    def _watch(self, client: Client, events: int) -> None:
        if not events:
            with contextlib.suppress(KeyError):
                self.selector.unregister(client.socket)
        elif client.socket in self.selector.get_map():
            self.selector.modify(client.socket, events, client)
        else:
            self.selector.register(client.socket, events, client)

    def welcomed(self, client: Client) -> None:
        self._tell(WELCOME, client)

    def gone(self, client: Client, why: str) -> None:
        self._watch(client, 0)
        client.socket.close()
        self._tell(why, client)

    def _tell(self, word: str, client: Client) -> None:
        with contextlib.suppress(OSError):
            self.channel.sendall(f"{client.id} {word}\n".encode())


ENGINE = Pool
