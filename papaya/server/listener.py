"""Listening sockets, and the options of each connection that they accept."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from typing import Any

from probes.errors import CommandError

from ..config import join_address, split_address

_BACKLOG = 128

_BROKEN_LISTENER = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""Errors of accept() that are about the listener; others are about one connection (accept(2))."""
_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def listen(addresses: tuple[str, ...], how: str) -> list[socket.socket]:
    """Return sockets that listen on the addresses; ``how`` is the setting ``listen``.

    If one fails, close all others and raise CommandError.
    """
    made: list[socket.socket] = []
    try:
        for address in addresses:
            host, port = split_address(address)
            if host:
                made.append(_bind(address, *_resolve(address, host, port), v6only=True))
            elif how == "one dual-stack socket":
                made.append(_bind(address, socket.AF_INET6, ("::", port), v6only=False))
            elif how == "IPv4 alone":
                made.append(_bind(address, socket.AF_INET, ("0.0.0.0", port)))
            else:
                made += _bind_both(address, port)
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def _bind_both(address: str, port: int) -> list[socket.socket]:
    """Bind one socket per family to the same port.

    With port 0, try again if the port that the kernel picks for IPv4 is taken for IPv6.
    """
    for left in range(20, -1, -1):
        first = _bind(address, socket.AF_INET, ("0.0.0.0", port))
        try:
            picked = first.getsockname()[1]
            return [first, _bind(address, socket.AF_INET6, ("::", picked), v6only=True)]
        except CommandError:
            first.close()
            if port or not left:
                raise
    raise AssertionError


def _resolve(address: str, host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise CommandError(f"{address}: {error.strerror}") from None
    return found[0][0], found[0][4]


def _bind(address: str, family: int, to: Any, v6only: bool = True) -> socket.socket:
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(f"cannot listen on {address}: {error.strerror}", 3) from None
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        # A restarted daemon gets its port although old connections are in TIME_WAIT.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(to)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        hint = {
            errno.EADDRINUSE: "; stop the other program or choose another port",
            errno.EACCES: "; a port below 1024 needs root",
            errno.EADDRNOTAVAIL: "; this machine does not have that address",
        }.get(error.errno or 0, "")
        raise CommandError(f"cannot listen on {address}: {error.strerror}{hint}", 3) from None
    return made


def list_addresses(listeners: list[socket.socket]) -> list[str]:
    """Return the address of each socket in the form that a client takes."""
    return [join_address(*one.getsockname()[:2]) for one in listeners]


class Acceptor:
    """Accept connections, and survive a shortage of descriptors or memory."""

    def __init__(self) -> None:
        self.spare = self._open_spare()

    def _open_spare(self) -> int:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self, listener: socket.socket) -> tuple[socket.socket, str, int] | str | None:
        """Return a connection with its host and port, or None if no connection is waiting.

        If descriptors or memory are short, return the error's text: the connection was closed,
        because the listener would otherwise stay readable for ever.
        """
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in _BROKEN_LISTENER:
                raise
            if error.errno not in _SHORTAGE:
                return None
            self._drop(listener)
            return error.strerror or str(error)
        return accepted, *_split_peer(address)

    def _drop(self, listener: socket.socket) -> None:
        """Accept a connection with the spare descriptor, and close it."""
        if self.spare >= 0:
            os.close(self.spare)
        self.spare = -1
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
        # Another process may have taken the descriptor in between.
        with contextlib.suppress(OSError):
            self.spare = self._open_spare()


def _split_peer(address: tuple[str, int] | None) -> tuple[str, int]:
    if not address:  # The peer has left already.
        return "", 0
    host, port = address[:2]
    # A dual-stack socket reports IPv4 clients as IPv4-mapped addresses.
    return host.removeprefix("::ffff:") if "." in host else host, port


def set_socket_options(accepted: socket.socket, blocking: bool, send_timeout: float) -> None:
    """Set every option that accepted sockets inherit on some platforms and not on others."""
    accepted.setblocking(blocking)
    accepted.set_inheritable(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if blocking:
        length = len(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 64))
        # struct timeval has 16 bytes; 8 with a 32-bit time_t; 12 if only time_t has 64 bits.
        seconds_width = 4 if length == 8 else 8
        seconds, rest = divmod(int(send_timeout * 1_000_000), 1_000_000)
        timeval = seconds.to_bytes(seconds_width, sys.byteorder)
        timeval += rest.to_bytes(length - seconds_width, sys.byteorder)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
