"""What does a delivery cost?  Prints figures; asserts nothing.

    python3 tests/benchmarks/chat.py [--seconds N] [--clients N]

Every engine of papaya and a bare asyncio broadcast server under the same load one
after the other: each client sends lines of 64 bytes, 100 a second in all.  CPU is
that of every process of the server, as the scheduler has counted it
(/proc/PID/schedstat, Linux); PSS likewise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from papaya import engines  # noqa: E402
from papaya.key import LENGTH  # noqa: E402
from papaya.load import Load  # noqa: E402
from papaya.selftest import served  # noqa: E402


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = Path("/proc", name, "stat").read_text()
            parents.setdefault(int(stat.rpartition(") ")[2].split()[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """On the processor so far, by the scheduler's own count."""
    return sum(int(Path(f"/proc/{p}/schedstat").read_text().split()[0]) for p in pids) / 1e9


def pss_kib(pids: list[int]) -> int:
    """Memory, what is shared divided among those who share it."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def measure(
    name: str, address: tuple[str, int], key: bytes, pid: int, options: argparse.Namespace
) -> None:
    """Print a row."""
    with Load(address, key) as load:
        alone = pss_kib(processes(pid))
        started = time.monotonic()
        load.join(1)
        first = time.monotonic() - started
        load.join(options.clients - 1)
        load.exchange(2)
        below = processes(pid)
        before = cpu_seconds(below)
        result = load.exchange(options.seconds * 100 // options.clients, rate=100.0)
        used = cpu_seconds(below) - before
        memory = (pss_kib(below) - alone) / options.clients
    print(
        f"{name:22} {1e6 * used / max(1, result.delivered):8.1f} {result.p50 or 0:8.2f}"
        f" {result.p99 or 0:8.2f} {memory:10.0f} {1000 * first:9.1f} {len(below):6}"
        f" {result.lost:6} {'yes' if result.same_order else 'NO':>6}"
    )


# Peers ------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare_asyncio() -> Iterator[tuple[tuple[str, int], int]]:
    """The least an asyncio server can do: every line to everybody.  No log, no limits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pid = os.fork()
        if not pid:
            try:
                asyncio.run(_broadcast(listening))
            finally:
                os._exit(0)
        try:
            yield listening.getsockname(), pid
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


async def _broadcast(listening: socket.socket) -> None:
    everybody: set[asyncio.Transport] = set()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.begun, self.key = transport, b"", LENGTH
            everybody.add(transport)

        def connection_lost(self, error: Exception | None) -> None:
            everybody.discard(self.transport)

        def data_received(self, data: bytes) -> None:
            skipped = data[: self.key]
            self.key -= len(skipped)
            *lines, self.begun = (self.begun + data[len(skipped) :]).split(b"\n")
            if lines:
                stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()).encode()
                text = b"".join(stamp + line + b"\n" for line in lines)
                for client in everybody:
                    client.write(text)

    server = await asyncio.get_running_loop().create_server(Client, sock=listening)
    await server.serve_forever()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="what does a delivery cost?")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    print(
        f"{options.clients} clients, 100 messages of 64 bytes a second in all, {options.seconds} s"
    )
    print(
        f"{'':22} {'us/deliv':>8} {'p50 ms':>8} {'p99 ms':>8} {'KiB/client':>10}"
        f" {'join ms':>9} {'procs':>6} {'lost':>6} {'order':>6}"
    )
    for name in engines.names():
        with served("--engine", name) as server:
            measure(f"papaya {name}", server.address, server.key, server.process.pid, options)
    with bare_asyncio() as (address, pid):
        measure("bare asyncio", address, secrets.token_hex(64).encode(), pid, options)


if __name__ == "__main__":
    main()
