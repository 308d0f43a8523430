"""A greenlet a client, one process: blocking reads, as gevent has them."""

import gevent
import gevent.socket
from _sink import listener, relay


def serve(client):
    with client:
        while relay(client):
            pass


listening = gevent.socket.socket(fileno=listener().detach())
while True:
    client, _ = listening.accept()
    gevent.spawn(serve, client)
