"""What does a delivery cost?  Prints figures; asserts nothing.

    python3 tests/benchmarks/chat.py [--seconds N] [--clients N] [--rate N]

Every engine of papaya, ngircd (where it is installed) and a bare asyncio broadcast
server under the same load one after the other: each client sends lines of 64 bytes,
100 a second in all if no other rate is given.  ngircd does not send a line back to who
said it, and keeps none.  ngircd and plain asyncio servers leave Nagle's algorithm on,
which saves packets and makes some lines wait for 40 ms (p99); papaya sets TCP_NODELAY,
and is to be compared with the asyncio server that does.
CPU is that of every process of the server, as the scheduler has counted it
(/proc/PID/schedstat, Linux); PSS likewise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from papaya import engines  # noqa: E402
from papaya.key import LENGTH  # noqa: E402
from papaya.load.chat import Load  # noqa: E402
from papaya.selftest import run_server  # noqa: E402


def processes(pid: int) -> list[int]:
    """Return the process and all its descendants."""
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
        each = max(1, options.seconds * options.rate // options.clients)
        result = load.exchange(each, rate=float(options.rate))
        used = cpu_seconds(below) - before
        memory = (pss_kib(below) - alone) / options.clients
    row(
        name, 1e6 * used / max(1, result.delivered), result.p50 or 0, result.p99 or 0, memory,
        1000 * first, len(below), result.lost, "yes" if result.same_order else "NO",
    )  # fmt: skip


def row(name: str, *figures: float | str) -> None:
    """Print one."""
    forms = ("8.1f", "8.2f", "8.2f", "10.0f", "9.1f", "6", "6", ">6")
    cells = [f"{figure:{form}}" for figure, form in zip(figures, forms, strict=True)]
    print(f"{name:22} {' '.join(cells)}", flush=True)


@contextlib.contextmanager
def bare_asyncio(nodelay: bool) -> Iterator[tuple[tuple[str, int], int]]:
    """Run a minimal asyncio server: each line to every client, without log or limits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pid = os.fork()
        if not pid:
            try:
                asyncio.run(_broadcast(listening, nodelay))
            finally:
                os._exit(0)
        try:
            yield listening.getsockname(), pid
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


async def _broadcast(listening: socket.socket, nodelay: bool) -> None:
    everybody: set[asyncio.Transport] = set()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.begun, self.key = transport, b"", LENGTH
            everybody.add(transport)
            if nodelay:  # asyncio sets it for sockets with a protocol number; these have none.
                connected = transport.get_extra_info("socket")
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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


@contextlib.contextmanager
def ngircd(program: str) -> Iterator[tuple[tuple[str, int], int]]:
    """Run an IRC server in C, one process, without flood penalty or limit on connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(
            "[Global]\nName = irc.example.net\nInfo = benchmark\nListen = 127.0.0.1\n"
            f"Ports = {port}\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\n"
            "MaxPenaltyTime = 0\n[Options]\nDNS = no\nIdent = no\nPAM = no\n"
        )
        file.flush()
        server = subprocess.Popen(
            [program, "--nodaemon", "--config", file.name], stdout=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if server.poll() is not None or time.monotonic() > until:
                        raise
                    time.sleep(0.01)
            yield ("127.0.0.1", port), server.pid
        finally:
            server.terminate()
            server.wait()


def _joined(address: tuple[str, int], number: int) -> socket.socket:
    """Connect a client that is in the channel."""
    made = socket.create_connection(address)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(b"NICK c%d\r\nUSER c 0 * :c\r\nJOIN #c\r\n" % number)
    came = b""
    while b" 366 " not in came:
        came += made.recv(65536)
    made.setblocking(False)
    return made


def measure_irc(address: tuple[str, int], pid: int, options: argparse.Namespace) -> None:
    """Print ngircd's row; each line says when it was due."""
    alone = pss_kib(processes(pid))
    started = time.monotonic()
    clients = [_joined(address, 0)]
    first = time.monotonic() - started
    clients += [_joined(address, n) for n in range(1, options.clients)]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client, selectors.EVENT_READ, bytearray())
    below = processes(pid)
    before = cpu_seconds(below)
    late: list[float] = []
    orders: dict[object, list[bytes]] = {}

    def take(seconds: float) -> None:
        for key, _ in selector.select(max(0.0, seconds)):
            key.data.extend(key.fileobj.recv(1 << 18))  # type: ignore[union-attr]
            now = time.monotonic()
            *lines, rest = bytes(key.data).split(b"\r\n")
            key.data[:] = rest
            for line in lines:
                if b" PRIVMSG #c :" in line:
                    text = line.partition(b" PRIVMSG #c :")[2]
                    late.append(now - float(text.split()[0]))
                    orders.setdefault(key.fd, []).append(text)

    sent = options.seconds * options.rate
    start = time.monotonic()
    for number in range(sent):
        due = start + number / options.rate
        while (left := due - time.monotonic()) > 0:
            take(left)
        text = (b"%.6f " % due).ljust(62, b"x")
        clients[number % len(clients)].sendall(b"PRIVMSG #c :" + text + b"\r\n")
    owed = sent * (len(clients) - 1)
    until = time.monotonic() + 10
    while len(late) < owed and time.monotonic() < until:
        take(until - time.monotonic())
    used = cpu_seconds(below) - before
    memory = (pss_kib(below) - alone) / len(clients)
    late.sort()
    everything = sorted({text for said in orders.values() for text in said})
    same = all(said == [t for t in everything if t in set(said)] for said in orders.values())
    row(
        "ngircd", 1e6 * used / max(1, len(late)), 1000 * late[len(late) // 2],
        1000 * late[int(0.99 * len(late))], memory, 1000 * first, len(below), owed - len(late),
        "yes" if same else "NO",
    )  # fmt: skip
    for client in clients:
        client.close()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="what does a delivery cost?")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=100, help="messages a second in all")
    options = parser.parse_args()
    print(
        f"{options.clients} clients, {options.rate} messages of 64 bytes a second in all, "
        f"{options.seconds} s"
    )
    print(
        f"{'':22} {'us/deliv':>8} {'p50 ms':>8} {'p99 ms':>8} {'KiB/client':>10}"
        f" {'join ms':>9} {'procs':>6} {'lost':>6} {'order':>6}"
    )
    for name in engines.list_engines():
        with run_server("--engine", name) as server:
            measure(f"papaya {name}", server.address, server.key, server.process.pid, options)
    program = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program:
        with ngircd(program) as (address, pid):
            measure_irc(address, pid, options)
    else:
        print("ngircd                 not installed here")
    for name, nodelay in (("bare asyncio", False), ("bare asyncio, NODELAY", True)):
        with bare_asyncio(nodelay) as (address, pid):
            measure(name, address, secrets.token_hex(64).encode(), pid, options)


if __name__ == "__main__":
    main()
