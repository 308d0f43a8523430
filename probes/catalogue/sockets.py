"""Sockets before a client connects: families, binding, backlog."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from .. import lens, libc, refusals
from ..fact import CONFIGURED, INFORMATIVE
from ..harness import sockets
from ..probe import Blocked, Sample, Unsupported, probe

LOOPBACK = "127.0.0.1"
LOOPBACK6 = "::1"
WILDCARD = "0.0.0.0"
WILDCARD6 = "::"

Option = tuple[int, int, int]
REUSEADDR: Option = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
V6ONLY: Option = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
DUAL: Option = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def _open_tcp(host: str) -> socket.socket:
    """Return a new TCP socket of the family of ``host``."""
    try:
        return socket.socket(_get_family(host), socket.SOCK_STREAM)
    except OSError as error:
        # name_error() raises Blocked if a sandbox refuses.
        if libc.name_error(error, "socket") in ("EAFNOSUPPORT", "EPROTONOSUPPORT"):
            raise Unsupported("the kernel has no IPv6 sockets") from None
        raise


def _get_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _listen(host: str, port: int = 0, *options: Option, backlog: int = 8) -> socket.socket:
    """Return a listener with ``options`` set before bind; port 0 lets the kernel choose."""
    made = _open_tcp(host)
    try:
        for level, option, value in options:
            made.setsockopt(level, option, value)
        made.bind((host, port))
        made.listen(backlog)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise Blocked(f"no {host} on this machine: bring lo up") from None
        raise
    return made


STRAGGLING = 0.5 if libc.GVISOR else 0.0
"""Seconds to wait after a fence for a network stack that has its own threads, as gVisor's has;
elsewhere everything before the fence is done when the fence returns."""


def _accept_from(listening: socket.socket, host: str) -> Optional[Any]:
    """Return the address, as the listener sees it, of a client that connects to ``host``.

    None if the client is refused, or reaches another program that has the same port for
    ``host``.
    """
    with sockets.fence_loopback() as fence, _open_tcp(host) as client:
        sockets.require_loopback(_get_family(host))
        try:
            client.connect((host, listening.getsockname()[1]))
        except ConnectionRefusedError:
            return None
        fence()
        if not select.select([listening], [], [], STRAGGLING)[0]:
            return None
        server, peer = listening.accept()
        sockets.reset_on_close(server)
        server.close()
        return peer


# As sysctl(8) names it.  The name on the BSDs is from inet6(4) and ip6(4); no test changes it.
BINDV6ONLY = {
    "linux": "net.ipv6.bindv6only",
    "freebsd": "net.inet6.ip6.v6only",
    "netbsd": "net.inet6.ip6.v6only",
}


@probe(
    matters="A daemon that binds [::] and counts on IPv4 clients gets none.",
    advice="Set IPV6_V6ONLY on every AF_INET6 socket before bind, to the value you mean.",
    symptoms=[
        "server listens on IPv6 only: IPv4 clients get Connection refused on FreeBSD or OpenBSD",
        "dual stack, 4in6: listen on :: accepts IPv4 or not",
    ],
    reference="RFC 3493 5.3; POSIX XSH 2.10.20.3; ipv6(7) Linux; inet6(4) FreeBSD",
    documented={
        "linux": False, "freebsd": True, "netbsd": True, "openbsd": True, "posix": False
    },
    scope=CONFIGURED,
    hangs_on=BINDV6ONLY,
)  # fmt: skip
def v6only_default() -> bool:
    """Is IPV6_V6ONLY on by default?"""
    with _open_tcp(WILDCARD6) as fresh:
        return bool(fresh.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


@probe(
    matters="A daemon or a test that binds ::1 fails to start on a machine without it.",
    advice="Treat EADDRNOTAVAIL and EAFNOSUPPORT from ::1 as 'no IPv6', and use 127.0.0.1.",
    symptoms=[
        "Cannot assign requested address, EADDRNOTAVAIL, for ::1: IPv6 is disabled in Docker "
        "or by sysctl",
        "Address family not supported by protocol, EAFNOSUPPORT",
    ],
    reference="RFC 4291 2.5.3; ipv6(7) Linux; net.ipv6.conf.all.disable_ipv6",
    scope=CONFIGURED,
    hangs_on="net.ipv6.conf.all.disable_ipv6",
    light=True,
)
def ipv6_loopback() -> Any:
    """Can a program bind ::1 and connect to it?"""
    try:
        with contextlib.ExitStack() as both:
            listening, client = (
                both.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
                for _ in range(2)
            )
            listening.bind((LOOPBACK6, 0))
            listening.listen(1)
            client.connect(listening.getsockname())
    except OSError as error:
        return Sample(False, libc.name_error(error, "bind"))
    return True


@probe(
    matters="With one [::] listener for both families, IPv4 clients are refused.",
    advice="Set IPV6_V6ONLY explicitly: to 0 for one dual listener, or to 1 beside an IPv4 one.",
    symptoms=[
        "IPv4 clients cannot connect to a server listening on ::, Connection refused",
        "dual stack, ipv4-mapped, 4in6",
    ],
    reference="RFC 3493 3.7 and 5.3; POSIX XSH 2.10.20.2; inet6(4) FreeBSD; ip6(4) OpenBSD",
    documented={
        "linux": True, "freebsd": False, "netbsd": False, "openbsd": False, "posix": True
    },
    scope=CONFIGURED,
    hangs_on=BINDV6ONLY,
)  # fmt: skip
def v4mapped_default() -> bool:
    """Does a default [::] listener serve IPv4 clients?"""
    with _listen(WILDCARD6) as listening:
        return _accept_from(listening, LOOPBACK) is not None


@probe(
    matters="If not, a single dual-stack listener cannot serve both families.",
    advice="If not, listen on two sockets: AF_INET, and AF_INET6 with IPV6_V6ONLY=1.",
    symptoms=[
        "setsockopt IPV6_V6ONLY 0 fails or has no effect on OpenBSD",
        "dual stack, one socket for IPv4 and IPv6",
    ],
    reference="RFC 3493 5.3; POSIX XSH 2.10.20.2; ip6(4) OpenBSD",
    documented={"linux": True, "freebsd": True, "openbsd": False, "posix": True},
    light=True,
)
def v4mapped_dual() -> Any:
    """Does a [::] listener with IPV6_V6ONLY=0 serve IPv4 clients?"""
    try:
        listening = _listen(WILDCARD6, 0, DUAL)
    except OSError as error:
        return Sample(False, libc.name_error(error, "bind"))
    with listening:
        return _accept_from(listening, LOOPBACK) is not None


@probe(
    matters="A ban or a log line keyed by 127.0.0.1 misses the same client as ::ffff:127.0.0.1.",
    advice="Map ::ffff:a.b.c.d to a.b.c.d before an address is compared or logged.",
    symptoms=[
        "client addresses look like ::ffff:127.0.0.1: allow list, log or ban does not match",
        "ipv4-mapped address, 4in6",
    ],
    reference="RFC 4291 2.5.5.2; POSIX XSH inet_ntop",
    light=True,
)
def v4mapped_address() -> str:
    """How does a dual-stack [::] listener show the client 127.0.0.1?"""
    try:
        listening = _listen(WILDCARD6, 0, DUAL)
    except OSError as error:
        why = libc.name_error(error, "bind")
        raise Unsupported(f"no dual listeners: IPV6_V6ONLY=0 fails with {why}") from None
    with listening:
        peer = _accept_from(listening, LOOPBACK)
    if peer is None:
        raise Unsupported("a dual listener gets no IPv4 clients")
    return str(peer[0])


@probe(
    matters="IPV6_V6ONLY set too late is ignored or refused, and the wrong clients are served.",
    advice="Set IPV6_V6ONLY before bind, and check what setsockopt returns.",
    symptoms=[
        "setsockopt IPV6_V6ONLY: EINVAL, Invalid argument",
        "Protocol error setting v6only",
    ],
    reference="RFC 3493 5.3; ipv6(7) Linux",
    light=True,
)
def v6only_after_bind() -> str:
    """What does setting IPV6_V6ONLY after bind() return?"""
    with _open_tcp(WILDCARD6) as bound:
        bound.bind((WILDCARD6, 0))
        level, option = socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        try:
            bound.setsockopt(level, option, not bound.getsockopt(level, option))
        except OSError as error:
            return libc.name_error(error, "setsockopt")
        return "ok"


class _Address(NamedTuple):
    """The host that a socket is bound to, and the options set before."""

    host: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class _Pair:
    """Two listeners for one port, of which the first is there already."""

    first: _Address
    second: _Address

    def __str__(self) -> str:
        names = {REUSEADDR: "SO_REUSEADDR", V6ONLY: "IPV6_V6ONLY"}
        options = (*self.first.options, *self.second.options)
        named = [name for option, name in names.items() if option in options]
        plainly = f"{_show(self.second.host)} beside {_show(self.first.host)}"
        return plainly + (f" with {' and '.join(named)}" if named else "")


def _show(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bind_second(pair: _Pair) -> str:
    """Bind and listen to the second while the first listens; return ``ok`` or the error."""
    errors = []
    for _ in range(100):
        with _listen(pair.first.host, 0, *pair.first.options) as first:
            port = first.getsockname()[1]
            error = _try_listen(pair.second, port)
        if not error:
            return "ok"
        # Another program may hold the port for the second address.  The first listener was in
        # the way only if the second gets the port without it.
        if not _try_listen(pair.second, port):
            errors.append(error)
            if len(errors) == 2:
                return error
    raise Blocked(f"{pair.second.host} has no port for this, even alone: {error}")


def _try_listen(name: _Address, port: int) -> str:
    """Return the error of bind or listen; empty if they succeed."""
    try:
        _listen(name.host, port, *name.options).close()
    except OSError as error:
        return libc.name_error(error, "bind")
    return ""


def _pair_families(*shared: Option, v6: tuple[Option, ...] = ()) -> dict[str, _Pair]:
    """Return both orders of the two wildcard addresses, with the same options."""
    four, six = _Address(WILDCARD, shared), _Address(WILDCARD6, (*v6, *shared))
    return {"v4_first": _Pair(four, six), "v6_first": _Pair(six, four)}


def _name_rows(options: str, families: dict[str, _Pair]) -> dict[str, _Pair]:
    return {f"bind_{order}_{options}": pair for order, pair in families.items()}


@probe(
    each={
        **_name_rows("default", _pair_families()),
        **_name_rows("reuseaddr", _pair_families(REUSEADDR)),
    },
    matters="A daemon that binds every address getaddrinfo gives fails on the second, or does not.",
    advice="Set IPV6_V6ONLY=1 on the AF_INET6 socket: then both bind, in either order, everywhere.",
    symptoms=[
        "bind: Address already in use for 0.0.0.0 and :: on one port",
        "two listeners, IPv4 and IPv6: the second fails, EADDRINUSE",
    ],
    reference="RFC 3493 5.3; ipv6(7) Linux; inet6(4) FreeBSD",
    scope=CONFIGURED,
    hangs_on=BINDV6ONLY,
    light=True,
)
def bind_both_families(pair: _Pair) -> str:
    """What does binding {row} return?"""
    return _bind_second(pair)


@probe(
    each={
        **_name_rows("v6only", _pair_families(v6=(V6ONLY,))),
        **_name_rows("v6only_reuseaddr", _pair_families(REUSEADDR, v6=(V6ONLY,))),
    },
    matters="Two sockets, one per family, are the portable way to serve both; this must work.",
    advice="Set IPV6_V6ONLY=1 before bind and listen on both sockets.",
    symptoms=[
        "listen on 0.0.0.0 and [::] at once: ipv6only=on, bindv6only",
        "Address already in use, EADDRINUSE, for IPv4 and IPv6",
    ],
    reference="RFC 3493 5.3; ipv6(7) Linux; inet6(4) FreeBSD",
    documented={"linux": "ok", "freebsd": "ok"},
    light=True,
)
def bind_both_families_v6only(pair: _Pair) -> str:
    """What does binding {row} return?"""
    return _bind_second(pair)


@probe(
    each={
        "wildcard_beside_specific": _Pair(_Address(LOOPBACK), _Address(WILDCARD)),
        "wildcard_beside_specific_reuseaddr": _Pair(
            _Address(LOOPBACK, (REUSEADDR,)), _Address(WILDCARD, (REUSEADDR,))
        ),
        "specific_beside_wildcard": _Pair(_Address(WILDCARD), _Address(LOOPBACK)),
        "specific_beside_wildcard_reuseaddr": _Pair(
            _Address(WILDCARD, (REUSEADDR,)), _Address(LOOPBACK, (REUSEADDR,))
        ),
    },
    matters="If it works, a second daemon takes some of the first one's clients, unnoticed.",
    advice="Hold one lock file per daemon; a successful bind() does not prove the port is yours.",
    symptoms=[
        "bind: Address already in use on 127.0.0.1 though another listens on 0.0.0.0, or the "
        "other way",
        "another program takes over the port of localhost: port hijacking, dnsmasq, "
        "systemd-resolved port 53",
    ],
    reference="socket(7) Linux; getsockopt(2) FreeBSD: SO_REUSEADDR",
    # "except when there is an active listening socket bound to the address"
    documented=lambda pair: {"linux": "EADDRINUSE"} if pair.second.options else {},
    light=True,
)
def beside_a_listener(pair: _Pair) -> str:
    """What does binding {row} return?"""
    return _bind_second(pair)


@probe(
    matters="If it works, starting the daemon twice steals clients, unnoticed.",
    advice="Hold a lock file for the daemon's life; bind() does not keep a second daemon out.",
    symptoms=[
        "two servers run on one port at once: SO_REUSEADDR",
        "second instance starts without Address already in use",
    ],
    reference="socket(7) Linux; getsockopt(2) FreeBSD: SO_REUSEADDR",
    documented={"linux": "EADDRINUSE"},
    light=True,
)
def reuseaddr_live_listener() -> str:
    """With SO_REUSEADDR, what does binding a listener's own address return?"""
    name = _Address(LOOPBACK, (REUSEADDR,))
    return _bind_second(_Pair(name, name))


