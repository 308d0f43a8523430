"""Listening sockets, their addresses, and the options of accepted ones."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import pytest

from papaya.server import listener
from papaya.server.listener import get_host_and_port, list_addresses, listen, set_socket_options
from probes.errors import CommandError
from tests.worlds import needs_linux

HOW = "a socket a family"


def test_everything_is_set_on_an_accepted_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        accepted.set_inheritable(True)
        accepted.setblocking(True)
        set_socket_options(accepted, 2.5)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        # A peer that is gone is found within about three minutes.
        idle = "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE"
        times = [
            accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in (idle, "TCP_KEEPINTVL", "TCP_KEEPCNT")
        ]
        assert times == [60, 20, 6]
        if sys.platform == "linux":
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 180_000
        assert not accepted.get_inheritable()
        assert not os.get_blocking(accepted.fileno())
        # Linux reports twice what was set, and lets it not grow any more (socket(7)).
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 1 << 19


@needs_linux
def test_a_client_may_read_nothing_as_long_as_the_configuration_says() -> None:
    with socket.socket() as accepted:
        set_socket_options(accepted, 86400)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 86_400_000


def resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Make every name stand for these hosts, as getaddrinfo() does: once a protocol."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in (*hosts, *hosts)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def bound(*addresses: str) -> list[str]:
    """Listen, close, and return what was said."""
    made = listen(addresses, HOW)
    said = list_addresses(made)
    for one in made:
        one.close()
    return said


@needs_linux
def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "::1", "127.0.0.2")
    said = bound("chat.example:0")
    port = said[0].rpartition(":")[2]
    assert said == [f"127.0.0.1:{port}", f"[::1]:{port}", f"127.0.0.2:{port}"]


@needs_linux
def test_another_port_if_one_of_the_addresses_has_it_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel picks a port that is free at the first address only."""
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    bind = listener._bind
    taken: list[socket.socket] = []

    def take(address: str, target: Any, v6only: bool = True) -> socket.socket:
        if len(taken) < 3 and target[1][0] == "127.0.0.2":
            taken.append(bind(address, target))
        return bind(address, target, v6only)

    monkeypatch.setattr(listener, "_bind", take)
    first, second = (one.rpartition(":")[2] for one in bound("chat.example:0"))
    assert first == second
    with pytest.raises(CommandError, match="Address already in use; stop the other program"):
        bound(list_addresses(taken)[0])
    for one in taken:
        one.close()


def test_where_ipv6_is_off_localhost_is_its_ipv4_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "::1", "127.0.0.1")
    monkeypatch.setattr(listener, "_has_ipv6_loopback", lambda: False)
    assert [one.rpartition(":")[0] for one in bound("localhost:0")] == ["127.0.0.1"]


def test_an_asterisk_means_every_address() -> None:
    said = bound("*:0")
    port = said[0].rpartition(":")[2]
    assert said == [f"0.0.0.0:{port}", f"[::]:{port}"]


def test_a_name_that_cannot_be_resolved_yet_is_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for error, status in ((socket.EAI_AGAIN, 3), (socket.EAI_NONAME, 2)):

        def fail(*_: Any, error: int = error, **__: Any) -> Any:
            raise socket.gaierror(error, "not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(CommandError, match=r"^chat\.example:1: not known$") as raised:
            listen(("chat.example:1",), HOW)
        assert raised.value.status == status


def test_an_address_says_its_zone() -> None:
    name = socket.if_indextoname(socket.if_nameindex()[0][0])
    index = socket.if_nametoindex(name)
    assert get_host_and_port(("fe80::1", 77, 0, index)) == (f"fe80::1%{name}", 77)
    assert get_host_and_port(("fe80::1", 77, 0, 0)) == ("fe80::1", 77)
    assert get_host_and_port(("::ffff:192.0.2.1", 77, 0, 0)) == ("192.0.2.1", 77)
    assert get_host_and_port(("192.0.2.1", 77)) == ("192.0.2.1", 77)


@needs_linux
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("[fe80::1]:0", "; a link-local address needs its interface, such as [fe80::1%eth0]:7722"),
        ("192.0.2.1:0", "; this machine does not have that address, or not yet: "
         "start papaya when the network is up"),
    ],
)  # fmt: skip
def test_what_an_address_lacks_is_said(address: str, said: str) -> None:
    with pytest.raises(CommandError) as raised:
        listen((address,), HOW)
    assert str(raised.value).startswith(f"cannot listen on {address}: ")
    assert str(raised.value).endswith(said)
    assert raised.value.status == 3


def test_the_address_of_a_name_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "192.0.2.1")
    with pytest.raises(CommandError, match=r"on chat\.example:0 \(192.0.2.1:\d+\): .*not yet"):
        listen(("chat.example:0",), HOW)
