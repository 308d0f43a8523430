"""Whether a server can be reached, found out without a network of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from matrix import network


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    network.explain_unreachable.cache_clear()
    yield
    network.explain_unreachable.cache_clear()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_listens(port: int) -> None:
    assert network.explain_unreachable(f"http://127.0.0.1:{port}/debian") == ""


def test_a_server_that_does_not() -> None:
    said = network.explain_unreachable("http://127.0.0.1:1/")
    assert said == "127.0.0.1 cannot be reached (Connection refused)"


def test_the_proxy_is_asked_in_its_place(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    assert network.explain_unreachable("http://no-such-host.invalid/") == ""
    network.explain_unreachable.cache_clear()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "Connection refused" in network.explain_unreachable("http://127.0.0.1:1/")


def test_what_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a name server that drops what it is asked."""
    over = threading.Event()

    def connect(*arguments: object, **options: object) -> socket.socket:
        over.wait()
        raise OSError("over")

    monkeypatch.setattr(network, "_SECONDS", 0.01)
    monkeypatch.setattr(socket, "create_connection", connect)
    try:
        assert "no answer within" in network.explain_unreachable("http://10.0.0.1/")
    finally:
        over.set()


@pytest.mark.parametrize("url", ["http://host:port/", "http://[::1/debian"])
def test_what_is_no_address(url: str) -> None:
    assert network.explain_unreachable(url).startswith(f"{url} is not an address (")


@pytest.mark.parametrize("url", ["file:///srv/debian", "cdrom:/", "/srv/debian"])
def test_what_needs_no_network(url: str) -> None:
    assert network.explain_unreachable(url) == ""
