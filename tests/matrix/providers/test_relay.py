"""Test the near end of a guest's channel."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.providers import _relay
from tests.worlds import needs_linux

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
def line() -> Iterator[tuple[subprocess.Popen[bytes], int, int, int]]:
    """Return a relay to serial lines, and the guest's ends of its pipes."""
    (reading, into), (source, writing), (taken, confirming) = os.pipe(), os.pipe(), os.pipe()
    pipes = [f"/proc/{os.getpid()}/fd/{pipe}" for pipe in (into, source, taken)]
    with subprocess.Popen(
        [sys.executable, _relay.__file__, *pipes, "-u", "-c", "pass"],
        cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        # It has opened its ends when the first byte arrives.
        os.write(writing, b".")
        assert process.stdout.read(1) == b"."
        for pipe in (into, source, taken):
            os.close(pipe)
        yield process, reading, writing, confirming
        process.kill()
    for pipe in (reading, writing, confirming):
        with contextlib.suppress(OSError):
            os.close(pipe)


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


@needs_linux
def test_a_line_gets_no_more_than_its_guest_can_take(
    line: tuple[subprocess.Popen[bytes], int, int, int],
) -> None:
    relay, reading, writing, confirming = line
    assert relay.stdin
    assert relay.stdout
    relay.stdin.write(BYTES)
    relay.stdin.close()
    received = b""
    while data := os.read(reading, 1 << 16):
        received += data
        assert len(data) <= _relay.WINDOW
        # Without confirmation nothing more comes.
        assert not select.select([reading], [], [], 0)[0]
        os.write(confirming, bytes(len(data)))
    assert received == BYTES
    os.write(writing, BYTES[:1000])
    assert relay.stdout.read(1000) == BYTES[:1000]
    os.close(writing)
    assert relay.wait(20) == 0


@needs_linux
def test_a_line_of_a_guest_that_is_gone(
    line: tuple[subprocess.Popen[bytes], int, int, int],
) -> None:
    relay, *guests = line
    for pipe in guests:
        os.close(pipe)
    assert relay.stdin
    with contextlib.suppress(BrokenPipeError):
        relay.stdin.write(BYTES)
    assert relay.wait(20) == 0
    assert relay.stderr
    assert relay.stderr.read() == b""
