"""A client that floods, with every engine: it is read at its rate, loses nothing, and is told."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from papaya.server.status import read_counters
from tests.papaya.conftest import Serve, check_streams, every_engine, load_for, until

RATE, BURST, KIB = 100, 100, 600


@every_engine
@pytest.mark.parametrize("size", [64, 4096])
def test_a_flood_is_read_at_the_rate_and_is_told_once(engine: str, size: int, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-rate", str(RATE), "--burst", str(BURST))
    line = b"flood: ".ljust(size - 1, b"x") + b"\n"
    # As many lines or KiB as take 5 s, less what one read may return too early.
    count = KIB if size < 1024 else KIB * 1024 // size
    with load_for(server) as load, ThreadPoolExecutor(1) as pool:
        flood, other = load.join(2)
        flood.socket.setblocking(True)
        began = time.monotonic()
        sent = pool.submit(flood.socket.sendall, line * count)
        load.say(other, b"other: now\n")
        until(lambda: b"other: now" in b"".join(other.chunks), load)
        during = server.read_log().count(b" flood: ")
        until(lambda: server.read_log().count(b" flood: ") == count, load)
        seconds = time.monotonic() - began
        sent.result()
        if size > 1024:
            assert during < count
            assert seconds > (KIB - BURST - 64) / RATE
        else:  # One read returned all, and the next one waits.
            load.say(flood, b"flood: later\n")
            until(lambda: b"flood: later" in server.read_log(), load)
            assert time.monotonic() - began > (KIB - BURST) / RATE
        flood.socket.setblocking(False)
        check_streams(load, server.read_log)
        assert b"".join(flood.chunks).count(b"* slow down: 100 lines a second are read") == 1
        assert b"* slow" not in b"".join(other.chunks)


@every_engine
def test_a_flooder_that_leaves_leaves_its_place(engine: str, serve: Serve) -> None:
    """Also during its pause, which lasts for more than an hour here."""
    options = ("--max-rate", "1", "--burst", "1000")
    server = serve("--engine", engine, *options)
    with load_for(server) as load:
        flood, other = load.join(2)
        flood.socket.setblocking(True)
        flood.socket.sendall(b"f: x\n" * 9000)
        until(lambda: b"* slow down" in b"".join(flood.chunks), load)
        load.leave(flood)

        def has_left() -> bool:
            # One line makes the peer reset the connection, and the next one finds that.
            load.say(other, b"other: here\n")
            return read_counters(server.log_path + ".status")["clients"] == 1

        until(has_left, load)
