"""One process, a coroutine per client: asyncio schedules what the kernel does in `fork`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from ..server.connection import LEFT, Connection
from ..server.engine import BRIEF_LOCK_SECONDS, Engine
from ._multiplexer import Multiplexer, Peer

if TYPE_CHECKING:
    import socket

    from ..server.server import Service


class Coroutines(Engine):
    """Serve all clients in the daemon's own process."""

    unused = frozenset(("wait", "multicast", "reap", "orphans"))

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.connections: dict[int, Connection] = {}
        self.tasks: dict[int, list[asyncio.Task[None]]] = {}
        """The coroutines of each peer."""
        self.received: dict[int, asyncio.Future[bytes]] = {}
        """What each peer sends next."""
        self.last_id = 0
        self.wakeup_scheduled = False

    def start(self) -> None:
        log = self.context.make_log(BRIEF_LOCK_SECONDS)
        self.multiplexer = Multiplexer(self.context, self, log, self.wake_senders)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.loop.set_exception_handler(self._fail)
        # The service's selector is itself a descriptor, readable when a source of it is.
        self.loop.add_reader(self.service.selector, self._step)
        late = self.loop.create_task(self._drop_late())
        await self.ended
        self.loop.remove_reader(self.service.selector)
        late.cancel()
        await self._send_last_lines()

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the service if what the loop calls for all clients fails, as on the other engines.

        asyncio would only print the error, and call `_step` again at once.
        """
        if "handle" in context and not self.ended.done():
            self.ended.set_exception(context["exception"])
        else:
            loop.default_exception_handler(context)

    def _step(self) -> None:
        if self.ended.done():
            return
        self.service.step(0)
        if self.service.ending:
            self.ended.set_result(None)

    async def _send_last_lines(self) -> None:
        """Send the last lines to all clients, then disconnect them."""
        for id, (task, *_) in list(self.tasks.items()):
            peer, received = self.multiplexer.peers[id], self.received[id]
            data = received.result() if received.done() else None
            task.cancel()  # Nothing more is read from the clients.
            self.loop.remove_reader(peer.socket)
            if data is not None:
                self.multiplexer.feed(peer, data)
        self.multiplexer.send_all()
        until = self.loop.time() + 1
        while not self.multiplexer.is_idle() and self.loop.time() < until:
            await asyncio.sleep(0.01)
        for peer in list(self.multiplexer.peers.values()):
            self.multiplexer.drop(peer, LEFT)

    async def _drop_late(self) -> None:
        config = self.context.config
        while True:
            await asyncio.sleep(min(1.0, config.auth_timeout / 4, config.send_timeout / 4))
            self.multiplexer.drop_stalled()
            self._step()  # Admission has deadlines too.

    def take(self, accepted: socket.socket, connection: Connection) -> None:
        self.last_id += 1
        peer = self.multiplexer.add(self.last_id, accepted, connection.since)
        self.connections[peer.id] = connection
        self.received[peer.id] = self.loop.create_future()
        self.tasks[peer.id] = [self.loop.create_task(self._receive(peer))]
        self.multiplexer.greet(peer)

    async def _receive(self, peer: Peer) -> None:
        """Process what the peer sends until it sends no more."""
        seconds: float | None = peer.session.limit.measure_pause()
        while peer.id in self.multiplexer.peers and not peer.is_leaving:
            if seconds is not None:
                self.loop.remove_reader(peer.socket)
                await asyncio.sleep(seconds)
                self.loop.add_reader(peer.socket, self._read, peer)
            data = await self.received[peer.id]
            self.received[peer.id] = self.loop.create_future()
            self.multiplexer.feed(peer, data)
            seconds = peer.session.limit.measure_pause() or None

    def _read(self, peer: Peer) -> None:
        """Read from a socket that is readable, for the coroutine that waits for it.

        sock_recv() would change what the selector watches twice for each line.
        """
        received = self.received[peer.id]
        if received.done():
            return
        with contextlib.suppress(BlockingIOError):
            data = self.multiplexer.read(peer)
            received.set_result(data)
            if not data:
                self.loop.remove_reader(peer.socket)

    async def _catch_up(self, peer: Peer) -> None:
        """Send to a peer whose buffer was full, each time it is writable, until it has all."""
        while peer.is_blocked and peer.id in self.multiplexer.peers:
            writable = self.loop.create_future()
            self.loop.add_writer(peer.socket, writable.set_result, None)
            await writable
            self.loop.remove_writer(peer.socket)
            self.multiplexer.send(peer)

    def wake_senders(self) -> None:
        # Once for all lines of this round of the loop.
        if not self.wakeup_scheduled:
            self.wakeup_scheduled = True
            self.loop.call_soon(self._send_all)

    def _send_all(self) -> None:
        self.wakeup_scheduled = False
        self.multiplexer.send_all()

    def watch_writing(self, peer: Peer, wanted: bool) -> None:
        """See `Loop.watch_writing`."""
        tasks = self.tasks[peer.id]
        if not wanted:
            del tasks[1:]  # `_catch_up` is the caller, and is about to end.
        elif len(tasks) == 1:
            tasks.append(self.loop.create_task(self._catch_up(peer)))

    def forget(self, peer: Peer, why: str) -> None:
        """See `Loop.forget`."""
        for task in self.tasks.pop(peer.id):
            if task is not asyncio.current_task():
                task.cancel()
        self.received.pop(peer.id).cancel()
        self.loop.remove_reader(peer.socket)
        self.loop.remove_writer(peer.socket)
        peer.socket.close()
        self.service.forget(self.connections.pop(peer.id), why)
        self.loop.call_soon(self._step)  # Another client may wait for the place.


ENGINE = Coroutines
