"""The paper's engine: two processes a client.

*Child RECV* takes what the client sends, appends it to the log and multicasts.  *Child
SEND*, its child, waits for the multicast and sends what is new in the log.  The kernel
schedules them, and one that fails takes nobody along.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass

from ..board import CLIENTS, COMMITTED, GENERATION, NOTICE, SENDER, Board
from ..chat import Full, Session, WrongKey
from ..errors import Refused
from ..log import Moved
from ..multicast import RING, Group, ringer, waiter
from ..place import Behind, Place
from ..processes import close_all_but, dying_with_parent, fork, pthread_sigmask
from ..service import FULL, LATE, LEFT, STALLED, WRONG, Engine, Service, Visitor
from ..wire import notice

_CODES = {3: WRONG, 4: LATE, 5: LEFT, 6: STALLED, 7: FULL}
"""What a child's exit status tells its parent; any other is LEFT too."""
_CODE = {why: code for code, why in _CODES.items()}


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
        settings = self.chat.settings
        self.group = Group(self.chat.say)
        self._ring = ringer(settings["multicast"], self.group.id, self.chat.board)
        self.die_with = dying_with_parent(settings["orphans"], signal.SIGKILL)
        # What a child makes for itself is memory that it does not share: they all begin with
        # these, and each makes its own of them by the first use.
        self.reader = self.chat.reader(settings["send"] == "sendfile")
        self.session = Session(self.chat, self.chat.log(), self._ring, lambda: self.reader)
        self.wait = waiter(settings["wait"])
        self.poller = select.poll()
        self.poller.register(self.group.life, select.POLLIN)
        # A Child RECV writes its process id here once its client has sent the key.
        self.reports, self.report = os.pipe()
        os.set_blocking(self.reports, False)
        self.service.watch(self.reports, self.hear)

    def ring(self) -> None:
        self._ring()
        # Not to keep open what the log was.  Else the children find it out for themselves.
        with contextlib.suppress(Refused, Moved, OSError):
            self.reader.refresh()

    # The daemon -----------------------------------------------------------------------------

    def take(self, accepted: socket.socket, visitor: Visitor) -> None:
        slot = self.free.pop()
        try:
            pid = fork(lambda: self._receive(accepted, slot), self.chat.say)
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
        why = _CODES.get(os.waitstatus_to_exitcode(status), LEFT)
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

    # Child RECV -----------------------------------------------------------------------------

    def _receive(self, client: socket.socket, slot: int) -> int:
        """Take what the client sends until it sends no more; the exit status."""
        session, poller, life = self.session, self.poller, self.group.life
        session.slot = slot
        close_all_but(client.fileno(), self.report, life, self.reader.file.descriptor)
        ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # The daemon's handlers of these do nothing but wake; the others it handles stay blocked.
        pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGCHLD))
        # A poll and not a handler: a signal just before the read would not end the wait for it.
        poller.register(client.fileno(), select.POLLIN)
        poller.register(ended, select.POLLIN)
        until = time.monotonic() + self.chat.config.auth_timeout
        sender = 0
        came = more = True
        while more:
            left = None if sender else max(0.0, until - time.monotonic()) * 1000
            ready = dict(poller.poll(left))
            if not ready:
                return _CODE[LATE]
            ending = ended in ready or life in ready
            try:
                # What came before the end is taken before it ends.
                came = _take(client, session, slot)
            except WrongKey:
                return _CODE[WRONG]
            except Full:
                return _CODE[FULL]
            more = came and not ending
            if session.place and not sender:
                os.write(self.report, struct.pack("i", os.getpid()))
                sender = self._fork_sender(client, slot, session.place)
                # What the log will have been by then is not to stay open here.
                session.place.file.close()
        if not sender:
            return _CODE[LEFT]
        if not came:
            session.end()
        return _end_sender(sender, self.chat.board, slot)

    def _fork_sender(self, client: socket.socket, slot: int, place: Place) -> int:
        receiver = os.getpid()
        return fork(lambda: self._send(client, slot, place, receiver), self.chat.say)

    # Child SEND -----------------------------------------------------------------------------

    def _send(self, client: socket.socket, slot: int, place: Place, receiver: int) -> int:
        """Send the client what is new in the log, each time the multicast comes."""
        chat = self.chat
        # Not the log as the Child RECV has it open: its lock would outlive it.
        close_all_but(client.fileno(), place.file.descriptor)
        self.group.join()
        numbers, noted = chat.board.numbers, chat.board.number_of(slot, NOTICE)
        chat.board.set_slot(slot, SENDER, os.getpid())
        self.die_with(receiver)
        wait = self.wait
        out = client.fileno()
        generation = descriptor = -1
        ended = False
        try:
            while True:
                # What `Place.advance` does, without its calls: nearly every line goes this way,
                # and what a process that was just woken calls for the first time is dear.
                left = numbers[COMMITTED] - place.offset
                if 0 < left < 65536 and numbers[GENERATION] == generation:
                    place.offset += os.sendfile(out, descriptor, place.offset, left)
                if numbers[COMMITTED] != place.offset or numbers[GENERATION] != generation:
                    place.advance(client)
                    if place.reader.sendfile:
                        generation, descriptor = place.file.generation, place.file.descriptor
                if number := numbers[noted]:
                    numbers[noted] = 0
                    client.sendall(notice(chat.notice(number)))
                if ended:
                    return 0
                ended = wait() != RING
        except BlockingIOError:
            return _CODE[STALLED]
        except (OSError, Behind):
            return _CODE[LEFT]


def _take(client: socket.socket, session: Session, slot: int) -> bool:
    """Take what has come; False when the client sends no more."""
    try:
        data = client.recv(65536, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    number = session.feed(data)
    if number:
        board = session.chat.board
        board.set_slot(slot, NOTICE, number)
        sender = board.slot(slot, SENDER)
        if sender:
            os.kill(sender, RING)
    return bool(data)


def _end_sender(sender: int, board: Board, slot: int) -> int:
    """Have the Child SEND send the last and end; the exit status for both."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(sender, signal.SIGTERM)
    _, status = os.waitpid(sender, 0)
    board.set_slot(slot, SENDER, 0)
    return max(0, os.waitstatus_to_exitcode(status))


ENGINE = Fork
