"""What the Python subjects share: a listener at a port the kernel picks, and the work of a read."""

import os
import socket
import sys

SIZE = 4096
OUT = 1


def listener() -> socket.socket:
    """Listen on 127.0.0.1, and print the port on standard error."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], file=sys.stderr, flush=True)
    return listening


def relay(client: socket.socket) -> bool:
    """One read, one write of the same bytes; False at the end."""
    data = client.recv(SIZE)
    if data:
        os.write(OUT, data)
    return bool(data)
