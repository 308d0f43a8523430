"""Serve each client by a thread with blocking reads."""

import socket
import threading

from _sink import listen, relay  # type: ignore[import-not-found]


def serve(client: socket.socket) -> None:
    with client:
        while relay(client):
            pass


listening = listen()
threading.stack_size(256 * 1024)
while True:
    client, _ = listening.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
