"""Accepted sockets: what they inherit, and what happens when the peer goes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from .. import absent, libc
from ..harness import blocking, children, sockets
from ..probe import Unsupported, probe

Accept = Callable[[socket.socket], socket.socket]


@dataclass(frozen=True)
class _Setting:
    """Something set on a listener that an accepted socket may have too."""

    name: str
    set: Callable[[socket.socket], None]
    get: Callable[[socket.socket], Any]

    def __str__(self) -> str:
        return self.name


def _make_switch(name: str, level: int, option: int) -> _Setting:
    return _Setting(
        name,
        lambda s: s.setsockopt(level, option, 1),
        lambda s: bool(s.getsockopt(level, option)),
    )


def _set_receive_timeout(listening: socket.socket) -> None:
    # The two numbers of struct timeval are as wide as those that the kernel returns.
    width = len(_get_receive_timeout(listening)) // 2
    timeval = (60).to_bytes(width, sys.byteorder) + bytes(width)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def _get_receive_timeout(asked: socket.socket) -> bytes:
    return asked.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 64)


def _set_linger(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))


def _get_linger(asked: socket.socket) -> Any:
    on, seconds = struct.unpack("ii", asked.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    return seconds if on else None


NONBLOCK = _Setting(
    "O_NONBLOCK",
    lambda s: os.set_blocking(s.fileno(), False),
    lambda s: os.get_blocking(s.fileno()),
)
CLOEXEC = _Setting(
    "FD_CLOEXEC",
    lambda s: os.set_inheritable(s.fileno(), False),
    lambda s: os.get_inheritable(s.fileno()),
)
NODELAY = _make_switch("TCP_NODELAY", socket.IPPROTO_TCP, socket.TCP_NODELAY)
KEEPALIVE = _make_switch("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE)
LINGER = _Setting("SO_LINGER", _set_linger, _get_linger)
RCVTIMEO = _Setting("SO_RCVTIMEO", _set_receive_timeout, _get_receive_timeout)


def _has(accept: Accept, setting: _Setting, listener_has: bool) -> bool:
    """Return whether the socket that ``accept`` returns has the setting, as the listener may."""
    with sockets.listen() as listening, socket.socket() as client:
        # As in a C program; Python's sockets are close-on-exec.
        os.set_inheritable(listening.fileno(), True)
        unset = setting.get(listening)
        if listener_has:
            setting.set(listening)
            if setting.get(listening) == unset:
                raise Unsupported(f"setting {setting} on a listener changes nothing")
        client.connect(listening.getsockname())
        select.select([listening], [], [])
        with accept(listening) as accepted:
            has = setting.get(accepted) != unset
            sockets.reset_on_close(accepted)
        return bool(has)


def _accept(listening: socket.socket) -> socket.socket:
    return socket.socket(fileno=libc.call("accept", listening.fileno(), *_make_room()))


def _accept4(listening: socket.socket) -> socket.socket:
    return socket.socket(fileno=libc.call("accept4", listening.fileno(), *_make_room(), 0))


def _make_room() -> tuple[Any, Any]:
    """Return room for an address of any family, and its size, for accept to write."""
    return ctypes.create_string_buffer(128), ctypes.byref(ctypes.c_uint(128))


def _python_accept(listening: socket.socket) -> socket.socket:
    return listening.accept()[0]


# accept(2): "with the same properties" as the listener on NetBSD and macOS.
_NONBLOCK_INHERITED = {"linux": False, "freebsd": True, "netbsd": True, "macos": True}


@probe(
    each={"inherits_nonblock": NONBLOCK, "inherits_cloexec": CLOEXEC},
    matters="Code that relies on either answer blocks for ever, spins on EAGAIN or leaks sockets.",
    advice="Set or clear {row} on every accepted socket yourself, or use accept4 with flags.",
    symptoms=[
        "accepted connection is non-blocking on FreeBSD or macOS, and blocking on Linux",
        "read() on a new client gives EAGAIN, Resource temporarily unavailable, right after accept",
        "accepted sockets leak into child processes",
    ],
    reference="accept(2) Linux, FreeBSD, NetBSD, macOS; POSIX XSH accept",
    documented=lambda setting: _NONBLOCK_INHERITED if setting is NONBLOCK else {},
    light=True,
)
def inherited_flag(setting: _Setting) -> bool:
    """Does an accepted socket inherit {row} from the listener?"""
    return _has(_accept, setting, listener_has=True)


@probe(
    each={
        "inherits_nodelay": NODELAY,
        "inherits_keepalive": KEEPALIVE,
        "inherits_rcvtimeo": RCVTIMEO,
        "inherits_linger": LINGER,
    },
    matters="A daemon that sets {row} only on its listener runs without it if it is not inherited.",
    advice="Set {row} on every accepted socket, to the value you mean.",
    symptoms=[
        "latency of 40 ms on accepted connections: Nagle, delayed ACK",
        "options of the listening socket are lost on gVisor",
    ],
    reference="accept(2); tcp(7), socket(7) Linux; getsockopt(2) FreeBSD",
    light=True,
)
def inherited_option(setting: _Setting) -> bool:
    """Does an accepted socket inherit {row} from the listener?"""
    return _has(_accept, setting, listener_has=True)


@probe(
    each={"accept4_inherits_nonblock": NONBLOCK, "accept4_inherits_cloexec": CLOEXEC},
    matters="accept() and accept4() may differ on one system: changing the call changes the flags.",
    advice="Pass accept4() the flags you want: then it does the same everywhere.",
    symptoms=[
        "accept4() returns a blocking or non-blocking socket otherwise than accept()",
        "EAGAIN, Resource temporarily unavailable, right after accept4",
    ],
    reference="accept4(2) Linux, FreeBSD; POSIX.1-2024 XSH accept4",
    documented={"linux": False, "freebsd": False},
    light=True,
)
def accept4_inherited_flag(setting: _Setting) -> bool:
    """Without flags, does accept4() inherit {row} from the listener?"""
    return _has(_accept4, setting, listener_has=True)


@probe(
    each={"python_inherits_nonblock": NONBLOCK, "python_inherits_cloexec": CLOEXEC},
    matters="Python's accept() sets its own flags, so a daemon ported from C gets other ones.",
    advice="Call setblocking and set_inheritable on every accepted socket.",
    symptoms=[
        "BlockingIOError in Python on a socket from accept()",
        "settimeout, getdefaulttimeout: accepted socket is blocking or not",
    ],
    reference="PEP 446; CPython Modules/socketmodule.c: sock_accept_impl",
    light=True,
)
def python_inherited_flag(setting: _Setting) -> str:
    """When does Python's accept() set {row} on the new socket?"""
    without = _has(_python_accept, setting, listener_has=False)
    if without == _has(_python_accept, setting, listener_has=True):
        return "always" if without else "never"
    return "if the listener has not" if without else "if the listener has"


