"""What does one flooding client cost another?  Prints figures; asserts nothing.

    python3 tests/benchmarks/flood.py [--seconds N] [--clients N] [--bytes N]

For every engine, without a limit and with the default one: one client sends lines as fast as the
server takes them, another sends a line ten times a second, and all are sent everything.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from papaya import engines  # noqa: E402
from papaya.config import Config  # noqa: E402
from papaya.load.chat import Load  # noqa: E402
from papaya.selftest import Server, run_server  # noqa: E402


def start_flood(server: Server, size: int, seconds: float) -> int:
    """Fork a client that sends lines and reads for that time; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    line = b"flood: ".ljust(size - 1, b"x") + b"\n"
    end = time.monotonic() + seconds
    with socket.create_connection(server.address) as client:
        client.sendall(server.key)
        client.setblocking(False)
        poller = select.poll()
        poller.register(client, select.POLLIN | select.POLLOUT)
        unsent = b""
        while (left := end - time.monotonic()) > 0:
            unsent = unsent or line * max(1, (1 << 16) // size)
            for _, events in poller.poll(1000 * left):
                if events & select.POLLIN:
                    client.recv(1 << 20)
                if events & select.POLLOUT:
                    unsent = unsent[client.send(unsent) :]
    os._exit(0)


def measure(engine: str, rate: int, options: argparse.Namespace) -> None:
    """Print a row."""
    with (
        run_server("--engine", engine, "--max-rate", str(rate)) as server,
        Load(server.address, server.key) as load,
    ):
        talker, *_ = load.join(options.clients)
        load.exchange(2)
        flooding = start_flood(server, options.bytes, options.seconds)
        before, began = os.path.getsize(server.log_path), time.monotonic()
        result = load.exchange(round(10 * options.seconds), rate=10.0, senders=[talker])
        seconds = time.monotonic() - began
        written = (os.path.getsize(server.log_path) - before) / 1e6 / seconds
        os.waitpid(flooding, 0)
    print(
        f"{engine:12}{rate:9}{result.p50 or 0:10.1f}{result.p99 or 0:10.1f}{result.lost:8}"
        f"{written:12.2f}",
        flush=True,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=8, help="beside the flooding one")
    parser.add_argument("--bytes", type=int, default=4096, help="length of the flood's lines")
    options = parser.parse_args()
    print("engine       max_rate    p50 ms    p99 ms    lost    log MB/s")
    for engine in engines.list_engines():
        for rate in (0, Config.max_rate):
            measure(engine, rate, options)


if __name__ == "__main__":
    main()
