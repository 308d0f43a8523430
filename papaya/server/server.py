"""The daemon: listen, admit connections, hand them to an engine, and end in good order.

An engine is a module of `papaya.engines`, which defines how clients are served at the same
time.  This module has what all engines need: signals, admission, rotation, status, the end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

from probes.errors import CommandError

from ..config import LONGEST_LINE
from . import event_log
from .admission import Admission
from .connection import STALLED, Connection
from .engine import BRIEF_LOCK_SECONDS
from .files import check_log
from .listener import Acceptor, get_host_and_port, set_socket_options
from .log_lock import LogBusy
from .processes import HANDLED, pthread_sigmask
from .scoreboard import ATTEMPTS, LINES, REPAIRED
from .status import StatusSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .engine import Engine, ServiceContext

_RETRY_SECONDS = 1.0
"""Time between attempts to rotate the log while another process has locked it."""
STOP_SECONDS = 1.5
"""How long clients may take to be sent the last lines when the service ends."""
_ACCEPTED_AT_ONCE = 16
"""Connections of one listener, so that a flood delays nothing else for long."""
_OTHER_DESCRIPTORS = 64
"""Descriptors beside those of connections."""


class Service:
    """The daemon's process.  Single-threaded; made before the first fork."""

    def __init__(
        self,
        context: ServiceContext,
        listeners: list[socket.socket],
        make_engine: Callable[[Service], Engine],
    ) -> None:
        config = context.config
        self.context = context
        self.log_event = context.log_event
        self.listeners = listeners
        self.log = context.make_log(BRIEF_LOCK_SECONDS)
        self.admission = Admission(self, config, context.key)
        self.acceptor = Acceptor()
        context.scoreboard.rotate = self.rotate
        self.status = StatusSocket(config.status_path)
        self.engine = make_engine(self)
        self.selector = selectors.DefaultSelector()
        self.started = time.monotonic()
        self.ending = False
        self.failure = ""
        self.last_shortage = ""
        self.last_problem = ""
        """Why the last rotation failed."""
        self.rotate_at: float | None = None
        """When to try a rotation again."""

    def serve(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT.  Call ``ready`` once clients can connect."""
        self._fit_descriptor_limit()
        try:
            pthread_sigmask(signal.SIG_BLOCK, HANDLED)
            cut = self.log.recover()
            if cut:
                self.log_event(f"{self.log.path}: cut {cut} bytes of an unfinished line")
            self._handle_signals()
            self.engine.start()
        except BaseException:
            self.status.close()
            raise
        pthread_sigmask(signal.SIG_UNBLOCK, HANDLED - {signal.SIGUSR1})
        try:
            for listener in self.listeners:
                self.watch(listener, functools.partial(self._accept, listener))
            self.watch(self.wakeup, self._read_signals)
            self.watch(self.status.socket, self._send_status)
            ready()
            event_log.notify_supervisor("READY=1")
            self.engine.run()
        finally:
            self._end()
        if self.failure:
            raise CommandError(self.failure, 3)

    def fail(self, why: str) -> None:
        """End the service, because it cannot recover; a supervisor may restart it."""
        self.failure = why
        self.ending = True

    def watch(self, source: Any, callback: Callable[[], object]) -> None:
        """Call ``callback`` whenever ``source`` is readable."""
        self.selector.register(source, selectors.EVENT_READ, callback)

    def watch_writing(self, source: Any, wanted: bool) -> None:
        """Call the callback of a watched ``source`` also when it is writable, if ``wanted``."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self.selector.modify(source, events, self.selector.get_key(source).data)

    def unwatch(self, source: Any) -> None:
        """Undo `watch`."""
        self.selector.unregister(source)

    def loop(self) -> None:
        """Call the callbacks of readable sources until the service is ending."""
        while not self.ending:
            self.step(None)

    def step(self, seconds: float | None) -> None:
        """Wait up to ``seconds`` for readable sources, and call their callbacks once.

        The listeners come last: a connection that has sent its key must not be refused because
        of new ones.
        """
        rests = [seconds, self.admission.measure_rest()]
        if self.rotate_at is not None:
            rests.append(max(0.0, self.rotate_at - time.monotonic()))
        seconds = min((rest for rest in rests if rest is not None), default=None)
        ready = self.selector.select(seconds)
        for key, _ in sorted(ready, key=lambda found: found[0].fileobj in self.listeners):
            key.data()
        self.admission.tidy()
        if self.rotate_at is not None and time.monotonic() >= self.rotate_at:
            self.rotate()

    def _end(self) -> None:
        event_log.notify_supervisor("STOPPING=1")
        for source in (*self.listeners, self.status.socket):
            self.unwatch(source)
            source.close()
        self.status.close()
        self.admission.close()
        self.engine.drain()
        until = time.monotonic() + STOP_SECONDS
        while not self.engine.is_idle() and (left := until - time.monotonic()) > 0:
            self.step(left)
        self.engine.kill()
        self.log_event("ended")

    def _handle_signals(self) -> None:
        self.wakeup, writing = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # It ends a wait for the log's lock; the program that starts papaya may have blocked it.
        pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        for signum in HANDLED - {signal.SIGUSR1}:
            signal.signal(signum, lambda *_: None)

    def _read_signals(self) -> None:
        """Act on the signals whose numbers the wakeup descriptor has."""
        received = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.wakeup, 4096):
                received |= set(data)
        if signal.SIGCHLD in received:
            self._reap()
        if signal.SIGHUP in received:
            self.rotate()
        if signal.SIGUSR2 in received:
            self.log_event(StatusSocket.format_counters(self.get_counters()).strip())
        if received & {signal.SIGTERM, signal.SIGINT}:
            self.ending = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, self.engine.wait_options)
            except ChildProcessError:
                return
            if not pid:
                return
            self.engine.reap(pid, status)

    def rotate(self) -> None:
        """Switch to a new log file if the log was renamed; keep the old one if that fails.

        While another process holds the log's lock, try again later.
        """
        problem, moved, self.rotate_at = "", False, None
        try:
            check_log(self.log.path, LONGEST_LINE)
            moved = self.log.rotate()
        except (CommandError, OSError) as error:
            problem = f"{error}; keeping the old log file"
            if isinstance(error, LogBusy):
                self.rotate_at = time.monotonic() + _RETRY_SECONDS
        self.context.scoreboard[ATTEMPTS] += 1
        # A writer asks for each line while the log is deleted and no new one can be opened.
        if problem and problem != self.last_problem:
            self.log_event(problem)
        self.last_problem = problem
        if moved:
            self.log_event(f"{self.log.path}: opened a new log file")
            self.engine.wake_senders()

    def _accept(self, listener: socket.socket) -> None:
        """Accept new connections, and drop one if descriptors or memory are short."""
        for _ in range(_ACCEPTED_AT_ONCE):
            found = self.acceptor.accept(listener)
            if found is None:
                return
            if isinstance(found, str):
                if found != self.last_shortage:
                    self.log_event(f"refused a connection: {found}")
                self.last_shortage = found
                return
            self.last_shortage = ""
            self.admission.add(found[0], Connection(*found[1:]))

    def serve_client(self, accepted: socket.socket, connection: Connection) -> bool:
        """Pass a client to the engine; return False, and log why, if it cannot be served."""
        try:
            set_socket_options(accepted, self.context.config.send_timeout)
            self.engine.take(accepted, connection)
        except (CommandError, OSError) as error:
            # The peer has left already, or there is no process or descriptor for it.
            why = getattr(error, "strerror", None) or str(error)
            self.log_event(f"{connection} could not be served: {why}")
            return False
        return True

    def update_clients(self) -> None:
        """Learn which clients have left."""
        self._reap()
        self.engine.read_reports()

    def forget(self, connection: Connection, why: str) -> None:
        """Record the end of a client; see `papaya.server.connection` for ``why``."""
        self.admission.remove_client()
        if why == STALLED:
            seconds = self.context.config.send_timeout
            self.log_event(f"{connection} disconnected: read nothing for {seconds:g} s")

    def get_counters(self) -> dict[str, object]:
        """Return what ``papaya status`` prints."""
        scoreboard = self.context.scoreboard
        return {
            "pid": os.getpid(),
            "engine": self.context.config.engine,
            "seconds": round(time.monotonic() - self.started, 1),
            "listening": [get_host_and_port(one.getsockname()) for one in self.listeners],
            "clients": self.admission.clients,
            "waiting": self.admission.waiting,
            "refused": self.admission.refused,
            "lines": scoreboard[LINES],
            "bytes": scoreboard.count_bytes(),
            "repaired": scoreboard[REPAIRED],
        }

    def _send_status(self) -> None:
        found = self.acceptor.accept(self.status.socket)
        if isinstance(found, tuple):
            self.status.send(found[0], self.get_counters())

    def _fit_descriptor_limit(self) -> None:
        """Raise the limit of open files to what connections need; with less, let fewer wait."""
        config = self.context.config
        # As many clients may wait for a place as connections for the key.
        others = config.max_clients + config.workers + _OTHER_DESCRIPTORS
        limit = _raise_descriptor_limit(others + 2 * config.max_unauthenticated)
        room = limit - _OTHER_DESCRIPTORS
        most = max(1, room // 8, (limit - others) // 2)
        if most < config.max_unauthenticated:
            self.admission.limit = most
            self.log_event(
                f"only {most} connections may wait for the key: the limit of open files is "
                f"{limit}; raise it (ulimit -n, or LimitNOFILE of systemd)"
            )


def _raise_descriptor_limit(wanted: int) -> int:
    """Raise the limit of open files as far as the hard limit permits; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
