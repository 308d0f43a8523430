"""Sockets before a client comes: families, binding, backlog."""

from __future__ import annotations

import socket

from ..fact import CONFIGURED
from ..probe import probe


@probe(
    matters="A daemon that binds [::] and counts on IPv4 clients gets none.",
    advice="Set IPV6_V6ONLY on every AF_INET6 socket before bind, to the value you mean.",
    reference="RFC 3493 5.3; ipv6(7) Linux; inet6(4) FreeBSD",
    documented={"linux": False, "freebsd": True, "netbsd": True, "openbsd": True},
    scope=CONFIGURED,
)
def v6only_default() -> bool:
    """Does a fresh AF_INET6 socket accept IPv6 alone?"""
    with socket.socket(socket.AF_INET6) as fresh:
        return bool(fresh.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
