"""Listening sockets, and the options of each connection that they accept."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any

from probes.errors import CommandError

from ..config import join_address, split_address

_BACKLOG = 4096
"""Connections that the kernel completes before papaya accepts them; it reduces the number to its
own limit without a word (listen(2): net.core.somaxconn, kern.ipc.soacceptqueue)."""

_BROKEN_LISTENER = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""Errors of accept() that are about the listener; others are about one connection (accept(2))."""
_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_HINTS = {
    errno.EADDRINUSE: "; stop the other program or choose another port",
    errno.EACCES: "; a port below 1024 needs root",
    errno.EADDRNOTAVAIL: "; this machine does not have that address, or not yet: "
    "start papaya when the network is up",
}

_IDLE, _INTERVAL, _PROBES = 60, 20, 6
"""Keepalive: a peer that is gone is found after 60 + 6 * 20 seconds without data."""
_KEEPALIVE = {
    # macOS has the same option under the name in tcp(4).
    "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE": _IDLE,
    "TCP_KEEPINTVL": _INTERVAL,
    "TCP_KEEPCNT": _PROBES,
}

_SEND_BUFFER = 1 << 18
"""Bytes that the kernel may hold for a client that does not read; Linux would let them grow to
4 MiB (tcp(7), tcp_wmem).  Enough for 2 MB/s to a client that is 100 ms away."""


def listen(addresses: tuple[str, ...], how: str) -> list[socket.socket]:
    """Return sockets that listen on the addresses; ``how`` is the setting ``listen``.

    A host name stands for all its addresses.  If one fails, close all others and raise
    CommandError.
    """
    made: list[socket.socket] = []
    try:
        for address in addresses:
            host, port = split_address(address)
            if host not in ("", "*"):
                made += _bind_all(address, _resolve(address, host), port)
            elif how == "one dual-stack socket":
                made.append(_bind(address, (socket.AF_INET6, ("::", port, 0, 0)), v6only=False))
            elif how == "IPv4 alone":
                made.append(_bind(address, (socket.AF_INET, ("0.0.0.0", port))))
            else:
                made += _bind_all(address, _ANY, port)
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


_Target = tuple[int, tuple[Any, ...]]
"""An address family, and an address in its form (`socket`: host, port, flow label, scope id)."""
_ANY: list[_Target] = [(socket.AF_INET, ("0.0.0.0", 0)), (socket.AF_INET6, ("::", 0, 0, 0))]


def _bind_all(address: str, targets: list[_Target], port: int) -> list[socket.socket]:
    """Bind one socket per target, all to the same port.

    With port 0, try again if the port that the kernel picks for the first is taken for another.
    """
    for left in range(20, -1, -1):
        made: list[socket.socket] = []
        try:
            for family, (host, _, *rest) in targets:
                picked = made[0].getsockname()[1] if made else port
                made.append(_bind(address, (family, (host, picked, *rest))))
            return made
        except CommandError:
            for one in made:
                one.close()
            if port or not left:
                raise
    raise AssertionError


def _resolve(address: str, host: str) -> list[_Target]:
    """Return all addresses of a host, each once."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        status = 3 if error.errno == socket.EAI_AGAIN else 2
        raise CommandError(f"{address}: {error.strerror}", status) from None
    targets: list[_Target] = list(dict.fromkeys((family, to) for family, *_, to in found))
    if len(targets) > 1 and not _has_ipv6_loopback():
        # The name localhost has ::1 in /etc/hosts also where IPv6 is turned off.
        targets = [(family, to) for family, to in targets if to[0] != "::1"]
    return targets


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind(address: str, target: _Target, v6only: bool = True) -> socket.socket:
    family, to = target
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
        hint = _HINTS.get(error.errno or 0, "")
        if to[0].startswith("fe80:") and not to[3]:
            hint = "; a link-local address needs its interface, such as [fe80::1%eth0]:7722"
        shown = join_address(*get_host_and_port(to))
        which = address if shown == address else f"{address} ({shown})"
        raise CommandError(f"cannot listen on {which}: {error.strerror}{hint}", 3) from None
    return made


def list_addresses(listeners: list[socket.socket]) -> list[str]:
    """Return the address of each socket in the form that a client takes."""
    return [join_address(*get_host_and_port(one.getsockname())) for one in listeners]


def get_host_and_port(address: tuple[Any, ...]) -> tuple[str, int]:
    """Return the host, with its zone if it has one (RFC 4007 11), and the port of an address.

    A dual-stack socket reports IPv4 peers as IPv4-mapped addresses: return those as IPv4.
    """
    host, port = address[:2]
    if len(address) == 4 and address[3] and "%" not in host:
        host = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return host.removeprefix("::ffff:") if "." in host else host, port


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
        # Without an address the peer has left already.
        return accepted, *(get_host_and_port(address) if address else ("", 0))

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


def set_socket_options(accepted: socket.socket, send_timeout: float) -> None:
    """Set every option that accepted sockets inherit on some platforms and not on others."""
    accepted.setblocking(False)
    accepted.set_inheritable(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):
            accepted.setsockopt(socket.IPPROTO_TCP, option, value)
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        # Keepalive does not find a peer that is gone while data is on the way to it (tcp(7)).
        # Not less than the time that a client may read nothing.
        seconds = max(_IDLE + _INTERVAL * _PROBES, send_timeout)
        accepted.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
