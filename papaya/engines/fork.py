"""The paper's engine: two processes a client.

*Child RECV* takes what the client sends, appends it to the log and multicasts.  *Child
SEND*, its child, waits for the multicast and sends what is new in the log.  The kernel
schedules them, and one that fails takes nobody along.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from dataclasses import dataclass

from probes.errors import CommandError

from ..server.message_log import Moved
from ..server.processes import fork
from ..server.scoreboard import CLIENTS, NOTICE, SENDER
from ..server.server import LEFT, Engine, Service, Visitor
from ..server.wakeup import Group, ringer
from ._cluster import CODES, Cluster


@dataclass
class _Client:
    slot: int
    visitor: Visitor


class Fork(Engine):
    """A process cluster a client."""

    blocking = True

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.clients: dict[int, _Client] = {}
        """By the process id of the Child RECV."""
        self.free = list(range(self.chat.board.slots))

    def start(self) -> None:
        self.group = Group(self.chat.say)
        self._ring = ringer(self.chat.settings["multicast"], self.group.id, self.chat.board)
        # A Child RECV writes its process id here once its client has sent the key.
        self.reports, report = os.pipe()
        os.set_blocking(self.reports, False)
        self.service.watch(self.reports, self.hear)
        self.cluster = Cluster(self.chat, self.group, self._ring, report)

    def ring(self) -> None:
        self._ring()
        # Not to keep open what the log was.  Else the children find it out for themselves.
        with contextlib.suppress(CommandError, Moved, OSError):
            self.cluster.reader.refresh()

    # The daemon -----------------------------------------------------------------------------

    def take(self, accepted: socket.socket, visitor: Visitor) -> None:
        slot = self.free.pop()
        try:
            pid = fork(lambda: self.cluster.receive(accepted, slot), self.chat.say)
        except OSError:
            self.free.append(slot)
            raise
        self.clients[pid] = _Client(slot, visitor)
        accepted.close()

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reports, 4096):
                for (pid,) in struct.iter_unpack("i", data):
                    self.service.welcomed(self.clients[pid].visitor)

    def reap(self, pid: int, status: int) -> None:
        self.hear()  # It may have said so before it ended.
        if pid == self.group.id:
            self.service.fail("the process that leads the senders was killed")
        client = self.clients.pop(pid, None)
        if client is None:
            return
        board = self.chat.board
        sender = board.slot(client.slot, SENDER)
        if sender:
            # Its Child RECV was killed; where the platform ends it for that, it is gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(sender, signal.SIGKILL)
        board.set_slot(client.slot, SENDER, 0)
        board.set_slot(client.slot, NOTICE, 0)
        board.set_slot(client.slot, CLIENTS, 0)
        self.free.append(client.slot)
        why = CODES.get(os.waitstatus_to_exitcode(status), LEFT)
        self.service.gone(client.visitor, why)

    def drain(self) -> None:
        for pid in self.clients:
            os.kill(pid, signal.SIGTERM)

    def idle(self) -> bool:
        return not self.clients

    def kill(self) -> None:
        for pid in self.clients:
            os.kill(pid, signal.SIGKILL)
        self.group.end()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


ENGINE = Fork
