"""Serve each client by a greenlet in one process, with gevent's blocking reads."""

import gevent
import gevent.socket
from _sink import listen, relay  # type: ignore[import-not-found]


def serve(client: gevent.socket.socket) -> None:
    with client:
        while relay(client):
            pass


listening = gevent.socket.socket(fileno=listen().detach())
while True:
    client, _ = listening.accept()
    gevent.spawn(serve, client)