@probe(
    each={"nodelay_default": NODELAY, "keepalive_default": KEEPALIVE},
    matters="Small messages are delayed, or dead peers kept for ever, unless {row} is set.",
    advice="Set {row} explicitly on every connection, to the value you mean.",
    symptoms=[
        "small packets wait for 40 or 200 ms: Nagle, delayed ACK",
        "dead peers are never noticed: half-open connections stay for hours",
    ],
    reference="tcp(7), socket(7) Linux; tcp(4) FreeBSD; RFC 1122 4.2.3.4 and 4.2.3.6",
    light=True,
)
def default_of(setting: _Setting) -> bool:
    """Is {row} on by default?"""
    with socket.socket() as fresh:
        return bool(setting.get(fresh))


@probe(
    matters="A daemon that does not need the client's address must not fail because of it.",
    advice="Pass NULL for both address and length, or for neither.",
    symptoms=[
        "accept() fails with EFAULT, Bad address",
    ],
    reference="POSIX XSH accept; accept(2)",
    documented={"posix": "ok"},
    light=True,
)
def accept_null_address() -> str:
    """What does accept() without a buffer for the address return?"""
    with sockets.listen() as listening, socket.socket() as client:
        client.connect(listening.getsockname())
        sockets.reset_on_close(client)
        try:
            os.close(libc.call("accept", listening.fileno(), None, None))
        except OSError as error:
            return libc.name_errno(error.errno)
        return "ok"


def _reset(connected: socket.socket) -> None:
    """Close with a reset instead of an orderly end."""
    sockets.reset_on_close(connected)
    connected.close()


def _receive(connected: socket.socket) -> str:
    """Return ``EOF``, ``data``, or the name of the error."""
    try:
        return "data" if connected.recv(1) else "EOF"
    except OSError as error:
        return libc.name_error(error, "recv")


def _write(connected: socket.socket) -> str:
    return libc.try_call("write", connected.fileno(), b"x", 1)


