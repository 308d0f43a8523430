"""Serve each client by a coroutine in one process: asyncio, or uvloop if the argument says so."""

import asyncio
import os
import socket
import sys

from _sink import OUT, SIZE, listen  # type: ignore[import-not-found]


async def serve(client: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    with client:
        while data := await loop.sock_recv(client, SIZE):
            os.write(OUT, data)


async def main() -> None:
    loop = asyncio.get_running_loop()
    listening = listen()
    listening.setblocking(False)
    tasks = set()
    while True:
        client, _ = await loop.sock_accept(listening)
        client.setblocking(False)
        task = loop.create_task(serve(client, loop))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if sys.argv[1:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
