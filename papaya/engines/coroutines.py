"""One process, a coroutine a client: asyncio schedules what the kernel does in `fork`."""

from __future__ import annotations

import asyncio
import socket

from ..server.server import LEFT, Engine, Service, Visitor
from ._crowd import Client, Crowd


class Coroutines(Engine):
    """Everything in the daemon's own process."""

    unused = frozenset(("wait", "multicast", "send", "reap", "orphans"))

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.visitors: dict[int, Visitor] = {}
        self.tasks: dict[int, list[asyncio.Task[None]]] = {}
        """The coroutines of each client."""
        self.last = 0
        self.rung = False

    def start(self) -> None:
        self.crowd = Crowd(self.chat, self, self.ring)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        ended = self.loop.create_future()

        def step() -> None:
            self.service.step(0)
            if self.service.ending and not ended.done():
                ended.set_result(None)

        # The service's own selector is a descriptor, which can be read when it has something.
        self.loop.add_reader(self.service.selector, step)
        late = self.loop.create_task(self._drop_late())
        await ended
        self.loop.remove_reader(self.service.selector)
        late.cancel()
        await self._drained()

    async def _drained(self) -> None:
        """Everybody is sent the last lines, and left."""
        for task, *_ in self.tasks.values():
            task.cancel()  # Nobody is listened to any more.
        self.crowd.send_all()
        until = self.loop.time() + 1
        while not self.crowd.quiet() and self.loop.time() < until:
            await asyncio.sleep(0.01)
        for client in list(self.crowd.clients.values()):
            self.crowd.drop(client, LEFT)

    async def _drop_late(self) -> None:
        config = self.chat.config
        while True:
            await asyncio.sleep(min(1.0, config.auth_timeout / 4, config.send_timeout / 4))
            self.crowd.drop_late()

    # Clients --------------------------------------------------------------------------------

    def take(self, accepted: socket.socket, visitor: Visitor) -> None:
        self.last += 1
        client = self.crowd.add(self.last, accepted)
        self.visitors[client.id] = visitor
        self.tasks[client.id] = [self.loop.create_task(self._serve(client))]

    async def _serve(self, client: Client) -> None:
        """Take what the client sends until it sends no more."""
        while client.id in self.crowd.clients and not client.leaving:
            try:
                data = await self.loop.sock_recv(client.socket, 65536)
            except OSError:
                data = b""
            self.crowd.take(client, data)
            # There may be more at once, and more: the others are to have their turn.
            await asyncio.sleep(0)

    async def _catch_up(self, client: Client) -> None:
        """Send to a client that took no more, each time it takes more, until it has all."""
        while client.waiting and client.id in self.crowd.clients:
            writable = self.loop.create_future()
            self.loop.add_writer(client.socket, writable.set_result, None)
            await writable
            self.loop.remove_writer(client.socket)
            self.crowd.send(client)

    def ring(self) -> None:
        # Once for all the lines of this round.
        if not self.rung:
            self.rung = True
            self.loop.call_soon(self._send_all)

    def _send_all(self) -> None:
        self.rung = False
        self.crowd.send_all()

    # What the crowd asks for ------------------------------------------------------------------

    def watch_writing(self, client: Client, wanted: bool) -> None:
        tasks = self.tasks[client.id]
        if not wanted:
            del tasks[1:]  # It is over: it was it that found the client to have all.
        elif len(tasks) == 1:
            tasks.append(self.loop.create_task(self._catch_up(client)))

    def welcomed(self, client: Client) -> None:
        self.service.welcomed(self.visitors[client.id])

    def gone(self, client: Client, why: str) -> None:
        for task in self.tasks.pop(client.id):
            if task is not asyncio.current_task():
                task.cancel()
        self.loop.remove_reader(client.socket)
        self.loop.remove_writer(client.socket)
        client.socket.close()
        self.service.gone(self.visitors.pop(client.id), why)


ENGINE = Coroutines
