"""A worker of the engine `pool`: its clients, and its messages to and from the daemon.

The daemon sends the number of each client with its descriptor, and what lines it asks for; the
worker answers with that number and how the client ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING

from probes.errors import CommandError

from ..server.connection import LEFT
from ..server.engine import LOCK_SECONDS
from ..server.processes import close_inherited, make_death_request
from ..server.scoreboard import BEATS, CLIENTS
from ._multiplexer import Multiplexer, Peer

if TYPE_CHECKING:
    from ..server.engine import ServiceContext
    from ..server.wakeup import SenderGroup
    from ._bells import Bells

CLIENTS_AT_ONCE = 64
"""Descriptors in one message from the daemon at most."""


class Worker:
    """Run the event loop of one process and its `Multiplexer`."""

    def __init__(
        self,
        context: ServiceContext,
        group: SenderGroup,
        bells: Bells,
        channel: socket.socket,
        number: int,
    ) -> None:
        self.context = context
        self.group = group
        self.bells = bells
        self.channel = channel
        self.number = number
        """Also the worker's slot of the scoreboard."""
        self.is_short = False
        """Whether the last connection found no free descriptor."""
        self.ending = False
        self.is_told_to_end = False
        """Whether SIGTERM came, which the event loop has not seen yet."""
        self.has_written = False
        """Whether lines of this worker's clients came into the log in this round of the loop."""
        self.has_news = False
        """Whether there may be lines that its clients have not been sent."""
        self.paused: dict[Peer, float] = {}
        """The clients that have sent too much, and when to read from each again."""

    def run(self, daemon: int) -> int:
        """Serve until the daemon dies or sends SIGTERM; return the exit status."""
        context = self.context
        close_inherited(self.channel.fileno(), *self.bells.list_descriptors())
        self.group.join()
        make_death_request(context.settings["orphans"], signal.SIGTERM)(daemon)
        self.selector = selectors.DefaultSelector()
        bell, own_end = self.bells.pipes[self.number]
        # A signal rings it too.
        signal.set_wakeup_fd(own_end, warn_on_full_buffer=False)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._note_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        log = context.make_log(LOCK_SECONDS)
        self.multiplexer = Multiplexer(context, self, log, self._note_lines)
        self.selector.register(bell, selectors.EVENT_READ, None)
        self.selector.register(self.channel, selectors.EVENT_READ, None)
        config, numbers = context.config, context.scoreboard.numbers
        # The precision of the first timeout; the second is the daemon's patience.
        pause = min(1.0, config.send_timeout / 4, config.process_timeout / 4)
        beats = context.scoreboard.get_index(self.number, BEATS)
        checked = time.monotonic()
        while not (self.ending and self.multiplexer.is_idle()):
            ready = self.selector.select(self._resume(pause) if self.paused else pause)
            numbers[beats] += 1
            for key, events in ready:
                numbers[beats] += 1
                if key.data is None:
                    self._read_source(key.fileobj)
                    continue
                if events & selectors.EVENT_WRITE:
                    self.multiplexer.send(key.data)
                if events & selectors.EVENT_READ and key.data.id in self.multiplexer.peers:
                    self.multiplexer.receive(key.data)
                    self._pause(key.data)
            self._tell()
            if time.monotonic() - checked > pause:
                checked = time.monotonic()
                self.multiplexer.drop_stalled()
        return 0

    def _read_source(self, source: object) -> None:
        if source is self.channel:
            self._take_clients()
            return
        self.bells.answer(self.number)
        if self.is_told_to_end and not self.ending:
            self._end()
        self.has_news = True

    def _note_end(self, *_: object) -> None:
        self.is_told_to_end = True

    def _note_lines(self) -> None:
        self.has_written = True

    def _tell(self) -> None:
        """Send what is new, once for all lines of this round of the loop."""
        if self.has_written:
            self.bells.ring_others(self.number)  # First: they send at the same time.
        if self.has_written or self.has_news:
            self.has_written = self.has_news = False
            self.multiplexer.send_all()

    def _count_clients(self, clients: int) -> None:
        self.context.scoreboard.set_slot(self.number, CLIENTS, clients)

    def _take_clients(self) -> None:
        data = b""
        descriptors: list[int] = []
        # A daemon that was killed before it read this worker's messages resets the channel.
        with contextlib.suppress(ConnectionResetError):
            data, descriptors, _, _ = socket.recv_fds(self.channel, 4096, CLIENTS_AT_ONCE)
        if not data:
            # The daemon has died.
            self._end()
            self.multiplexer.peers.clear()
            return
        received = iter(descriptors)
        for line in data.splitlines():
            id, since = map(int, line.split())
            descriptor = next(received, None)
            if descriptor is None:  # The kernel had no free descriptor for it in this process.
                if not self.is_short:
                    self.context.log_event(f"refused a connection: {os.strerror(errno.EMFILE)}")
                self.is_short = True
                self._report(LEFT, id)
                continue
            self.is_short = False
            connected = socket.socket(fileno=descriptor)
            connected.setblocking(False)
            try:
                peer = self.multiplexer.add(id, connected, since)
            except (CommandError, OSError) as error:
                self.context.log_event(f"a client could not be served: {error}")
                connected.close()
                self._report(LEFT, id)
                continue
            self._watch(peer, 0 if self.ending else selectors.EVENT_READ)
            self.multiplexer.greet(peer)
            self._pause(peer)
        # Before the number was seen, lines were written without a ring.
        self._count_clients(len(self.multiplexer.peers))
        self.has_news = True

    def _pause(self, peer: Peer) -> None:
        """Read nothing more for a time from a client that has sent too much."""
        seconds = peer.session.limit.measure_pause()
        if seconds and peer.id in self.multiplexer.peers:
            self.paused[peer] = time.monotonic() + seconds
            self.watch_writing(peer, peer.is_blocked)

    def _resume(self, most: float) -> float:
        """Read again from each client whose pause is over.

        Return the seconds until the next one is, at most ``most``.
        """
        now = time.monotonic()
        for peer in [peer for peer, until in self.paused.items() if until <= now]:
            del self.paused[peer]
            self.watch_writing(peer, peer.is_blocked)
        return min([most, *(until - now for until in self.paused.values())])

    def _end(self) -> None:
        """Stop reading from all connections; what is in the log is still sent."""
        self.ending = True
        for peer in self.multiplexer.peers.values():
            self._watch(peer, selectors.EVENT_WRITE if peer.is_blocked else 0)

    def watch_writing(self, peer: Peer, wanted: bool) -> None:
        """See `Loop.watch_writing`."""
        unread = self.ending or peer.is_leaving or peer in self.paused
        reading = 0 if unread else selectors.EVENT_READ
        self._watch(peer, reading | (selectors.EVENT_WRITE if wanted else 0))

    def _watch(self, peer: Peer, events: int) -> None:
        if not events:
            with contextlib.suppress(KeyError):
                self.selector.unregister(peer.socket)
        elif peer.socket in self.selector.get_map():
            self.selector.modify(peer.socket, events, peer)
        else:
            self.selector.register(peer.socket, events, peer)

    def forget(self, peer: Peer, why: str) -> None:
        """See `Loop.forget`."""
        self._count_clients(len(self.multiplexer.peers))
        self._watch(peer, 0)
        self.paused.pop(peer, None)
        peer.socket.close()
        self._report(why, peer.id)

    def _report(self, word: str, id: int) -> None:
        with contextlib.suppress(OSError):
            self.channel.sendall(f"{id} {word}\n".encode())