def _list_passive() -> list[tuple[Any, ...]]:
    """Return the addresses that getaddrinfo() gives a daemon to bind, in its order."""
    return list(socket.getaddrinfo(None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))


_FAMILY_NAMES = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}


@probe(
    matters="The same loop over getaddrinfo binds IPv4 first on one system, IPv6 on another.",
    advice="Bind every address it gives, IPV6_V6ONLY=1 on AF_INET6; never only the first.",
    symptoms=[
        "server binds only IPv6 or only IPv4: first result of getaddrinfo",
        "order of 0.0.0.0 and ::",
    ],
    reference="POSIX XSH getaddrinfo; getaddrinfo(3); gai.conf(5) Linux; ip6addrctl(8) FreeBSD",
    scope=CONFIGURED,
    light=True,
)
def passive_order() -> str:
    """In which order does getaddrinfo(NULL, AI_PASSIVE) list families?"""
    return ", ".join(_FAMILY_NAMES.get(found[0], str(found[0])) for found in _list_passive())


def _bind_first() -> socket.socket:
    for found in _list_passive():
        with contextlib.suppress(OSError, Unsupported):
            return _listen(found[4][0])
    raise Unsupported("no address that getaddrinfo() gives can be bound")


@probe(
    matters="The textbook loop that keeps the first socket that binds serves one family by chance.",
    advice="Name the family, or bind every address getaddrinfo gives with IPV6_V6ONLY set.",
    symptoms=[
        "server binds only IPv6 or only IPv4: stops at the first getaddrinfo result",
    ],
    reference="getaddrinfo(3), EXAMPLES; RFC 3493 6.1",
    scope=CONFIGURED,
    light=True,
)
def first_that_binds() -> str:
    """Which family does the first bindable getaddrinfo() address have?"""
    with _bind_first() as bound:
        return _FAMILY_NAMES[bound.family]


