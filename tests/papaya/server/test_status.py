"""The status socket: the counters, and a second papaya on the same log."""

from __future__ import annotations

import json
import os
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
    already = f"already running as process {server.process.pid}; stop it or change --log"
    with pytest.raises(RuntimeError, match=already):
        serve()
    other = str(tmp_path / "other.log")
    taken = f"127.0.0.1:{server.address[1]}"
    with pytest.raises(RuntimeError, match="Address already in use; stop the other program"):
        serve("--log", other, "--listen", taken)
