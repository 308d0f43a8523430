"""Test the near end of a guest's channel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.providers import _relay

BYTES = bytes(range(256)) * 128


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a listening socket in a folder whose path is too long for a socket's address."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(_relay.SOCKET)
        listener.listen()
        yield listener


@pytest.fixture
def relay(guest: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, _relay.__file__, os.getcwd(), "-u", "-c", "pass"],
        cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_all_bytes_pass_both_ways(guest: socket.socket, relay: subprocess.Popen[bytes]) -> None:
    channel, _ = guest.accept()
    with channel, channel.makefile("rb") as received:
        assert relay.stdin
        assert relay.stdout
        relay.stdin.write(BYTES)
        relay.stdin.flush()
        assert received.read(len(BYTES)) == BYTES
        channel.sendall(BYTES)
        assert relay.stdout.read(len(BYTES)) == BYTES


def test_it_ends_with_the_guest(guest: socket.socket, relay: subprocess.Popen[bytes]) -> None:
    channel, _ = guest.accept()
    channel.close()
    assert relay.wait(20) == 0


def test_after_the_near_end_it_waits_for_the_far_end(
    guest: socket.socket, relay: subprocess.Popen[bytes]
) -> None:
    channel, _ = guest.accept()
    with channel:
        assert relay.stdin
        assert relay.stdout
        relay.stdin.close()
        assert channel.recv(1) == b""
        # The far end may be cleaning up.
        channel.sendall(b"last words")
        assert relay.stdout.read(10) == b"last words"
        assert relay.poll() is None
    assert relay.wait(20) == 0