@probe(
    matters="A daemon that serves all clients here serves only IPv6 on the next system.",
    advice="Bind every address getaddrinfo() gives with IPV6_V6ONLY=1, one listener per family.",
    symptoms=[
        "localhost works by ::1 and not by 127.0.0.1, or the other way: Connection refused",
        "clients of one family cannot connect",
    ],
    reference="getaddrinfo(3), EXAMPLES; RFC 3493 3.7; inet6(4) FreeBSD",
    scope=CONFIGURED,
    light=True,
)
def first_that_binds_serves() -> str:
    """Which clients does the first bindable getaddrinfo() address serve?"""
    with _bind_first() as listening:
        # An IPv4 socket cannot serve IPv6, so do not ask on a machine without it.
        asked = {"IPv4": LOOPBACK}
        if listening.family == socket.AF_INET6:
            asked["IPv6"] = LOOPBACK6
        served = {name for name, host in asked.items() if _accept_from(listening, host)}
    return "both" if len(served) == 2 else f"{''.join(served) or 'nobody'} alone"


@dataclass(frozen=True)
class _Restart:
    """The options of a daemon before and after its restart."""

    before: tuple[Option, ...]
    after: tuple[Option, ...]


def _restart_daemon(daemon: _Restart) -> str:
    """Bind while a connection of the first start is in TIME_WAIT; return ``ok`` or the error."""
    sockets.require_loopback()
    with _listen(LOOPBACK, 0, *daemon.before) as listening, _open_tcp(LOOPBACK) as client:
        address = listening.getsockname()
        client.connect(address)
        server, _ = listening.accept()
        server.close()  # The side that closes first waits: here the daemon.
        client.recv(1)
        # With SO_LINGER close() returns when the other side has acknowledged the end of the
        # connection, and that is what puts the other side into TIME_WAIT.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        client.close()
    return _try_listen(_Address(LOOPBACK, daemon.after), address[1]) or "ok"


