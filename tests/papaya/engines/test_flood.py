"""Floods, with every engine: a client is read at its rate, and told; the log has a size limit."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


@every_engine
@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_a_log_at_its_limit_refuses_lines_until_it_is_rotated(
    how: str, engine: str, serve: Serve
) -> None:
    server = serve("--engine", engine, "--max-log", "20000", "--history", "0")
    log = Path(server.log_path)
    with load_for(server) as load:
        first, other = load.join(2)
        for _ in range(2):

            def is_full() -> bool:
                load.say(first, b"first: ".ljust(500, b"x") + b"\n")
                return b"* a line was refused: the log has reached its limit of 20000" in b"".join(
                    first.chunks
                )

            until(is_full, load)
            # This notice comes after those of all lines before it.
            load.say(first, b"first: ".ljust(5000, b"y") + b"\n")
            until(lambda: b"longer than 4096 bytes" in b"".join(first.chunks), load)
            load.say(other, b"other: refused\n")
            until(lambda: b"* a line was refused" in b"".join(other.chunks), load)
            before = server.read_log()
            assert 20000 <= len(before) < 20000 + 65536
            assert before.endswith(b"x\n")
            assert b"other: refused" not in before
            for member in load.members:
                member.chunks.clear()
            if how == "rename":
                log.rename(log.with_suffix(".old"))
                server.process.send_signal(signal.SIGHUP)
                until(log.exists, load)
            else:
                os.truncate(log, 0)
            load.say(other, b"other: again\n")
            until(lambda: b"other: again" in server.read_log(), load)
    assert server.read_errors().count("lines are refused: ") == 4
