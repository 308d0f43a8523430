"""Connect standard input and output to a guest's channel: the near end of an execnet gateway.

execnet starts it in place of a Python, as ``_relay.py FOLDER``, and adds arguments that only a
Python would need.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

SOCKET = "channel"
"""Name of the socket in the folder.  A path may be too long for a Unix socket."""


def main() -> None:
    """Copy both ways until the guest closes the channel."""
    os.chdir(sys.argv[1])
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(SOCKET)
    # A daemon thread, because the process must end when the guest does, with input or without.
    threading.Thread(target=_send, args=(channel,), daemon=True).start()
    while data := channel.recv(1 << 16):
        _write(data)


def _send(channel: socket.socket) -> None:
    while data := os.read(0, 1 << 16):
        channel.sendall(data)
    # The far end may still have to clean up: this ends when it has closed the channel.
    channel.shutdown(socket.SHUT_WR)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
