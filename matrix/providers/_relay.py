"""Connect standard input and output to a guest's channel: the near end of an execnet gateway.

execnet starts it in place of a Python, and adds arguments that only a Python would need.  It is
``_relay.py FOLDER`` for the socket in a folder; ``_relay.py INTO FROM TAKEN`` for the pipes of two
serial lines, of which the second confirms each byte that the guest has taken from the first.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

SOCKET = "channel"
"""Name of the socket in the folder.  A path may be too long for a Unix socket."""
WINDOW = 2048
"""Bytes that may be on their way on a serial line.

User-mode Linux stops reading a line for good when the guest's buffer of 4096 bytes is almost full:
line_throttle() in the kernel's arch/um/drivers/line.c gives the line's interrupt up, and nothing
activates it again.
"""


def main() -> None:
    """Copy both ways until the guest closes the channel."""
    where, *pipes = sys.argv[1:4]
    # Daemon threads, because the process must end when the guest does, with input or without.
    if os.path.isdir(where):
        os.chdir(where)
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(SOCKET)
        source = channel.fileno()
        sending = threading.Thread(target=_send_to_socket, args=(channel,), daemon=True)
    else:
        into, taken = os.open(where, os.O_WRONLY), os.open(pipes[1], os.O_RDONLY)
        source = os.open(pipes[0], os.O_RDONLY)
        sending = threading.Thread(target=_send_to_line, args=(into, taken), daemon=True)
    sending.start()
    while data := os.read(source, 1 << 16):
        _write(1, data)


def _send_to_socket(channel: socket.socket) -> None:
    with contextlib.suppress(OSError):  # The guest is gone, which ends `main`.
        while data := os.read(0, 1 << 16):
            channel.sendall(data)
        # The far end may still have to clean up: this ends when it has closed the channel.
        channel.shutdown(socket.SHUT_WR)


def _send_to_line(into: int, taken: int) -> None:
    with contextlib.suppress(OSError):  # The guest is gone, which ends `main`.
        while data := os.read(0, WINDOW):
            _write(into, data)
            left = len(data)
            while left and (confirmed := os.read(taken, left)):
                left -= len(confirmed)
    os.close(into)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
