"""A thread a client: blocking reads."""

import threading

from _sink import listener, relay


def serve(client):
    with client:
        while relay(client):
            pass


listening = listener()
threading.stack_size(256 * 1024)
while True:
    client, _ = listening.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
