"""The two processes of a client: Child RECV, and its child, Child SEND."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from select import POLLIN
from signal import set_wakeup_fd
from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..protocol import format_notice
from ..server.engine import BRIEF_LOCK_SECONDS, LOCK_SECONDS
from ..server.log_cursor import FellBehind
from ..server.patience import Patience
from ..server.processes import close_inherited, fork_blocked, make_death_request, pthread_sigmask
from ..server.scoreboard import GENERATION, NOTICE, SENDER
from ..server.session import Session, describe_notice
from ..server.wakeup import WAKEUP, make_wait

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..server.engine import ServiceContext
    from ..server.log_cursor import LogCursor
    from ..server.wakeup import SenderGroup

# As numbers: the signal module's members are objects that a child would have to copy.
SIGCHLD, SIGTERM = int(signal.SIGCHLD), int(signal.SIGTERM)
SIG_UNBLOCK = int(signal.SIG_UNBLOCK)
_REHEARSALS = 16
"""More calls of a function than Python makes before it specializes it."""
STALLED_STATUS = 3
"""The exit status of either process if the client read nothing for too long."""


class ClientProcesses:
    """What every client's two processes start with, made once before all of them.

    A child does not share memory that it allocates itself, so all that can be made before the
    fork is made here; each child modifies its own copy.
    """

    def __init__(
        self,
        context: ServiceContext,
        group: SenderGroup,
        wake_senders: Callable[[], None],
    ) -> None:
        settings = context.settings
        self.context = context
        self.group = group
        self.request_death_signal = make_death_request(settings["orphans"], signal.SIGKILL)
        self.reader = context.open_reader()
        self.session = Session(context, context.make_log(LOCK_SECONDS), wake_senders)
        self.wait = make_wait(settings["wait"])
        self.poller = select.poll()
        self.poller.register(group.daemon_alive, POLLIN)

    def rehearse(self) -> None:
        """Run what the children will run, so that they share what Python remembers of it.

        Python specializes code and caches the attributes of classes as it runs; a child that did
        this itself would copy the memory.
        """
        log, wake_senders = self.context.make_log(BRIEF_LOCK_SECONDS), self.session.wake_senders
        session = Session(self.context, log, wake_senders)
        with contextlib.suppress(CommandError, OSError):
            for _ in range(_REHEARSALS):
                self.reader.make_cursor(self.context.config.history)
                session.lines.feed(b"name: text\n")
                session.limit.spend(b"\n")
                session.feed(b"")
                log.append([])
                wake_senders()
        log.close()

    def receive(self, client: socket.socket, slot: int, since: int) -> int:
        """Run Child RECV: read until the client sends no more; return the exit status."""
        context, session, poller = self.context, self.session, self.poller
        incoming, daemon_alive = client.fileno(), self.group.daemon_alive
        close_inherited(incoming, daemon_alive, self.reader.file.descriptor)
        # The cursor comes before the first line: the client must be sent its own lines.
        cursor = self.reader.make_cursor(context.config.history, since)
        pid = self._fork_sender(client, slot, cursor)
        # Only the sender reads the log: this process must not keep a rotated file open.
        cursor.file.close()
        ended, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        # The daemon's handlers of these only write to the wakeup descriptor; the other signals
        # that the daemon handles stay blocked.
        pthread_sigmask(SIG_UNBLOCK, (SIGTERM, SIGCHLD))
        # poll() on a descriptor, because a signal just before read() would not interrupt it.
        poller.register(incoming, POLLIN)
        poller.register(ended, POLLIN)
        sender: _Sender | None = None
        limit, pause, milliseconds = session.limit, 0.0, None
        received = more = True
        while more:
            signals, ending = b"", False
            for descriptor, _ in poller.poll(milliseconds):
                if descriptor == daemon_alive:
                    ending = True
                elif descriptor == ended:
                    signals = os.read(ended, 64)
                    # Another signal only ended a wait for the log's lock.
                    ending = ending or SIGTERM in signals
                    if sender is None and SIGCHLD in signals:
                        sender = _Sender(pid, context, slot)
            if sender is not None and sender.is_over(signals):
                ending = True
            # Data that arrived before the end is processed before it.
            try:
                data = os.read(incoming, 65536)
            except BlockingIOError:
                pass
            except OSError:
                received = False
            else:
                received = bool(data)
                if number := session.feed(data):
                    self._notify(slot, number)
            more = received and not ending
            if pause or limit.left < 0:
                pause = limit.measure_pause()
                poller.modify(incoming, 0 if pause else POLLIN)
            milliseconds = sender.measure_wait(pause) if sender else 1000 * pause or None
        if not received:
            session.finish()
        return (sender or _Sender(pid, context, slot)).end()

    def _notify(self, slot: int, number: int) -> None:
        """Make Child SEND send the client a notice."""
        scoreboard = self.context.scoreboard
        scoreboard.set_slot(slot, NOTICE, number)
        sender = scoreboard.get_slot(slot, SENDER)
        if sender:
            os.kill(sender, WAKEUP)

    def _fork_sender(self, client: socket.socket, slot: int, cursor: LogCursor) -> int:
        receiver = os.getpid()
        return fork_blocked(
            lambda: self._send(client, slot, cursor, receiver), self.context.log_event
        )

    def _send(self, client: socket.socket, slot: int, cursor: LogCursor, receiver: int) -> int:
        """Run Child SEND: send what is new in the log each time the multicast arrives."""
        context = self.context
        os.close(self.group.daemon_alive)
        self.group.join()
        numbers = context.scoreboard.numbers
        notice = context.scoreboard.get_index(slot, NOTICE)
        numbers[context.scoreboard.get_index(slot, SENDER)] = os.getpid()
        self.request_death_signal(receiver)
        wait = self.wait
        out = client.fileno()
        end = cursor.reader.end
        file, offset = cursor.file, cursor.offset
        generation, descriptor, committed = file.generation, file.descriptor, file.committed
        ended = False
        owed = b""
        writable = None
        while True:
            try:
                while True:
                    while owed:
                        owed = owed[os.write(out, owed) :]
                    # The same as `LogCursor.advance`, without its calls: nearly every line takes
                    # this path, and a process that has just been woken pays for each function
                    # that it calls.
                    left = numbers[committed] - offset
                    if 0 < left < 65536 and numbers[GENERATION] == generation:
                        data = os.pread(descriptor, left, offset)
                        if numbers[GENERATION] == generation and len(data) == left:
                            offset += min(os.write(out, data + end), left)
                    if numbers[committed] != offset or numbers[GENERATION] != generation:
                        cursor.offset = offset
                        try:
                            cursor.advance(client)
                        finally:
                            file, offset = cursor.file, cursor.offset
                            generation, descriptor = file.generation, file.descriptor
                            committed = file.committed
                    if number := numbers[notice]:
                        numbers[notice] = 0
                        owed = format_notice(describe_notice(number, context)) + end
                        continue
                    if ended:
                        return 0
                    ended = wait() != WAKEUP
            except BlockingIOError:
                if writable is None:
                    writable = select.poll()
                    writable.register(out, select.POLLOUT)
                if not writable.poll(1000 * context.config.send_timeout):
                    return STALLED_STATUS
            except (OSError, FellBehind, CommandError):
                return 0


class _Sender:
    """The Child SEND, as its parent sees it."""

    def __init__(self, pid: int, context: ServiceContext, slot: int) -> None:
        self.pid = pid
        self.slot = slot
        self.context = context
        self.status: int | None = None
        """What waitpid() returned once it had ended."""
        self.patience: Patience | None = None
        """While it is stopped."""

    def measure_wait(self, pause: float) -> float | None:
        """Return the milliseconds until the end of the pause, or until `is_over` must be called."""
        if self.patience:
            pause = min(pause or self.patience.interval, self.patience.interval)
        return 1000 * pause or None

    def is_over(self, signals: bytes) -> bool:
        """Return whether it has ended, or has been stopped for too long."""
        while self.status is None and signal.SIGCHLD in signals:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if not pid:
                break
            self._note(status)
        if self.patience and self.patience.count({self.pid: 0}):
            seconds = self.context.config.process_timeout
            self.context.log_event(
                f"process {self.pid} was stopped for {seconds:g} s; disconnecting its client"
            )
            return True
        return self.status is not None

    def _note(self, status: int) -> None:
        if os.WIFSTOPPED(status):
            self.patience = Patience(self.context.config.process_timeout)
        elif os.WIFCONTINUED(status):
            self.patience = None
        else:
            self.status = status
            self.context.scoreboard.set_slot(self.slot, SENDER, 0)

    def end(self) -> int:
        """Make it send the last lines and exit; return the exit status for both processes.

        A stopped one cannot, and is killed.
        """
        while self.status is None:
            os.kill(self.pid, signal.SIGKILL if self.patience else signal.SIGTERM)
            self._note(os.waitpid(self.pid, os.WUNTRACED)[1])
        return max(0, os.waitstatus_to_exitcode(self.status))
