"""The options of an accepted socket."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from papaya.server.listener import set_socket_options


@pytest.mark.parametrize("blocking", [False, True])
def test_everything_is_set_on_an_accepted_socket(blocking: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        accepted.set_inheritable(True)
        accepted.setblocking(not blocking)
        set_socket_options(accepted, blocking, 2.5)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not accepted.get_inheritable()
        assert os.get_blocking(accepted.fileno()) == blocking
        if blocking:
            limit = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)
            assert struct.unpack("ll", limit) == (2, 500_000)
