"""One worker process per processor, each serving many clients.

The daemon fills one worker with clients before it uses the next: each worker that must be woken for
a line costs more than sending the line to many clients.
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
from ..server.patience import Patience
from ..server.processes import describe_exit, fork_child
from ..server.scoreboard import BEATS, CLIENTS
from ..server.wakeup import SenderGroup
from ._bells import Bells
from ._worker import CLIENTS_AT_ONCE, Worker

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
    unsent: dict[int, socket.socket] = field(default_factory=dict)
    """The clients among ``connections`` for which there was no room in the channel yet."""


class Pool(Engine):
    """Serve all clients with as many workers as there are processors."""

    unused = frozenset(("wait", "multicast"))

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
        self.patience = Patience(self.context.config.process_timeout)

    def start(self) -> None:
        context = self.context
        self.group = SenderGroup(context.log_event)
        workers = context.config.workers or os.cpu_count() or 1
        self.bells = Bells(workers, context.scoreboard)
        for number in range(workers):
            self._start_worker(number)

    def wake_senders(self) -> None:
        self.bells.ring_all()

    def run(self) -> None:
        while not self.service.ending:
            self.service.step(min(_RETRY_SECONDS, self.patience.interval))
            self._kill_hung()
            missing, self.missing = self.missing, []
            for number in missing:
                self._replace(number)

    def _kill_hung(self) -> None:
        """Kill workers that were stopped, or hang; `reap` will replace them."""
        slots, children = self.context.scoreboard, self.children
        beats = {pid: slots.get_slot(child.number, BEATS) for pid, child in children.items()}
        for pid in self.patience.count(beats):
            seconds = self.context.config.process_timeout
            self.context.log_event(
                f"worker {children[pid].number} (process {pid}) has done nothing for "
                f"{seconds:g} s; killing it"
            )
            os.kill(pid, signal.SIGKILL)

    def _start_worker(self, number: int) -> None:
        daemon = os.getpid()
        with contextlib.ExitStack() as cleanup:
            channel, workers_end = socket.socketpair()
            cleanup.callback(channel.close)
            with workers_end:
                worker = Worker(self.context, self.group, self.bells, workers_end, number)
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
        if not self.children:
            raise OSError(errno.EPIPE, "no worker is running")
        self.last_id += 1
        child = min(self.children.values(), key=self._rate)
        child.connections[self.last_id] = connection
        child.unsent[self.last_id] = accepted
        if len(child.unsent) == 1:  # Otherwise the channel is full.
            self._send_clients(child)

    def _rate(self, child: _Child) -> tuple[bool, bool, int]:
        """Return what the next worker is chosen by: the least of these.

        Whether it may hang, whether it is full, and how many clients it has: before it is full,
        the more the better.
        """
        clients = len(child.connections)
        is_full = clients >= self.context.config.fill
        return self.patience.is_late(child.pid), is_full, clients if is_full else -clients

    def _send_clients(self, child: _Child) -> None:
        """Send clients to a worker until its channel is full; then wait until it is writable."""
        # A worker that was killed a moment ago: `reap` passes its clients to another.
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while some := list(child.unsent.items())[:CLIENTS_AT_ONCE]:
                words = b"".join(b"%d %d\n" % (id, child.connections[id].since) for id, _ in some)
                descriptors = [accepted.fileno() for _, accepted in some]
                socket.send_fds(child.channel, [words], descriptors)
                for id, accepted in some:
                    del child.unsent[id]
                    accepted.close()
        self.service.watch_writing(child.channel, bool(child.unsent))

    def read_reports(self) -> None:
        for child in list(self.children.values()):
            self._read_channel(child)

    def _read_channel(self, child: _Child) -> None:
        """Read what a worker reports of its clients, and send it those that wait."""
        if child.pid not in self.children:
            return  # The worker was reaped in this round of the loop.
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := child.channel.recv(65536):
                child.unread += data
        *lines, child.unread = child.unread.split(b"\n")
        for line in lines:
            id, _, why = line.decode().partition(" ")
            self.service.forget(child.connections.pop(int(id)), why)
        if child.unsent:
            self._send_clients(child)

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
        self.context.scoreboard.set_slot(child.number, CLIENTS, 0)
        unsent = [(accepted, child.connections.pop(id)) for id, accepted in child.unsent.items()]
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
        for accepted, connection in unsent:
            if not self.service.serve_client(accepted, connection):
                accepted.close()
                self.service.forget(connection, LEFT)

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