@probe(
    matters="A restarted daemon cannot bind its port for a minute or more.",
    advice="Set SO_REUSEADDR on every listener before bind.",
    symptoms=[
        "Address already in use, EADDRINUSE, when the server is restarted",
        "must wait a minute before a restart: TIME_WAIT",
    ],
    reference="ip(7) Linux: NOTES; getsockopt(2) FreeBSD; RFC 9293 3.6.1",
    documented={"linux": "EADDRINUSE"},
    scope=CONFIGURED,
    hangs_on="net.ipv4.tcp_max_tw_buckets",
    light=True,
)
def bind_time_wait() -> str:
    """What does a plain bind() to a port in TIME_WAIT return?"""
    return _restart_daemon(_Restart(before=(), after=()))


@probe(
    matters="A restarted daemon must get its port back at once.",
    advice="Set SO_REUSEADDR on every listener before bind.",
    symptoms=[
        "Address already in use, EADDRINUSE, when the server is restarted: SO_REUSEADDR, TIME_WAIT",
    ],
    reference="ip(7) and socket(7) Linux; getsockopt(2) FreeBSD",
    documented={"linux": "ok"},
    light=True,
)
def reuseaddr_time_wait() -> str:
    """With SO_REUSEADDR, what does bind() to a port in TIME_WAIT return?"""
    return _restart_daemon(_Restart(before=(REUSEADDR,), after=(REUSEADDR,)))