def _accept_after_reset() -> tuple[str, str]:
    """Return what accept() does with a client that has reset, and what the first read returns."""
    with sockets.fence_loopback() as fence, sockets.listen() as listening:
        first, second = socket.socket(), socket.socket()
        first.connect(listening.getsockname())
        fence()  # The first client is in the listener's queue,
        _reset(first)
        fence()  # and its reset has arrived before the second connects.
        second.connect(listening.getsockname())
        second.send(b"x")
        sockets.reset_on_close(second)
        try:
            accepted = _accept(listening)
        except OSError as error:
            return libc.name_error(error, "accept"), ""
        read = _receive(accepted)
        return ("dropped", "") if read == "data" else ("accepted", read)


@probe(
    matters="If a failed accept() ends the daemon, or makes it loop, any client that resets does.",
    advice="After accept treat ECONNABORTED like EINTR; expect the first read to fail as well.",
    symptoms=[
        "accept() fails: ECONNABORTED, Software caused connection abort",
        "server exits or stops at a port scan or health check: client reset before accept",
    ],
    reference="accept(2) Linux, FreeBSD; POSIX XSH accept: ECONNABORTED",
    documented={"freebsd": "ECONNABORTED", "posix": "ECONNABORTED"},
    light=True,
)
def accept_after_reset() -> str:
    """What does accept() do with a client that has reset the connection?"""
    return _accept_after_reset()[0]


@probe(
    matters="A daemon takes the error for its own fault, or EOF for a client with no request.",
    advice="Take ECONNRESET or EOF from the first read as a client that gave up before its turn.",
    symptoms=[
        "first read of a new client: Connection reset by peer",
    ],
    reference="accept(2) Linux; POSIX XSH recv: ECONNRESET; RFC 9293 3.10.7.4",
    documented={"posix": "ECONNRESET"},
    light=True,
)
def read_after_accepted_reset() -> str:
    """What does the first read return after a client reset before accept()?"""
    accepted, read = _accept_after_reset()
    if accepted != "accepted":
        raise Unsupported(f"accept() does not return such a client: {accepted}")
    return read


@probe(
    matters="A client that resets has gone; it is not an error of the daemon.",
    advice="Treat ECONNRESET from read as the end of that one connection.",
    symptoms=[
        "Connection reset by peer while reading, ECONNRESET",
        "recv fails when a client goes away",
    ],
    reference="POSIX XSH recv; recv(2); RFC 9293 3.10.7.4",
    documented={"posix": "ECONNRESET"},
    light=True,
)
def read_after_reset() -> str:
    """What does a read return after the peer reset the connection?"""
    with sockets.connect_pair() as (peer, ours):
        _reset(peer)
        return _receive(ours)


@contextlib.contextmanager
def _close_peer() -> Iterator[socket.socket]:
    """Yield a connection whose peer is seen to have closed."""
    with sockets.connect_pair() as (peer, ours):
        peer.close()
        ours.recv(1)
        yield ours


@probe(
    matters="A write that succeeds says nothing: its bytes may go to a peer that has closed.",
    advice="Count a message as delivered when the peer answers, not when write returns.",
    symptoms=[
        "send to a client that has left succeeds: message lost without an error",
        "write after the peer closed returns success",
    ],
    reference="POSIX XSH send; RFC 9293 3.6; tcp(7)",
    light=True,
)
def write_after_peer_closed_first() -> str:
    """What does the first write return after the peer closed?"""
    with _close_peer() as ours:
        return _write(ours)


@probe(
    matters="The second write raises SIGPIPE, which ends a daemon that does not expect it.",
    advice="Ignore SIGPIPE or use MSG_NOSIGNAL, and take EPIPE for the end of the connection.",
    symptoms=[
        "Broken pipe or Connection reset only at the second write to a closed connection",
        "EPIPE on send",
    ],
    reference="POSIX XSH send: EPIPE; tcp(7) Linux",
    documented={"linux": "EPIPE"},
    light=True,
)
def write_after_peer_closed_second() -> str:
    """What does the second write return after the peer closed?"""
    with sockets.fence_loopback() as fence, _close_peer() as ours:
        if _write(ours) == "ok":
            fence()  # The peer has answered with a reset,
            if libc.LINUX or libc.FREEBSD or libc.DRAGONFLY:
                # and poll sees it: it reports POLLHUP without being asked.  Not so on NetBSD;
                # macOS reports it already if the peer has only closed.
                blocking.poll(ours.fileno())
        return _write(ours)


