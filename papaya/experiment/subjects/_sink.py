"""Listen and relay for the Python subjects."""

import os
import socket
import sys

SIZE = 4096
OUT = 1


def listen() -> socket.socket:
    """Listen on a free port of 127.0.0.1, and print the port on standard error."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], file=sys.stderr, flush=True)
    return listening


def relay(client: socket.socket) -> bool:
    """Read once and write the same bytes; return False at the end of the stream."""
    data = client.recv(SIZE)
    if data:
        os.write(OUT, data)
    return bool(data)
