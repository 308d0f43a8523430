"""The sockets that listen, and what is set on each connection they accept."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from typing import Any

from probes.errors import CommandError

from ..config import joined_address, split_address

_BACKLOG = 128

_OURS = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""What accept() says of our listener; all else it says of one connection (accept(2) Linux)."""
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def listen(addresses: tuple[str, ...], how: str) -> list[socket.socket]:
    """Listening sockets for the addresses; ``how`` is the setting ``listen``.

    Raises CommandError where one cannot be had; then none is left open.
    """
    made: list[socket.socket] = []
    try:
        for address in addresses:
            host, port = split_address(address)
            if host:
                made.append(_bound(address, *_resolved(address, host, port), v6only=True))
            elif how == "one dual-stack socket":
                made.append(_bound(address, socket.AF_INET6, ("::", port), v6only=False))
            elif how == "IPv4 alone":
                made.append(_bound(address, socket.AF_INET, ("0.0.0.0", port)))
            else:
                made += _bound_both(address, port)
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def _bound_both(address: str, port: int) -> list[socket.socket]:
    """A socket a family on one port; that which the kernel picks may be taken in the other."""
    for left in range(20, -1, -1):
        first = _bound(address, socket.AF_INET, ("0.0.0.0", port))
        try:
            picked = first.getsockname()[1]
            return [first, _bound(address, socket.AF_INET6, ("::", picked), v6only=True)]
        except CommandError:
            first.close()
            if port or not left:
                raise
    raise AssertionError


def _resolved(address: str, host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise CommandError(f"{address}: {error.strerror}") from None
    return found[0][0], found[0][4]


def _bound(address: str, family: int, to: Any, v6only: bool = True) -> socket.socket:
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(f"cannot listen on {address}: {error.strerror}", 3) from None
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        # A restart gets its port though connections of before are in TIME_WAIT.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(to)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        hint = {
            errno.EADDRINUSE: ": another program listens there; stop it or take another port",
            errno.EACCES: ": a port below 1024 needs root",
            errno.EADDRNOTAVAIL: ": no such address on this machine",
        }.get(error.errno or 0, "")
        raise CommandError(f"cannot listen on {address}: {error.strerror}{hint}", 3) from None
    return made


def names(listeners: list[socket.socket]) -> list[str]:
    """What each listens on, as a client would be told."""
    return [joined_address(*one.getsockname()[:2]) for one in listeners]


class Acceptor:
    """Accepts, and does not fall over where accept() fails."""

    def __init__(self) -> None:
        self.spare = self._open()

    def _open(self) -> int:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self, listener: socket.socket) -> tuple[socket.socket, str, int] | str | None:
        """A connection with its host and port; None where there is none (any more).

        A word where descriptors or memory are short: the connection was closed, so that the
        listener does not wake us for it for ever.
        """
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in _OURS:
                raise
            if error.errno not in _SHORT:
                return None
            self._shed(listener)
            return error.strerror or str(error)
        return accepted, *_host_port(address)

    def _shed(self, listener: socket.socket) -> None:
        if self.spare >= 0:
            os.close(self.spare)
        self.spare = -1
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
        # Another may have taken it meanwhile.
        with contextlib.suppress(OSError):
            self.spare = self._open()


def _host_port(address: tuple[str, int] | None) -> tuple[str, int]:
    if not address:  # It left before it could be asked for.
        return "", 0
    host, port = address[:2]
    # A dual-stack listener's IPv4 clients, as everybody writes them.
    return host.removeprefix("::ffff:") if "." in host else host, port


def prepare(accepted: socket.socket, blocking: bool, send_timeout: float) -> None:
    """Set all that accept() hands on from some listeners and not from others."""
    accepted.setblocking(blocking)
    accepted.set_inheritable(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if blocking:
        length = len(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 64))
        # 16 bytes; 8 with a time_t of 32 bits; 12 where that is 64 bits wide and a long is not.
        seconds_width = 4 if length == 8 else 8
        seconds, rest = divmod(int(send_timeout * 1_000_000), 1_000_000)
        timeval = seconds.to_bytes(seconds_width, sys.byteorder)
        timeval += rest.to_bytes(length - seconds_width, sys.byteorder)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
