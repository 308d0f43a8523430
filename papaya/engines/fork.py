"""The paper's engine: two processes per client.

*Child RECV* reads what the client sends, appends it to the log and multicasts.  *Child
SEND*, its child, waits for the multicast and sends what is new in the log.  The kernel
schedules them, and if one fails, no other client notices.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..server.connection import LEFT, STALLED, Connection
from ..server.engine import Engine
from ..server.patience import Patience
from ..server.processes import fork_child
from ..server.scoreboard import NOTICE, SENDER
from ..server.wakeup import SenderGroup, make_multicast
from ._client_processes import STALLED_STATUS, ClientProcesses

if TYPE_CHECKING:
    import socket

    from ..server.server import Service


@dataclass
class _Child:
    slot: int
    connection: Connection


class Fork(Engine):
    """Serve each client with two processes."""

    wait_options = os.WNOHANG | os.WUNTRACED | os.WCONTINUED

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.children: dict[int, _Child] = {}
        """By the process id of the Child RECV."""
        self.free_slots = list(range(self.context.scoreboard.slots))
        self.patience = Patience(self.context.config.process_timeout)
        self.stopped: set[int] = set()
        """The process ids of the children that a signal has stopped."""

    def start(self) -> None:
        context = self.context
        self.group = SenderGroup(context.log_event)
        self._multicast = make_multicast(
            context.settings["multicast"], self.group.id, context.scoreboard
        )
        self.processes = ClientProcesses(context, self.group, self._multicast)
        self.processes.rehearse()

    def run(self) -> None:
        while not self.service.ending:
            self.service.step(self.patience.interval if self.stopped else None)
            for pid in self.patience.count(dict.fromkeys(self.stopped, 0)):
                seconds = self.context.config.process_timeout
                self.context.log_event(
                    f"{self.children[pid].connection}: its process {pid} was stopped for "
                    f"{seconds:g} s; killing it"
                )
                os.kill(pid, signal.SIGKILL)

    def wake_senders(self) -> None:
        self._multicast()
        # Close the old log file here.  If that fails, each child still switches by itself.
        with contextlib.suppress(CommandError, OSError):
            self.processes.reader.refresh()

    def take(self, accepted: socket.socket, connection: Connection) -> None:
        slot = self.free_slots.pop()
        try:
            pid = fork_child(
                lambda: self.processes.receive(accepted, slot, connection.since),
                self.context.log_event,
            )
        except OSError:
            self.free_slots.append(slot)
            raise
        self.children[pid] = _Child(slot, connection)
        accepted.close()

    def reap(self, pid: int, status: int) -> None:
        if os.WIFSTOPPED(status):
            self.stopped.update({pid} & self.children.keys())
            return
        self.stopped.discard(pid)
        if os.WIFCONTINUED(status):
            return
        if pid == self.group.id:
            self.service.fail("the leader of the senders' process group was killed")
        child = self.children.pop(pid, None)
        if child is None:
            return
        scoreboard = self.context.scoreboard
        sender = scoreboard.get_slot(child.slot, SENDER)
        if sender:
            # The Child RECV was killed.  On some platforms the kernel has killed the Child SEND.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(sender, signal.SIGKILL)
        scoreboard.set_slot(child.slot, SENDER, 0)
        scoreboard.set_slot(child.slot, NOTICE, 0)
        self.free_slots.append(child.slot)
        stalled = os.waitstatus_to_exitcode(status) == STALLED_STATUS
        self.service.forget(child.connection, STALLED if stalled else LEFT)

    def drain(self) -> None:
        for pid in self.children:
            os.kill(pid, signal.SIGTERM)

    def is_idle(self) -> bool:
        return not self.children

    def kill(self) -> None:
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        self.group.kill()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


ENGINE = Fork
