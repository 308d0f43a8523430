"""Many clients in one process: what `pool` and `coroutines` do for each of them.

Nothing here waits.  Who owns a crowd says which sockets can be read and written, and
is asked by `Owner` to watch for room to write and to let a client go.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from probes.errors import CommandError

from ..protocol import notice
from ..server.log_cursor import Behind
from ..server.message_log import Moved
from ..server.scoreboard import CLIENTS
from ..server.server import FULL, LATE, LEFT, STALLED, WRONG
from ..server.session import Chat, Full, Session, WrongKey


@dataclass(eq=False)
class Client:
    """One connection.  ``id`` is the owner's."""

    id: int
    socket: socket.socket
    session: Session
    since: float
    """When it connected, or when the socket took no more."""
    welcome: bool = False
    waiting: bool = False
    """Whether the socket takes no more for now."""
    leaving: bool = False
    """Whether it sends no more, and is let go once it has everything."""
    unsent: bytes = b""
    notices: list[bytes] = field(default_factory=list)


class Owner(Protocol):
    """What a crowd asks of the loop it runs in."""

    def watch_writing(self, client: Client, wanted: bool) -> None:
        """Call `Crowd.send` when the socket takes more; or no longer."""

    def welcomed(self, client: Client) -> None:
        """The client sent the key."""

    def gone(self, client: Client, why: str) -> None:
        """The client is to be forgotten; ``why`` is as for `Service.gone`."""


class Crowd:
    """The clients of one process, by id.  ``slot`` is the board's that counts them."""

    def __init__(self, chat: Chat, owner: Owner, ring: Callable[[], None], slot: int = 0) -> None:
        self.chat = chat
        self.owner = owner
        self.ring = ring
        self.slot = slot
        self.log = chat.log()
        # Read once and sent to each: the setting `send` is about a process a client.
        self.reader = chat.reader(sendfile=False)
        self.clients: dict[int, Client] = {}

    def add(self, id: int, connected: socket.socket) -> Client:
        """A client that has not sent its key yet."""
        session = Session(self.chat, self.log, self.ring, lambda: self.reader)
        session.slot = self.slot
        client = Client(id, connected, session, time.monotonic())
        self.clients[id] = client
        return client

    def take(self, client: Client, data: bytes) -> None:
        """What the client sent; nothing when it sends no more."""
        try:
            if not data:
                client.session.end()
                client.leaving = True
                if client.welcome:
                    self.owner.watch_writing(client, client.waiting)
                    self.send(client)
                else:
                    self.drop(client, LEFT)
                return
            number = client.session.feed(data)
        except WrongKey:
            self.drop(client, WRONG)
            return
        except Full:
            self.drop(client, FULL)
            return
        except (CommandError, Moved, OSError) as error:
            self.chat.say(f"{self.chat.config.log}: {error}; a client is let go for it")
            self.drop(client, LEFT)
            return
        if client.session.place and not client.welcome:
            client.welcome = True
            self.owner.welcomed(client)
            self.send(client)
        if number:
            said = notice(self.chat.notice(number))
            if said not in client.notices:
                client.notices.append(said)
            if not client.waiting:
                self.send(client)

    def receive(self, client: Client) -> None:
        """The socket can be read."""
        try:
            data = client.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.take(client, data)

    def send_all(self) -> None:
        """There are new lines."""
        try:
            start, data = self.reader.news()
        except (CommandError, Moved, OSError):
            start, data = -1, b""  # `send` says of each client what it is.
        end = start + len(data)
        behind = []
        for client in self.clients.values():
            if client.waiting:
                continue
            place = client.session.place
            # Most are where the last news ended: they are sent the same bytes, with no ado.
            if place and place.offset == start and place.file is self.reader.file:
                try:
                    sent = client.socket.send(data)
                except OSError:
                    sent = 0  # `send` finds out what it is.
                place.offset += sent
                if place.offset == end:
                    continue
            behind.append(client)
        for client in behind:
            self.send(client)

    def send(self, client: Client) -> None:
        """Send what is new, as far as the socket takes it."""
        place = client.session.place
        if place is None or client.id not in self.clients:
            return
        before = place.file, place.offset, len(client.unsent), len(client.notices)
        try:
            while True:
                if client.unsent:
                    client.unsent = client.unsent[client.socket.send(client.unsent) :]
                    continue
                place.advance(client.socket)
                if not client.notices:
                    break
                # Only where a line has ended: no client is to get it in the middle of one.
                client.unsent = client.notices.pop(0)
        except BlockingIOError:
            after = place.file, place.offset, len(client.unsent), len(client.notices)
            if not client.waiting or after != before:
                client.since = time.monotonic()
            if not client.waiting:
                client.waiting = True
                self.owner.watch_writing(client, True)
            return
        except (OSError, Behind, CommandError, Moved):
            self.drop(client, LEFT)
            return
        if client.leaving:
            self.drop(client, LEFT)
        elif client.waiting:
            client.waiting = False
            self.owner.watch_writing(client, False)

    def drop_late(self) -> None:
        """Drop who did not send the key in time, and who took nothing for too long."""
        config, now = self.chat.config, time.monotonic()
        for client in list(self.clients.values()):
            if not client.welcome and now - client.since > config.auth_timeout:
                self.drop(client, LATE)
            elif client.waiting and now - client.since > config.send_timeout:
                self.drop(client, STALLED)

    def drop(self, client: Client, why: str) -> None:
        """Let it go."""
        if self.clients.pop(client.id, None):
            if client.session.admitted:
                board, slot = self.chat.board, self.slot
                board.set_slot(slot, CLIENTS, board.slot(slot, CLIENTS) - 1)
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_WR)
            self.owner.gone(client, why)

    def quiet(self) -> bool:
        """Whether everybody was sent everything."""
        return not any(client.waiting for client in self.clients.values())
