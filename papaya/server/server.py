"""The daemon: listens, admits, hands connections to an engine, and ends in good order.

An engine is a file of `papaya.engines`; it says how clients are served at the same
time.  What is the same for all is here: signals, limits, rotation, status, the end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import selectors
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from probes.errors import CommandError

from . import event_log
from .admission import Limits
from .listener import Acceptor, prepare
from .message_log import Log
from .processes import HANDLED, pthread_sigmask
from .scoreboard import BYTES, LINES, REPAIRED
from .session import Chat
from .status import StatusSocket

STOP_SECONDS = 1.5
"""How long clients may take to be sent the last lines when the service ends."""


WRONG, LATE, FULL = "wrong key", "no key in time", "too many clients"
LEFT, STALLED = "left", "stalled"
"""How a visit ends."""


@dataclass
class Visitor:
    """Who connected, and whether it has sent the key."""

    host: str
    port: int
    welcome: bool = False

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


class Engine(ABC):
    """One way to serve many clients at once."""

    blocking = False
    """Whether it wants accepted sockets to block."""
    unused: frozenset[str] = frozenset()
    """The settings that make no difference to it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.chat = service.chat

    @abstractmethod
    def start(self) -> None:
        """Make what is needed before the first client; signals are blocked."""

    @abstractmethod
    def take(self, accepted: socket.socket, visitor: Visitor) -> None:
        """Serve a connection that `Limits` let in, and close it.

        `Service.welcomed` and `Service.gone` are to be told what becomes of it.
        """

    @abstractmethod
    def ring(self) -> None:
        """Tell the senders to look at the log."""

    def drain(self) -> None:  # noqa: B027 (who has no children has done so by the end of `run`)
        """Begin to end: every line that came is kept and sent, then the clients are left."""

    def idle(self) -> bool:
        """Whether nothing is left running."""
        return True

    def kill(self) -> None:  # noqa: B027
        """End whatever is left."""

    def reap(self, pid: int, status: int) -> None:
        """A child ended."""
        raise AssertionError("this engine has no children")

    def hear(self) -> None:  # noqa: B027 (who has no children has nothing to hear)
        """Take in what the children have to say of their clients."""

    def run(self) -> None:
        """Serve until the service is to end."""
        self.service.loop()


