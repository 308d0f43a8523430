"""The status socket: the counters, and a second papaya on the same log."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from papaya.server.status import read_counters
from probes.errors import CommandError
from tests.papaya.conftest import (
    Serve,
    every_engine,
    load_for,
    until,
)
from tests.worlds import needs_linux


@every_engine
def test_status_and_usr2_tell_the_counters(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    path = server.log_path + ".status"
    assert os.stat(path).st_mode & 0o777 == 0o600
    with load_for(server) as load:
        load.join(3)
        load.exchange(2)
        done = subprocess.run(
            [sys.executable, "-m", "papaya", "status", path],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        counters = json.loads(done.stdout)
        assert (counters["clients"], counters["lines"], counters["refused"]) == (3, 9, 0)
        assert counters["bytes"] == len(server.read_log())
        server.process.send_signal(signal.SIGUSR2)
        until(lambda: '"lines": 9' in server.read_errors())


@needs_linux
def test_one_that_is_just_starting_is_not_taken_for_dead(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "chat.log"
    with log.open("w") as held, socket.socket(socket.AF_UNIX) as starting:
        fcntl.flock(held, fcntl.LOCK_EX)
        starting.bind(f"{log}.status")  # And it is about to listen.
        server = serve(wait=False)
        waits = rf"-> FLOCK .* {server.process.pid} "
        until(lambda: re.search(waits, Path("/proc/locks").read_text()))
        starting.listen()
        fcntl.flock(held, fcntl.LOCK_UN)
        with pytest.raises(RuntimeError, match="another papaya is running with this log"):
            server.wait_until_listening()


def test_a_status_that_nothing_is_said_of(tmp_path: Path) -> None:
    path = tmp_path / "status"
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(1) as pool:
        listening.bind(str(path))
        listening.listen()
        pool.submit(lambda: listening.accept()[0].close())
        with pytest.raises(CommandError, match=f"^{path}: papaya closed the connection"):
            read_counters(str(path))


def test_a_second_one_on_the_same_log_or_port_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with pytest.raises(RuntimeError, match="another papaya is running with this log"):
        serve()
    other = str(tmp_path / "other.log")
    taken = f"127.0.0.1:{server.address[1]}"
    with pytest.raises(RuntimeError, match="Address already in use; stop the other program"):
        serve("--log", other, "--listen", taken)
