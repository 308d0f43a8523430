"""A process of the engine `pool`: its clients, and what the daemon and it tell each other.

The daemon sends the number of each connection with its descriptor; the worker answers with
that number and `WELCOME`, or why the visit ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from ..server.processes import close_all_but, dying_with_parent
from ..server.scoreboard import SENDER
from ..server.server import LEFT
from ..server.session import Chat
from ..server.wakeup import RING, Group
from ._crowd import Client, Crowd

WELCOME = "welcome"


class Worker:
    """One process's crowd, and the loop that serves it."""

    def __init__(
        self,
        chat: Chat,
        group: Group,
        ring: Callable[[], None],
        channel: socket.socket,
        number: int,
    ) -> None:
        self.chat = chat
        self.group = group
        self.ring = ring
        self.channel = channel
        self.number = number
        """The slot of the board that is its own."""
        self.short = False
        self.ending = False

    def run(self, daemon: int) -> int:
        """Serve until the daemon ends, or says so; the exit status."""
        chat = self.chat
        close_all_but(self.channel.fileno())
        self.group.join()
        chat.board.set_slot(self.number, SENDER, os.getpid())
        dying_with_parent(chat.settings["orphans"], signal.SIGTERM)(daemon)
        self.selector = selectors.DefaultSelector()
        self.wake, writing = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)
        for handled in (RING, signal.SIGTERM):
            signal.signal(handled, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {RING, signal.SIGTERM})
        self.crowd = Crowd(chat, self, self.ring, self.number)
        self.selector.register(self.wake, selectors.EVENT_READ, None)
        self.selector.register(self.channel, selectors.EVENT_READ, None)
        # How soon it is seen that somebody is late.
        pause = min(1.0, chat.config.auth_timeout / 4, chat.config.send_timeout / 4)
        looked = time.monotonic()
        while not (self.ending and self.crowd.quiet()):
            for key, events in self.selector.select(pause):
                if key.data is None:
                    self._hear_of(key.fileobj)
                    continue
                if events & selectors.EVENT_WRITE:
                    self.crowd.send(key.data)
                if events & selectors.EVENT_READ and key.data.id in self.crowd.clients:
                    self.crowd.receive(key.data)
            if time.monotonic() - looked > pause:
                looked = time.monotonic()
                self.crowd.drop_late()
        return 0

    def _hear_of(self, source: object) -> None:
        if source is self.channel:
            self._take_clients()
            return
        came = os.read(self.wake, 4096)
        if signal.SIGTERM in came:
            self._end()
        self.crowd.send_all()

    def _take_clients(self) -> None:
        data = b""
        descriptors: list[int] = []
        # A daemon that was killed before it read what this worker told it resets the channel.
        with contextlib.suppress(ConnectionResetError):
            data, descriptors, _, _ = socket.recv_fds(self.channel, 4096, 64)
        if not data:
            # The daemon is gone.
            self._end()
            self.crowd.clients.clear()
            return
        given = iter(descriptors)
        for word in data.split():
            id = int(word)
            descriptor = next(given, None)
            if descriptor is None:  # No room for it among our open files.
                if not self.short:
                    self.chat.say(f"a connection was refused: {os.strerror(errno.EMFILE)}")
                self.short = True
                self._tell(LEFT, id)
                continue
            self.short = False
            connected = socket.socket(fileno=descriptor)
            connected.setblocking(False)
            client = self.crowd.add(id, connected)
            self.selector.register(connected, selectors.EVENT_READ, client)

    def _end(self) -> None:
        """Take no more from anybody; what is in the log is sent still."""
        self.ending = True
        for client in self.crowd.clients.values():
            self._watch(client, selectors.EVENT_WRITE if client.waiting else 0)

    # What the crowd asks for ------------------------------------------------------------------

    def watch_writing(self, client: Client, wanted: bool) -> None:
        reading = 0 if self.ending or client.leaving else selectors.EVENT_READ
        self._watch(client, reading | (selectors.EVENT_WRITE if wanted else 0))

    def _watch(self, client: Client, events: int) -> None:
        if not events:
            with contextlib.suppress(KeyError):
                self.selector.unregister(client.socket)
        elif client.socket in self.selector.get_map():
            self.selector.modify(client.socket, events, client)
        else:
            self.selector.register(client.socket, events, client)

    def welcomed(self, client: Client) -> None:
        self._tell(WELCOME, client.id)

    def gone(self, client: Client, why: str) -> None:
        self._watch(client, 0)
        client.socket.close()
        self._tell(why, client.id)

    def _tell(self, word: str, id: int) -> None:
        with contextlib.suppress(OSError):
            self.channel.sendall(f"{id} {word}\n".encode())