class Service:
    """The daemon's process.  Single-threaded; made before the first fork."""

    def __init__(
        self, chat: Chat, listeners: list[socket.socket], engine: Callable[[Service], Engine]
    ) -> None:
        config = chat.config
        self.chat = chat
        self.say = chat.say
        self.listeners = listeners
        self.log: Log = chat.log()
        self.limits = Limits(config.early_drop, config.max_clients, config.backoff)
        self.acceptor = Acceptor()
        chat.board.rotate = self.rotate
        with self.log.alone():  # Who has bound and does not listen yet is not taken for dead.
            self.status = StatusSocket(config.status_path)
        self.engine = engine(self)
        self.selector = selectors.DefaultSelector()
        self.started = time.monotonic()
        self.ending = False
        self.failed = ""
        self.short = ""

    # Life ---------------------------------------------------------------------------------

    def serve(self, ready: Callable[[], None]) -> None:
        """Everything, until SIGTERM or SIGINT.  ``ready`` is called once clients may come."""
        _allow_descriptors(self.chat.board.slots)
        try:
            pthread_sigmask(signal.SIG_BLOCK, HANDLED)
            cut = self.log.begin()
            if cut:
                self.say(f"{self.log.path}: cut {cut} bytes of a line that was not finished")
            self._handle_signals()
            self.engine.start()
        except BaseException:
            self.status.close()
            raise
        pthread_sigmask(signal.SIG_UNBLOCK, HANDLED - {signal.SIGUSR1})
        try:
            for listener in self.listeners:
                self.watch(listener, functools.partial(self._accept, listener))
            self.watch(self.wake, self._signals)
            self.watch(self.status.socket, self._tell)
            ready()
            event_log.notify("READY=1")
            self.engine.run()
        finally:
            self._end()
        if self.failed:
            raise CommandError(self.failed, 3)

    def fail(self, why: str) -> None:
        """End, as it cannot be mended from within; a supervisor may start it anew."""
        self.failed = why
        self.ending = True

    def watch(self, source: Any, callback: Callable[[], None]) -> None:
        """Call back when the source can be read."""
        self.selector.register(source, selectors.EVENT_READ, callback)

    def unwatch(self, source: Any) -> None:
        """No longer."""
        self.selector.unregister(source)

    def loop(self) -> None:
        """Call back as sources become readable, until the end is asked for."""
        while not self.ending:
            self.step(None)

    def step(self, seconds: float | None) -> None:
        """One round of it, of that many seconds at most."""
        for key, _ in self.selector.select(seconds):
            key.data()

    def _end(self) -> None:
        event_log.notify("STOPPING=1")
        for source in (*self.listeners, self.status.socket):
            self.unwatch(source)
            source.close()
        self.status.close()
        self.engine.drain()
        until = time.monotonic() + STOP_SECONDS
        while not self.engine.idle() and (left := until - time.monotonic()) > 0:
            self.step(left)
        self.engine.kill()
        self.say("ended")

    # Signals ------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        self.wake, writing = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for signum in HANDLED - {signal.SIGUSR1}:
            signal.signal(signum, lambda *_: None)

    def _signals(self) -> None:
        """What came: the handlers only wrote the numbers into the pipe."""
        came = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.wake, 4096):
                came |= set(data)
        if signal.SIGCHLD in came:
            self._reap()
        if signal.SIGHUP in came:
            self.rotate()
        if signal.SIGUSR2 in came:
            self.say(StatusSocket.text(self.counters()).strip())
        if came & {signal.SIGTERM, signal.SIGINT}:
            self.ending = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.engine.reap(pid, status)

    def rotate(self) -> None:
        """Go on with another file where the log was renamed; with the old one if it cannot be."""
        try:
            moved = self.log.rotate()
        except (CommandError, OSError) as error:
            self.say(f"{self.log.path}: no new file ({error}); the old one is written to still")
            return
        if moved:
            self.say(f"{self.log.path}: goes on in a new file")
            self.engine.ring()

    # Connections --------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        """One at a time: whoever connects in masses does not keep the rest waiting."""
        found = self.acceptor.accept(listener)
        if found is None:
            return
        if isinstance(found, str):
            if found != self.short:
                self.say(f"a connection was refused: {found}")
            self.short = found
            return
        self.short = ""
        accepted, visitor = found[0], Visitor(*found[1:])
        self.engine.hear()  # Who of those that waited has sent the key by now?
        why = self.limits.refuses(visitor.host)
        if why:
            accepted.close()
            self._refused(visitor, why)
            return
        try:
            prepare(accepted, self.engine.blocking, self.chat.config.send_timeout)
            self.engine.take(accepted, visitor)
        except OSError as error:
            # It left before it was served, or there is no process left for it.
            accepted.close()
            self.limits.failed(visitor.host, False)
            self.say(f"{visitor} could not be served: {error.strerror}")

    def welcomed(self, visitor: Visitor) -> None:
        """It sent the key, and was admitted."""
        visitor.welcome = True
        self.limits.welcomed(visitor.host)

    def gone(self, visitor: Visitor, why: str) -> None:
        """Its visit ended: ``why`` is WRONG, LATE, FULL, LEFT or STALLED."""
        if not visitor.welcome:
            self.limits.failed(visitor.host, why == WRONG)
            self.limits.refused += why == FULL
            if why in (WRONG, LATE, FULL):
                self._refused(visitor, why)
            return
        self.limits.left()
        if why == STALLED:
            seconds = self.chat.config.send_timeout
            self.say(f"{visitor} dropped: took nothing for {seconds:g} s")

    def _refused(self, visitor: Visitor, why: str) -> None:
        """The line that fail2ban reads."""
        self.say(f"refused {visitor}: {why}")

    # Status -------------------------------------------------------------------------------

    def counters(self) -> dict[str, object]:
        """What ``papaya status`` prints."""
        board = self.chat.board
        return {
            "pid": os.getpid(),
            "engine": self.chat.config.engine,
            "seconds": round(time.monotonic() - self.started, 1),
            "listening": [one.getsockname()[:2] for one in self.listeners],
            "clients": self.limits.clients,
            "waiting": self.limits.waiting,
            "refused": self.limits.refused,
            "lines": board[LINES],
            "bytes": board[BYTES],
            "repaired": board[REPAIRED],
        }

    def _tell(self) -> None:
        found = self.acceptor.accept(self.status.socket)
        if isinstance(found, tuple):
            self.status.tell(found[0], self.counters())


def how_it_ended(status: int) -> str:
    """What waitpid() says of a child, as people say it."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # A real-time signal has no name.
        return f"signal {-code}"


def _allow_descriptors(clients: int) -> None:
    """As many open files as the clients need, if the hard limit lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + 64
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
