"""One worker process per processor, each serving many clients.

The daemon accepts, and hands each connection to the worker with the fewest connections.  A
new line costs one signal per worker and one send per client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..server.connection import LEFT, Connection
from ..server.engine import Engine
from ..server.processes import describe_exit, fork_child
from ..server.scoreboard import CLIENTS, SENDER
from ..server.wakeup import SenderGroup, make_multicast
from ._worker import CLIENT, Worker

if TYPE_CHECKING:
    from ..server.server import Service

_MOST_SHORT_LIVES = 8
_RETRY_SECONDS = 1.0


@dataclass
class _Child:
    """A worker's process, as the daemon sees it."""

    number: int
    pid: int
    channel: socket.socket
    since: float
    unread: bytes = b""
    connections: dict[int, Connection] = field(default_factory=dict)


class Pool(Engine):
    """Serve all clients with as many workers as there are processors."""

    unused = frozenset(("wait", "send"))

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.children: dict[int, _Child] = {}
        """By process id."""
        self.missing: list[int] = []
        """Numbers of workers for which there are no processes or descriptors."""
        self.last_id = 0
        self.last_shortage: str | None = None
        """Why the last worker could not be started."""
        self.draining = False
        self.short_lives = 0
        """Workers in a row that lived for less than a second."""

    def start(self) -> None:
        context = self.context
        self.group = SenderGroup(context.log_event)
        self._multicast = make_multicast(
            context.settings["multicast"], self.group.id, context.scoreboard
        )
        for number in range(context.config.workers or os.cpu_count() or 1):
            self._start_worker(number)

    def wake_senders(self) -> None:
        self._multicast()

    def run(self) -> None:
        while not self.service.ending:
            self.service.step(_RETRY_SECONDS if self.missing else None)
            missing, self.missing = self.missing, []
            for number in missing:
                self._replace(number)

    def _start_worker(self, number: int) -> None:
        daemon = os.getpid()
        with contextlib.ExitStack() as cleanup:
            channel, workers_end = socket.socketpair()
            cleanup.callback(channel.close)
            with workers_end:
                worker = Worker(self.context, self.group, self.wake_senders, workers_end, number)
                pid = fork_child(lambda: worker.run(daemon), self.context.log_event)
            cleanup.pop_all()
        channel.setblocking(False)
        child = _Child(number, pid, channel, time.monotonic())
        self.children[pid] = child
        self.service.watch(channel, lambda: self._read_channel(child))

    def _replace(self, number: int) -> None:
        """Start a worker again; if that fails, the others continue, and `run` tries later."""
        try:
            self._start_worker(number)
        except OSError as error:
            self.missing.append(number)
            if error.strerror != self.last_shortage:
                self.context.log_event(f"cannot start worker {number} yet: {error.strerror}")
            self.last_shortage = error.strerror
        else:
            self.last_shortage = None

    def take(self, accepted: socket.socket, connection: Connection) -> None:
        self.last_id += 1
        for child in sorted(self.children.values(), key=lambda c: len(c.connections)):
            # The worker may have been killed a moment ago.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(child.channel, [b"%d\n" % self.last_id], [accepted.fileno()])
                child.connections[self.last_id] = connection
                accepted.close()
                return
        raise OSError(errno.EPIPE, "no worker is running")

    def read_reports(self) -> None:
        for child in list(self.children.values()):
            self._read_channel(child)

    def _read_channel(self, child: _Child) -> None:
        """Read what a worker reports of its connections."""
        if child.pid not in self.children:
            return  # The worker was reaped in this round of the loop.
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := child.channel.recv(65536):
                child.unread += data
        *lines, child.unread = child.unread.split(b"\n")
        for line in lines:
            id, _, word = line.decode().partition(" ")
            self._process_report(child, word, int(id))

    def _process_report(self, child: _Child, word: str, id: int) -> None:
        if word != CLIENT:
            self.service.forget(child.connections.pop(id), word)
        else:
            self.service.mark_as_client(child.connections[id])

    def reap(self, pid: int, status: int) -> None:
        if pid == self.group.id:
            self.service.fail("the leader of the workers' process group was killed")
        child = self.children.get(pid)
        if child is None:
            return
        self._read_channel(child)
        del self.children[pid]
        self.service.unwatch(child.channel)
        child.channel.close()
        for number in (SENDER, CLIENTS):
            self.context.scoreboard.set_slot(child.number, number, 0)
        for connection in child.connections.values():
            self.service.forget(connection, LEFT)
        if self.draining:
            return
        self.context.log_event(
            f"worker {child.number} ended ({describe_exit(status)}); replacing it"
        )
        lived = time.monotonic() - child.since
        self.short_lives = self.short_lives + 1 if lived < 1 else 0
        if self.short_lives > _MOST_SHORT_LIVES:
            self.service.fail("workers end as soon as they start")
        else:
            self._replace(child.number)

    def drain(self) -> None:
        self.draining = True
        for pid in self.children:
            os.kill(pid, signal.SIGTERM)

    def is_idle(self) -> bool:
        return not self.children

    def kill(self) -> None:
        self.group.kill()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


ENGINE = Pool