@probe(
    matters="Code that handles only EPIPE takes a client's reset for its own fault.",
    advice="Treat ECONNRESET and EPIPE from write alike: the connection is over.",
    symptoms=[
        "Broken pipe or Connection reset by peer when writing to a client that aborted",
    ],
    reference="POSIX XSH send: ECONNRESET, EPIPE; tcp(7) Linux",
    light=True,
)
def write_after_reset_first() -> str:
    """What does the first write return after the peer reset the connection?"""
    with sockets.connect_pair() as (peer, ours):
        _reset(peer)
        select.select([ours], [], [])  # Readable: the reset has arrived.
        return _write(ours)


@probe(
    matters="A loop that waits only for POLLHUP never sees that a peer closed.",
    advice="Ask poll for POLLIN and read: nothing to read is the end; never wait for POLLHUP.",
    symptoms=[
        "disconnect is not noticed by poll: no POLLHUP, only POLLIN or POLLRDHUP",
        "event loop spins at 100 % CPU after a client disconnects",
    ],
    reference="POSIX XSH poll; poll(2) Linux, FreeBSD",
    light=True,
)
def peer_close_seen_by_poll() -> str:
    """Which poll() events report that a TCP peer closed?"""
    with _close_peer() as ours:
        return "|".join(blocking.poll(ours.fileno(), "IN"))


def _is_killed_by_send(flags: int = 0, option: int = 0) -> bool:
    """Return whether a send after shutdown() kills a process with SIGPIPE at SIG_DFL."""

    def subject(_: children.Channel) -> str:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with sockets.connect_pair() as (ours, peer):
            sockets.reset_on_close(peer)  # However this process ends.
            if option:
                ours.setsockopt(socket.SOL_SOCKET, option, 1)
            ours.shutdown(socket.SHUT_WR)
            return libc.try_call("send", ours.fileno(), b"x", 1, flags)

    with children.fork(subject) as child:
        try:
            returned = child.receive()
        except children.ChildDied:
            if os.WIFSIGNALED(child.wait()) and os.WTERMSIG(child.wait()) == signal.SIGPIPE:
                return True
            raise
    if returned != "EPIPE":
        raise Unsupported(f"send after shutdown returned {returned}, not EPIPE")
    return False


@probe(
    matters="One client that leaves at the wrong moment kills the daemon, with nothing in its log.",
    advice="Ignore SIGPIPE at the start, or pass MSG_NOSIGNAL to every send().",
    symptoms=[
        "server dies silently, exit status 141, when a client disconnects",
        "terminated by signal SIGPIPE, Broken pipe, on send",
    ],
    reference="POSIX XSH send: EPIPE; signal(7) Linux",
    documented={"posix": True},
)
def sigpipe_from_socket() -> bool:
    """Does sending on a closed connection kill the process by SIGPIPE?"""
    return _is_killed_by_send()


@probe(
    matters="A library cannot spare its program SIGPIPE if the flag is missing or ignored.",
    advice="Use MSG_NOSIGNAL where it works, otherwise SO_NOSIGPIPE; a daemon ignores SIGPIPE.",
    symptoms=[
        "MSG_NOSIGNAL is undeclared, or does not help: SIGPIPE, Broken pipe on macOS",
    ],
    reference="POSIX XSH send: MSG_NOSIGNAL; send(2)",
    documented={"posix": True},
)
def msg_nosignal() -> bool:
    """Does MSG_NOSIGNAL suppress SIGPIPE?"""
    return not _is_killed_by_send(flags=absent.get_constant(socket, "MSG_NOSIGNAL"))


@probe(
    matters="write() and sendfile() take no flags: only the option keeps SIGPIPE from them.",
    advice="Without SO_NOSIGPIPE, ignore SIGPIPE before the first write to a socket.",
    symptoms=[
        "SO_NOSIGPIPE is undeclared on Linux; SIGPIPE on macOS and iOS",
    ],
    reference="getsockopt(2) FreeBSD, macOS",
    documented={"freebsd": True},
)
def so_nosigpipe() -> bool:
    """Does SO_NOSIGPIPE suppress SIGPIPE?"""
    # sys/sys/socket.h of FreeBSD, DragonFly and NetBSD; bsd/sys/socket.h of xnu.
    bsd = libc.FREEBSD or libc.DRAGONFLY or libc.NETBSD
    option = 0x1022 if libc.MACOS else 0x0800 if bsd else 0
    if not option:
        raise Unsupported(f"{libc.SYSTEM} has no SO_NOSIGPIPE")
    return not _is_killed_by_send(option=option)
