"""A greenlet a client, one process: blocking reads, as gevent has them."""

import gevent
import gevent.socket
from _sink import listener, relay  # type: ignore[import-not-found]


def serve(client: gevent.socket.socket) -> None:
    with client:
        while relay(client):
            pass


listening = gevent.socket.socket(fileno=listener().detach())
while True:
    client, _ = listening.accept()
    gevent.spawn(serve, client)
