"""Make loopback listeners and connected pairs, and know when their packets have arrived."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Callable

from .. import libc
from ..probe import Blocked, Unsupported


def get_loopback(family: int = socket.AF_INET) -> str:
    return "127.0.0.1" if family == socket.AF_INET else "::1"


def require_loopback(family: int = socket.AF_INET) -> None:
    """Raise Blocked unless this machine has the loopback address and can reach it."""
    host = get_loopback(family)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.bind((host, 0))
            asked.connect(asked.getsockname())
    except OSError as error:
        raise Blocked(f"no {host} on this machine ({error.strerror}): bring lo up") from None


def listen(family: int = socket.AF_INET, backlog: int = 8) -> socket.socket:
    """Return a TCP listener on the loopback address, on a port that the kernel chooses."""
    require_loopback(family)
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((get_loopback(family), 0))
    listener.listen(backlog)
    return listener


@contextlib.contextmanager
def connect_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a TCP connection over loopback: the client's, then the server's."""
    with listen() as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            try:
                yield client, server
            finally:
                for end in (server, client):
                    with contextlib.suppress(OSError):  # The probe may have closed it.
                        reset_on_close(end)


def reset_on_close(connected: socket.socket) -> None:
    """Let close() send a reset: the connection ends at once, and no TIME_WAIT keeps its port."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def set_receive_timeout(asked: socket.socket, seconds: int) -> None:
    """Set SO_RCVTIMEO.  The two numbers of struct timeval are as wide as getsockopt() shows."""
    width = len(asked.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 64)) // 2
    timeval = seconds.to_bytes(width, sys.byteorder) + bytes(width)
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


@contextlib.contextmanager
def fence_loopback() -> Iterator[Callable[[], None]]:
    """Keep this process's packets in one queue; yield a function that waits for the queue.

    When the function returns, every packet sent before the call has been dealt with, as have
    the answers to it and the answers to those: two round trips have followed them through the
    queue of the loopback interface.  Linux has one queue per processor, so the process keeps
    to one processor; other systems have one queue.
    """
    with contextlib.ExitStack() as undo:
        if libc.LINUX:
            undo.callback(_keep_to_one_processor())
        near, far = undo.enter_context(connect_pair())
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def fence() -> None:
            for sender, receiver in 2 * [(near, far), (far, near)]:
                sender.send(b"x")
                receiver.recv(1)

        yield fence


_Processors = ctypes.c_ulong * 128
"""A cpu_set_t for more processors than any kernel is built for (sched_setaffinity(2) Linux)."""


def _keep_to_one_processor() -> Callable[[], object]:
    """Keep this process to one of its processors; return a function that undoes it.

    Raises Blocked if that is refused and there is more than one processor.
    """
    # Not by os.sched_setaffinity(), which PyPy lacks.
    size = ctypes.sizeof(_Processors)
    allowed, one = _Processors(), _Processors()
    try:
        libc.call("sched_getaffinity", 0, size, allowed)
        usable = [
            (at, 1 << bit)
            for at, word in enumerate(allowed)
            for bit in range(word.bit_length())
            if word >> bit & 1
        ]
        at, bit = usable[os.getpid() % len(usable)]
        one[at] = bit
        libc.call("sched_setaffinity", 0, size, one)
    except (OSError, Unsupported, Blocked) as error:
        if os.cpu_count() == 1:
            return lambda: None
        raise Blocked(
            f"packets may overtake each other here, as the lab cannot keep to one processor "
            f"({error}): allow sched_setaffinity()"
        ) from None
    return lambda: libc.call("sched_setaffinity", 0, size, allowed)
