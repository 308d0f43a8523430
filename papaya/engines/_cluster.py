"""The two processes of a client: Child RECV, and its child, Child SEND."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

from ..protocol import notice
from ..server.log_cursor import Behind, Place
from ..server.processes import close_all_but, dying_with_parent, fork, pthread_sigmask
from ..server.scoreboard import COMMITTED, GENERATION, NOTICE, SENDER, Board
from ..server.server import FULL, LATE, LEFT, STALLED, WRONG
from ..server.session import Chat, Full, Session, WrongKey
from ..server.wakeup import RING, Group, waiter

CODES = {3: WRONG, 4: LATE, 5: LEFT, 6: STALLED, 7: FULL}
"""What the exit status of either tells its parent; any other is LEFT too."""
CODE = {why: code for code, why in CODES.items()}


class Cluster:
    """What every client's two processes begin with, made once before all of them.

    What a child makes for itself is memory that it does not share; each makes its own of
    this by the first use.
    """

    def __init__(self, chat: Chat, group: Group, ring: Callable[[], None], report: int) -> None:
        settings = chat.settings
        self.chat = chat
        self.group = group
        self.report = report
        """Takes the process id of a Child RECV whose client has sent the key."""
        self.die_with = dying_with_parent(settings["orphans"], signal.SIGKILL)
        self.reader = chat.reader(settings["send"] == "sendfile")
        self.session = Session(chat, chat.log(), ring, lambda: self.reader)
        self.wait = waiter(settings["wait"])
        self.poller = select.poll()
        self.poller.register(group.life, select.POLLIN)

    # Child RECV -----------------------------------------------------------------------------

    def receive(self, client: socket.socket, slot: int) -> int:
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
                return CODE[LATE]
            ending = ended in ready or life in ready
            try:
                # What came before the end is taken before it ends.
                came = _take(client, session, slot)
            except WrongKey:
                return CODE[WRONG]
            except Full:
                return CODE[FULL]
            more = came and not ending
            if session.place and not sender:
                os.write(self.report, struct.pack("i", os.getpid()))
                sender = self._fork_sender(client, slot, session.place)
                # What the log will have been by then is not to stay open here.
                session.place.file.close()
        if not sender:
            return CODE[LEFT]
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
            return CODE[STALLED]
        except (OSError, Behind):
            return CODE[LEFT]


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