@probe(
    matters="An upgrade that adds SO_REUSEADDR still waits for connections made without it.",
    advice="Set SO_REUSEADDR from the first release on; at the upgrade, retry bind for a minute.",
    symptoms=[
        "Address already in use at a restart in spite of SO_REUSEADDR: the old server had not"
        " set it",
    ],
    reference="net/ipv4/inet_connection_sock.c Linux: inet_bind_conflict",
    scope=CONFIGURED,
    hangs_on="net.ipv4.tcp_max_tw_buckets",
    light=True,
)
def late_reuseaddr_time_wait() -> str:
    """With SO_REUSEADDR on the new socket only, what does bind() to a port in TIME_WAIT return?"""
    return _restart_daemon(_Restart(before=(), after=(REUSEADDR,)))


CLIENTS = 32
"""If two listeners share them by chance, all go to one of the two once in 2**31 times."""


def _get_reuseport() -> Option:
    if not hasattr(socket, "SO_REUSEPORT"):
        raise Unsupported(f"{libc.SYSTEM} has no SO_REUSEPORT")
    return (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _count_shares(option: Option, name: str = "SO_REUSEPORT") -> list[int]:
    """Return how many of CLIENTS connections each of two listeners on one port gets."""
    sockets.require_loopback()
    shares = [0, 0]
    with contextlib.ExitStack() as open_sockets:
        try:
            one = open_sockets.enter_context(_listen(LOOPBACK, 0, option))
            two = open_sockets.enter_context(_listen(*one.getsockname(), option))
        except OSError as error:
            why = libc.name_error(error, "bind")
            raise Unsupported(f"no two listeners with {name} on one port: {why}") from None
        for _ in range(CLIENTS):
            # Kept open to the end, so that each has another port, and so another hash.
            client = open_sockets.enter_context(_open_tcp(LOOPBACK))
            sockets.reset_on_close(client)
            client.connect(one.getsockname())
            for given in select.select([one, two], [], [])[0]:
                given.accept()[0].close()
                shares[given is two] += 1
    return shares


@probe(
    matters="Without it, the processes of a pool cannot each have their own listener.",
    advice="Without it, let the processes inherit and share one listener.",
    symptoms=[
        "SO_REUSEPORT: Protocol not available, ENOPROTOOPT, undeclared",
        "setsockopt reuseport fails",
    ],
    reference="socket(7) Linux; getsockopt(2) FreeBSD",
    documented={"linux": True, "freebsd": True},
    light=True,
)
def reuseport_exists() -> Any:
    """Can SO_REUSEPORT be set on a TCP socket?"""
    if not hasattr(socket, "SO_REUSEPORT"):
        return False
    with _open_tcp(LOOPBACK) as fresh:
        try:
            fresh.setsockopt(*_get_reuseport())
        except OSError as error:
            return Sample(False, libc.name_error(error, "setsockopt"))
    return True


@probe(
    matters="If it does not balance, all but one process of the pool are idle.",
    advice="Use SO_REUSEPORT_LB where it exists, or one listener that all processes inherit.",
    symptoms=[
        "SO_REUSEPORT: only one worker gets all connections on macOS or FreeBSD",
        "uneven load balancing between workers, thundering herd",
    ],
    reference="socket(7) Linux; getsockopt(2) FreeBSD",
    documented={"linux": True},
    light=True,
)
def reuseport_balances() -> Sample:
    """Do two SO_REUSEPORT listeners both get connections?"""
    shares = _count_shares(_get_reuseport())
    return Sample(all(shares), shares)


@probe(
    matters="A new process takes every client from those before it; they look alive and are idle.",
    advice="Do not count on SO_REUSEPORT to spread load: inherit one listener instead.",
    symptoms=[
        "SO_REUSEPORT: last process started gets every connection",
        "no load balancing on BSD and macOS",
    ],
    reference="socket(7) Linux; getsockopt(2) FreeBSD",
    documented={"linux": False},
    light=True,
)
def reuseport_last_binder_wins() -> Sample:
    """Does the last SO_REUSEPORT listener get every connection?"""
    shares = _count_shares(_get_reuseport())
    return Sample(shares[0] == 0, shares)


@probe(
    matters="FreeBSD balances among listeners only with its own option.",
    advice="Set SO_REUSEPORT_LB instead of SO_REUSEPORT if the system has it.",
    symptoms=[
        "load balancing between listeners on FreeBSD: SO_REUSEPORT_LB",
        "nginx reuseport on FreeBSD",
    ],
    reference="getsockopt(2) FreeBSD 12",
    documented={"freebsd": True},
    light=True,
)
def reuseport_lb() -> Sample:
    """Do two SO_REUSEPORT_LB listeners both get connections?"""
    # FreeBSD's sys/sys/socket.h; older Pythons have no name for it.
    option = getattr(socket, "SO_REUSEPORT_LB", 0x00010000 if libc.FREEBSD else None)
    if option is None:
        raise Unsupported(f"{libc.SYSTEM} has no SO_REUSEPORT_LB")
    shares = _count_shares((socket.SOL_SOCKET, option, 1), "SO_REUSEPORT_LB")
    return Sample(all(shares), shares)


@probe(
    matters="Code that sets SO_REUSEPORT on every listener fails on its Unix socket.",
    advice="Set SO_REUSEPORT only on AF_INET and AF_INET6 sockets.",
    symptoms=[
        "SO_REUSEPORT on a Unix socket: Operation not supported, EOPNOTSUPP",
    ],
    reference="net/core/sock.c Linux: sk_reuseport only for inet sockets",
    light=True,
)
def reuseport_unix() -> str:
    """What does setting SO_REUSEPORT on a Unix socket return?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fresh:
        try:
            fresh.setsockopt(*_get_reuseport())
        except OSError as error:
            return libc.name_error(error, "setsockopt")
        return "ok"


BACKLOG = 2
MANY = 16


def _fill_backlog() -> tuple[int, str]:
    """Return how many connections complete without accept(), and what the next client gets."""
    under_way = (0, errno.EINPROGRESS)
    with sockets.fence_loopback() as fence, contextlib.ExitStack() as open_sockets:
        unserved = open_sockets.enter_context(_listen(LOOPBACK, backlog=BACKLOG))
        for completed in range(MANY):
            client = open_sockets.enter_context(_open_tcp(LOOPBACK))
            client.setblocking(False)
            # On FreeBSD connect() itself returns the error, and SO_ERROR no longer has it.
            error = client.connect_ex(unserved.getsockname())
            if error not in under_way:
                return completed, libc.name_errno(error)
            # After the fence the kernel has answered the request or dropped it.  Nothing ever
            # leaves the queue, so an unanswered request stays unanswered.
            fence()
            if not select.select([], [client], [], STRAGGLING)[1]:
                return completed, "waits"
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return completed, libc.name_errno(error)
    raise Unsupported(f"listen(2) limits nothing: {MANY} connections completed unaccepted")


@probe(
    matters="A daemon that is slow to accept turns clients away sooner on one system than another.",
    advice="Give listen() a backlog for the whole burst you expect, and accept in a loop.",
    symptoms=[
        "clients connect though the server does not accept: backlog",
        "connection established but server never answers",
    ],
    reference="listen(2) Linux, FreeBSD (1.5 times the backlog); POSIX XSH listen",
    # uipc_socket.c: sonewconn drops a connection when qlen > 3 * limit / 2.
    documented={"freebsd": 4},
    scope=CONFIGURED,
    hangs_on="net.core.somaxconn",
    light=True,
)
def backlog_completes() -> int:
    """How many connections complete after listen(2), without accept()?"""
    return _fill_backlog()[0]


@probe(
    matters="Clients of a busy daemon hang for seconds on one system, fail at once on another.",
    advice="Give connect a time-out; retry it on ECONNREFUSED and ECONNRESET, after a pause.",
    symptoms=[
        "connect times out, hangs, or Connection refused, under load: listen queue overflow, "
        "SYNs dropped",
        "accept queue is full, backlog",
    ],
    reference="listen(2) Linux, FreeBSD; POSIX XSH listen; tcp(7) Linux",
    scope=CONFIGURED,
    light=True,
)
def backlog_overflow() -> str:
    """What happens to connect() when the backlog is full?"""
    return _fill_backlog()[1]


@probe(
    matters="A large backlog is cut down silently, and a burst of clients overflows it.",
    advice="Raise net.core.somaxconn or kern.ipc.soacceptqueue to the backlog you ask for.",
    symptoms=[
        "listen backlog is limited to 128 or 4096: somaxconn",
        "TCP: possible SYN flooding, listen queue overflow",
    ],
    reference="listen(2) Linux: somaxconn; listen(2) FreeBSD: kern.ipc.soacceptqueue",
    scope=CONFIGURED,
    hangs_on="net.core.somaxconn",
    light=True,
)
def backlog_clamp() -> int:
    """To what does the kernel limit the backlog of listen(1048576)?"""
    with _listen(LOOPBACK, backlog=1 << 20) as listening:
        if libc.FREEBSD:
            # SO_LISTENQLIMIT of sys/sys/socket.h.
            return listening.getsockopt(socket.SOL_SOCKET, 0x1011)
        if not libc.LINUX:
            raise Unsupported(f"{libc.SYSTEM} does not report a listener's backlog")
        sockets.require_loopback()
        alone = _read_queue(listening)
        with _open_tcp(LOOPBACK) as client:
            client.connect(listening.getsockname())
            select.select([listening], [], [])
            beside = _read_queue(listening)
            sockets.reset_on_close(client)
    queue, backlog = alone
    if not any((*alone, *beside)):
        raise Unsupported("this kernel does not report a listener's backlog")
    # The waiting client proves that the words are where the lab reads them.
    if not backlog or (queue, *beside) != (0, 1, backlog):
        raise Blocked(f"TCP_INFO cannot be trusted here: it reports {alone}, then {beside}")
    return backlog


def _read_queue(listening: socket.socket) -> tuple[int, int]:
    """Return how many connections wait for accept(), and how many may, by TCP_INFO.

    include/uapi/linux/tcp.h: eight bytes, then 32-bit words; for a listener the fifth,
    tcpi_unacked, is its queue, and the sixth, tcpi_sacked, its greatest backlog.
    """
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    if len(info) < 32:  # qemu-user passes four bytes on.
        raise Blocked(f"TCP_INFO cannot be trusted here: it has {len(info)} bytes")
    queue, backlog = struct.unpack("II", info[24:32])
    return queue, backlog


@probe(
    matters="listen(SOMAXCONN) asks for 128 on one C library and for 4096 on another.",
    advice="Pass listen() your own number instead of SOMAXCONN.",
    symptoms=[
        "SOMAXCONN is 128 or 4096 in the headers",
    ],
    reference="listen(2) Linux; <sys/socket.h>",
    scope=INFORMATIVE,
    light=True,
)
def somaxconn_macro() -> int:
    """What is SOMAXCONN in the headers that Python was built with?"""
    return int(socket.SOMAXCONN)


@probe(
    matters="A client that connects to 0.0.0.0, as its server binds it, fails on some systems.",
    advice="Connect to 127.0.0.1 or ::1; the wildcard address is only for bind().",
    symptoms=[
        "connect to 0.0.0.0 works on Linux and fails elsewhere: Cannot assign requested "
        "address, EADDRNOTAVAIL",
        "client uses the bind address",
    ],
    reference="RFC 1122 3.2.1.3; ip(4) FreeBSD 15: net.inet.ip.connect_inaddr_wild",
    scope=CONFIGURED,
    light=True,
)
def connect_to_any() -> str:
    """What does connect() to 0.0.0.0 return?"""
    sockets.require_loopback()
    with _listen(LOOPBACK) as listening, _open_tcp(WILDCARD) as client:
        try:
            client.connect((WILDCARD, listening.getsockname()[1]))
        except OSError as error:
            return libc.name_error(error, "connect")
        return "ok"


def _bind_unix(bound: socket.socket, path: bytes) -> None:
    """Call bind(2) with a struct sockaddr_un that is as long as ``path`` makes it."""
    address = lens.make_unix_address(path)
    libc.call("bind", bound.fileno(), address, len(address))


_BSD_SUN_PATH = dict.fromkeys(("freebsd", "netbsd", "openbsd", "macos"), 104)
_KEEP_SHORT = "Keep socket paths within 100 bytes, or change into their folder and bind a name."


def _measure_sun_path() -> int:
    """Return the size of sun_path in struct sockaddr_un, as programs here declare it."""

    def fits(length: int) -> bool:
        try:
            asked.connect(b"x" * length)
        except OSError as error:
            # Python itself refuses a path that does not fit, with its NUL, into the struct it
            # was compiled with; any other error is the kernel's and has a number.
            return error.errno is not None
        return True

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        longest, too_long = 1, 256
        if not fits(longest) or fits(too_long):
            raise Unsupported("this Python does not show the size of sun_path")
        while longest + 1 < too_long:
            middle = (longest + too_long) // 2
            longest, too_long = (middle, too_long) if fits(middle) else (longest, middle)
    return longest + 1


@probe(
    matters="A path copied into a sockaddr_un without checking its size overwrites the stack.",
    advice=_KEEP_SHORT,
    symptoms=[
        "Unix socket path is too long: AF_UNIX path too long, 104 or 108 characters",
        "File name too long, ENAMETOOLONG: socket in a deep temporary folder",
    ],
    reference="unix(7) Linux; unix(4) FreeBSD; POSIX <sys/un.h>",
    documented={"linux": 108, **_BSD_SUN_PATH},
    light=True,
)
def sun_path_bytes() -> int:
    """How many bytes does sun_path of struct sockaddr_un have?"""
    return _measure_sun_path()


def _find_longest_path(ending: bytes) -> Sample:
    """Return the length of the longest path that binds and fits sun_path with ``ending``.

    The raw sample is the length of the longest path that binds.
    """
    fitting = _measure_sun_path() - len(ending)
    fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    longest = 0
    # A byte of length holds 255, of which two are taken: no system has room for more.
    for length in range(253, 2, -1):
        path = str(length).encode().ljust(length, b"x")
        try:
            _bind_unix(fresh, path + ending)
        except OSError as error:
            if error.errno in refusals.LIMITS:
                raise
            continue
        # A socket binds once.
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Otherwise the path was cut, and the socket has another name.
        if os.path.exists(path):
            longest = longest or length
            if length <= fitting:
                return Sample(length, longest)
    raise Unsupported("no Unix socket can be bound in the scratch folder")


@probe(
    matters="A socket path that works on Linux is refused or truncated elsewhere.",
    advice=_KEEP_SHORT,
    symptoms=[
        "OSError: AF_UNIX path too long, Invalid argument, on macOS",
        "unix domain socket path too long: 103, 104, 107, 108 bytes",
    ],
    reference="unix(7) Linux: BUGS; unix(4) FreeBSD; POSIX <sys/un.h>",
    # unp_nam2sun of OpenBSD needs room for the NUL.
    documented={"linux": 108, **_BSD_SUN_PATH, "openbsd": 103},
)
def unix_path_limit() -> Sample:
    """How many bytes may a Unix socket's path have without a NUL at its end?

    Never more than fits sun_path: xnu takes up to 253 bytes, which no portable
    program can write down.  The raw sample is what the kernel takes.
    """
    return _find_longest_path(b"")


@probe(
    matters="A program that reads sun_path as a string runs past its end if there is no NUL.",
    advice=f"Count the NUL in the length you give to bind(). {_KEEP_SHORT}",
    symptoms=[
        "unix domain socket path too long: the NUL at the end, 104 or 108 bytes",
    ],
    reference="unix(7) Linux: BUGS; unix(4) FreeBSD; POSIX <sys/un.h>",
    documented={"linux": 107, **dict.fromkeys(_BSD_SUN_PATH, 103)},
)
def unix_path_limit_with_nul() -> Sample:
    """How many bytes may a Unix socket's path have before the NUL at its end?

    Never more than fits sun_path; the raw sample is what the kernel takes.
    """
    return _find_longest_path(b"\0")


@probe(
    matters="A daemon that listens on an abstract name cannot start on any other system.",
    advice="Use a path, and file permissions: an abstract name has none.",
    symptoms=[
        "Unix socket whose name begins with @ or a NUL: fails on macOS and BSD",
        "two containers share an abstract socket: network namespace",
    ],
    reference="unix(7) Linux: Abstract sockets",
    documented={"linux": True},
    light=True,
)
def abstract_unix() -> Any:
    """Does the system have abstract Unix sockets?"""
    name = b"\0probes-" + os.urandom(8).hex().encode()
    with contextlib.ExitStack() as both:
        listening, client = (
            both.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(2)
        )
        try:
            _bind_unix(listening, name)
            listening.listen(1)
            client.connect(listening.getsockname())
        except OSError as error:
            return Sample(False, libc.name_error(error, "bind"))
        return True
