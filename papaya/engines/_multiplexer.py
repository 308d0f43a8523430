"""Many connections in one process: what `pool` and `coroutines` do for each of them.

Nothing here waits.  The event loop that runs a multiplexer reports which sockets are
readable and writable; through `Loop` the multiplexer asks it to watch for room to write, and
to close a connection.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from probes.errors import CommandError

from ..protocol import format_notice
from ..server.connection import LEFT, STALLED
from ..server.log_cursor import FellBehind
from ..server.session import Session, describe_notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..server.engine import ServiceContext
    from ..server.log_cursor import LogCursor
    from ..server.message_log import MessageLog


@dataclass(eq=False)
class Peer:
    """A client.  The event loop gives the ``id``."""

    id: int
    socket: socket.socket
    session: Session
    cursor: LogCursor
    since: float = 0.0
    """When its socket's buffer became full."""
    is_blocked: bool = False
    """Whether the socket's buffer is full."""
    is_leaving: bool = False
    """Whether it sends no more, and is disconnected once it has been sent everything."""
    unsent: bytes = b""
    notices: list[bytes] = field(default_factory=list)


class Loop(Protocol):
    """What a multiplexer needs from the event loop that runs it."""

    def watch_writing(self, peer: Peer, wanted: bool) -> None:
        """Call `Multiplexer.send` whenever the socket is writable; stop if not ``wanted``."""

    def forget(self, peer: Peer, why: str) -> None:
        """Close the connection; ``why`` is as for `Service.forget`."""


class Multiplexer:
    """Serve the clients of one process."""

    def __init__(
        self,
        context: ServiceContext,
        loop: Loop,
        log: MessageLog,
        wake_senders: Callable[[], None],
    ) -> None:
        self.context = context
        self.loop = loop
        self.wake_senders = wake_senders
        self.log = log
        self.reader = context.open_reader()
        self.peers: dict[int, Peer] = {}
        self.level: dict[Peer, Callable[[bytes], int]] = {}
        """The peers at ``level_at``, each with the function that sends to it.

        Most are, and are sent the same bytes: one place for all of them, in place of the offset of
        each cursor, which touches less memory.
        """
        self.level_at = self.reader.file, self.reader.read_until
        self.others: dict[Peer, None] = {}
        """The peers that are elsewhere, and not blocked."""

    def add(self, id: int, connected: socket.socket, since: int) -> Peer:
        """Add a client; `greet` must follow.  Raise CommandError or OSError.

        ``since`` is that of the client's `Connection`.
        """
        # The cursor comes before the first line: the client must be sent its own lines.
        cursor = self.reader.make_cursor(self.context.config.history, since)
        session = Session(self.context, self.log, self.wake_senders)
        peer = self.peers[id] = Peer(id, connected, session, cursor)
        self.others[peer] = None
        return peer

    def greet(self, peer: Peer) -> None:
        """Process what a new client has sent with the key, then send it the last lines.

        In this order, because a client that has left already makes the first send fail.
        """
        self.receive(peer)
        self.send(peer)

    def feed(self, peer: Peer, data: bytes) -> None:
        """Process what the peer sent; no data means that it sends no more."""
        if not data:
            peer.session.finish()
            peer.is_leaving = True
            self.loop.watch_writing(peer, peer.is_blocked)
            self.send(peer)
            return
        number = peer.session.feed(data)
        if number:
            notice = format_notice(describe_notice(number, self.context)) + self.reader.end
            if notice not in peer.notices:
                peer.notices.append(notice)
            if not peer.is_blocked:
                self.send(peer)

    def receive(self, peer: Peer) -> None:
        """Process what can be read from a socket."""
        try:
            data = self.read(peer)
        except BlockingIOError:
            return
        self.feed(peer, data)

    def read(self, peer: Peer) -> bytes:
        """Read from a socket; return no data if the client is gone.  Raise BlockingIOError."""
        try:
            return peer.socket.recv(65536)
        except BlockingIOError:
            raise
        except OSError:
            return b""

    def send_all(self) -> None:
        """Send new lines to all clients."""
        reader, failed = self.reader, False
        try:
            start, data = reader.read_new()
        except (CommandError, OSError):
            start, data, failed = -1, b"", True  # `send` handles the error for each client.
        if (reader.file, start) == self.level_at:
            self._send_to_level(data)
        elif failed or (reader.file, reader.read_until) != self.level_at:
            for peer in list(self.level):
                self._leave_level(peer)
        self.level_at = reader.file, reader.read_until
        for peer in list(self.others):
            self.send(peer)

    def _send_to_level(self, data: bytes) -> None:
        size, behind = len(data), []
        data += self.reader.end
        for peer, send in self.level.items():
            try:
                sent = min(send(data), size)
            except OSError:
                sent = 0  # `send` handles the error.
            if sent != size:
                behind.append((peer, sent))
        for peer, sent in behind:
            self._leave_level(peer, sent)

    def _leave_level(self, peer: Peer, sent: int = 0) -> None:
        """Give a peer a place of its own, ``sent`` bytes further on."""
        if self.level.pop(peer, None):
            peer.cursor.offset = self.level_at[1] + sent
            self.others[peer] = None

    def send(self, peer: Peer) -> None:
        """Send new lines and notices until the socket's buffer is full."""
        cursor = peer.cursor
        if peer.id not in self.peers:
            return
        self._leave_level(peer)
        before = cursor.file, cursor.offset, len(peer.unsent), len(peer.notices)
        try:
            while True:
                if peer.unsent:
                    peer.unsent = peer.unsent[peer.socket.send(peer.unsent) :]
                    continue
                cursor.advance(peer.socket)
                if not peer.notices:
                    break
                # Only after a whole line: a notice must not interrupt a line.
                peer.unsent = peer.notices.pop(0)
        except BlockingIOError:
            after = cursor.file, cursor.offset, len(peer.unsent), len(peer.notices)
            if not peer.is_blocked or after != before:
                peer.since = time.monotonic()
            if not peer.is_blocked:
                peer.is_blocked = True
                del self.others[peer]
                self.loop.watch_writing(peer, True)
            return
        except OSError:
            self._take_last_lines(peer)
            self.drop(peer, LEFT)
            return
        except (FellBehind, CommandError):
            self.drop(peer, LEFT)
            return
        if peer.is_leaving:
            self.drop(peer, LEFT)
            return
        if peer.is_blocked:
            peer.is_blocked = False
            self.others[peer] = None
            self.loop.watch_writing(peer, False)
        if (cursor.file, cursor.offset) == self.level_at:
            del self.others[peer]
            self.level[peer] = peer.socket.send

    def _take_last_lines(self, peer: Peer) -> None:
        """Process what a client sent before it left, so that a short visit loses no line."""
        with contextlib.suppress(OSError):
            while data := peer.socket.recv(1 << 16):
                peer.session.feed(data)
        peer.session.finish()

    def drop_stalled(self) -> None:
        """Drop every client that has read nothing for too long."""
        now = time.monotonic()
        for peer in list(self.peers.values()):
            if peer.is_blocked and now - peer.since > self.context.config.send_timeout:
                self.drop(peer, STALLED)

    def drop(self, peer: Peer, why: str) -> None:
        """Disconnect a peer."""
        if self.peers.pop(peer.id, None):
            self.level.pop(peer, None)
            self.others.pop(peer, None)
            # What still refers to the peer, until it is collected, must not keep an old file open.
            peer.cursor.file = self.reader.file
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_WR)
            self.loop.forget(peer, why)

    def is_idle(self) -> bool:
        """Return whether all clients have been sent everything."""
        return not any(peer.is_blocked for peer in self.peers.values())
