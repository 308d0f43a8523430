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
from ..server.connection import FULL, LEFT, NO_KEY, STALLED, WRONG_KEY
from ..server.log_cursor import FellBehind
from ..server.message_log import LogMoved
from ..server.scoreboard import CLIENTS
from ..server.session import Full, Session, WrongKey, describe_notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..server.engine import ServiceContext


@dataclass(eq=False)
class Peer:
    """The other end of one connection.  The event loop gives the ``id``."""

    id: int
    socket: socket.socket
    session: Session
    since: float
    """When it connected, or when its socket's buffer became full."""
    is_client: bool = False
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

    def mark_as_client(self, peer: Peer) -> None:
        """Record that the peer sent the key and was admitted."""

    def forget(self, peer: Peer, why: str) -> None:
        """Close the connection; ``why`` is as for `Service.forget`."""


class Multiplexer:
    """Serve the connections of one process.  ``slot`` is the scoreboard's slot for them."""

    def __init__(
        self, context: ServiceContext, loop: Loop, wake_senders: Callable[[], None], slot: int = 0
    ) -> None:
        self.context = context
        self.loop = loop
        self.wake_senders = wake_senders
        self.slot = slot
        self.log = context.make_log()
        # Lines are read once and sent to each client: the setting `send` is for one process per
        # client.
        self.reader = context.open_reader(sendfile=False)
        self.peers: dict[int, Peer] = {}

    def add(self, id: int, connected: socket.socket) -> Peer:
        """Add a connection that has not sent the key yet."""
        session = Session(self.context, self.log, self.wake_senders, lambda: self.reader)
        session.slot = self.slot
        peer = Peer(id, connected, session, time.monotonic())
        self.peers[id] = peer
        return peer

    def feed(self, peer: Peer, data: bytes) -> None:
        """Process what the peer sent; no data means that it sends no more."""
        try:
            if not data:
                peer.session.finish()
                peer.is_leaving = True
                if peer.is_client:
                    self.loop.watch_writing(peer, peer.is_blocked)
                    self.send(peer)
                else:
                    self.drop(peer, LEFT)
                return
            number = peer.session.feed(data)
        except WrongKey:
            self.drop(peer, WRONG_KEY)
            return
        except Full:
            self.drop(peer, FULL)
            return
        except (CommandError, LogMoved, OSError) as error:
            self.context.log_event(
                f"{self.context.config.log}: {error}; disconnecting the client that sent the line"
            )
            self.drop(peer, LEFT)
            return
        if peer.session.cursor and not peer.is_client:
            peer.is_client = True
            self.loop.mark_as_client(peer)
            self.send(peer)
        if number:
            notice = format_notice(describe_notice(number, self.context))
            if notice not in peer.notices:
                peer.notices.append(notice)
            if not peer.is_blocked:
                self.send(peer)

    def receive(self, peer: Peer) -> None:
        """Read from a socket that is readable."""
        try:
            data = peer.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.feed(peer, data)

    def send_all(self) -> None:
        """Send new lines to all clients."""
        try:
            start, data = self.reader.read_new()
        except (CommandError, LogMoved, OSError):
            start, data = -1, b""  # `send` handles the error for each client.
        end = start + len(data)
        behind = []
        for peer in self.peers.values():
            if peer.is_blocked:
                continue
            cursor = peer.session.cursor
            # Most cursors are where the new lines begin: send those the same bytes directly.
            if cursor and cursor.offset == start and cursor.file is self.reader.file:
                try:
                    sent = peer.socket.send(data)
                except OSError:
                    sent = 0  # `send` handles the error.
                cursor.offset += sent
                if cursor.offset == end:
                    continue
            behind.append(peer)
        for peer in behind:
            self.send(peer)

    def send(self, peer: Peer) -> None:
        """Send new lines and notices until the socket's buffer is full."""
        cursor = peer.session.cursor
        if cursor is None or peer.id not in self.peers:
            return
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
                self.loop.watch_writing(peer, True)
            return
        except (OSError, FellBehind, CommandError, LogMoved):
            self.drop(peer, LEFT)
            return
        if peer.is_leaving:
            self.drop(peer, LEFT)
        elif peer.is_blocked:
            peer.is_blocked = False
            self.loop.watch_writing(peer, False)

    def drop_late(self) -> None:
        """Drop every peer that sent no key in time, and every client that reads nothing."""
        config, now = self.context.config, time.monotonic()
        for peer in list(self.peers.values()):
            if not peer.is_client and now - peer.since > config.auth_timeout:
                self.drop(peer, NO_KEY)
            elif peer.is_blocked and now - peer.since > config.send_timeout:
                self.drop(peer, STALLED)

    def drop(self, peer: Peer, why: str) -> None:
        """Disconnect a peer."""
        if self.peers.pop(peer.id, None):
            if peer.session.admitted:
                scoreboard, slot = self.context.scoreboard, self.slot
                scoreboard.set_slot(slot, CLIENTS, scoreboard.get_slot(slot, CLIENTS) - 1)
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_WR)
            self.loop.forget(peer, why)

    def is_idle(self) -> bool:
        """Return whether all clients have been sent everything."""
        return not any(peer.is_blocked for peer in self.peers.values())
