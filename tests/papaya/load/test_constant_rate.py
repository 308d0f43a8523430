"""The load offers what it says, counts what was taken, and tells on a server that fails."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from papaya import engines, key
from papaya.key import LENGTH
from papaya.load import constant_rate
from papaya.load.chat import Load, format_address
from papaya.load.constant_rate import Offered, drive
from papaya.selftest import run_server
from probes.errors import CommandError
from tests.papaya.conftest import until
from tests.worlds import ROOT, needs_linux

SLOW = Offered(4, rate=400, size=256, seconds=1.0, warmup=0.2)


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """Run a server in threads of this process: each connection is passed to ``serve``."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                kept.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for client in kept:
                client.close()


def drain(client: socket.socket) -> None:
    """Read and discard."""
    while client.recv(1 << 16):
        pass


def hang_up(client: socket.socket) -> None:
    """Lets go of a client that has said something."""
    client.recv(1)
    client.close()


@contextmanager
def sink() -> Iterator[tuple[str, int]]:
    """One in a process of its own, an event loop."""
    with sink_process() as (_, address):
        yield address


@contextmanager
def sink_process() -> Iterator[tuple[int, tuple[str, int]]]:
    """Run a sink in a process, which writes what it reads to /dev/null; yield its id too."""
    script = ROOT / "papaya" / "experiment" / "subjects" / "coroutines.py"
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        try:
            yield process.pid, ("127.0.0.1", int(process.stderr.readline()))
        finally:
            process.kill()


def wait_for_reader(patch: pytest.MonkeyPatch) -> None:
    """Let a server read all that was sent before it is counted what it took.

    How much of that a busy machine has not read at the end of the load is the machine's affair.
    """
    look = constant_rate._Sink._unread

    def unread(self: constant_rate._Sink) -> int:
        until(lambda: not look(self))
        return look(self)

    patch.setattr(constant_rate._Sink, "_unread", unread)


def test_what_is_offered_is_sent_in_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_reader(monkeypatch)
    moments: list[float] = []
    before = time.monotonic()
    with sink() as address:
        outcome = drive(address, SLOW, key=None, started=moments.append, ended=moments.append)
    assert time.monotonic() - before >= SLOW.warmup + SLOW.seconds
    assert outcome.messages == 400
    assert outcome.bytes == 400 * 256
    assert outcome.achieved_mbps == pytest.approx(outcome.bytes * 8 / 1e6 / outcome.seconds)
    assert outcome.offered_mbps == pytest.approx(0.8192)
    assert outcome.stalls == 0
    assert moments[1] - moments[0] == pytest.approx(outcome.seconds, abs=0.001)
    assert outcome.deliveries is None


@needs_linux
def test_the_kernel_counts_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By proc(5), io: on loopback a busy machine has TCP send some of it twice."""
    wait_for_reader(monkeypatch)
    offered = Offered(20, 2000, 1000, 2.0, 0.5)
    with sink_process() as (pid, address):

        def written() -> int:
            told = Path(f"/proc/{pid}/io").read_text().split()
            return int(told[told.index("wchar:") + 1])

        before = written()
        seen: list[int] = []

        def look(at: float) -> None:
            seen.append(written() - before)

        def look_at_all(at: float) -> None:
            until(lambda: written() - before >= 5_000_000)
            look(at)

        outcome = drive(address, offered, key=None, started=look, ended=look_at_all)
    assert outcome.bytes == 4_000_000
    warmed, total = seen
    assert warmed <= 1_000_000
    assert total == 5_000_000


def test_a_server_that_takes_no_more_is_told_on() -> None:
    """It reads nothing: what was due waits here, and the rate is not called reached."""
    reading = threading.Event()

    def wait(client: socket.socket) -> None:
        reading.wait()

    with serving(wait) as address:
        outcome = drive(address, Offered(2, 4000, 8000, 1.0), key=None)
        # The kernel has room for all of it, and would hide that nobody reads.
        little = drive(address, SLOW, key=None)
        reading.set()
    assert little.achieved_mbps == 0
    assert little.refused
    assert outcome.stalls == 2
    assert outcome.achieved_mbps < 0.5 * outcome.offered_mbps
    # The load's own faults, on a busy machine, come before the server's.
    late = (outcome.late_ms or 0) / 1000
    assert outcome.refused == constant_rate._find_refusal(
        outcome.achieved_mbps / outcome.offered_mbps, outcome.load_cpu_percent, late
    )
    assert outcome.messages == 4000


@pytest.mark.parametrize(
    ("reached", "busy", "late", "told"),
    [
        (0.990, 90.0, 0.050, ""),
        (0.989, 90.0, 0.050, "98.9 % of the offered rate was reached; the server takes no more"),
        (0.5, 90.0, 0.051, "the load was the bottleneck: 51 ms behind its schedule (p99)"),
        (0.5, 90.6, 0.051, "the load was the bottleneck: it used 91 % of a core; offer less"),
    ],
)
def test_why_it_is_no_measurement(reached: float, busy: float, late: float, told: str) -> None:
    assert constant_rate._find_refusal(reached, busy, late) == told


def test_a_server_that_lets_go_is_told_on() -> None:
    with (
        serving(hang_up) as address,
        pytest.raises(CommandError, match=r"127\.0\.0\.1:\d+: the server let a connection go"),
    ):
        drive(address, SLOW, key=None)


def test_what_the_load_itself_cannot_do_is_no_measurement() -> None:
    with sink() as address:
        outcome = drive(address, Offered(8, 10_000_000, 64, 0.02), key=None)
    assert "the load was the bottleneck" in outcome.refused


@pytest.mark.parametrize("chat", [False, True])
def test_a_load_that_was_held_up_itself_is_no_measurement(chat: bool) -> None:
    def hold_up(at: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.3)

    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.5))
    try:
        with run_server("--engine", "pool") as server, sink() as address:
            outcome = drive(
                server.address if chat else address, Offered(4, 200, 64, 1.5),
                key=server.key if chat else None, started=hold_up,
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGALRM, before)
    assert "behind its schedule" in outcome.refused


def test_a_rate_of_few_messages_keeps_its_time() -> None:
    """Not each client has one to send in that time."""
    with run_server("--engine", "pool") as server:
        outcome = drive(server.address, Offered(20, 10, 64, 1.0), key=server.key)
    assert 2 <= outcome.messages <= 20
    assert outcome.seconds < 1.5 or outcome.refused


def test_a_thousand_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_reader(monkeypatch)
    with sink() as address:
        outcome = drive(address, Offered(1000, 2000, 64, 1.0, 0.2), key=None)
    assert outcome.messages == 2000
    assert outcome.bytes == 2000 * 64


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    said = f"127.0.0.1:{address[1]}: connection 1: Connection refused; is the server running"
    for secret in (None, b"k" * LENGTH):
        with pytest.raises(CommandError, match=said) as refused:
            drive(address, SLOW, key=secret)
        assert refused.value.status == 3


def test_a_host_of_no_name_is_named() -> None:
    said = r"no-such-host\.invalid:7722: connection 1: .*; is the server running"
    for secret in (None, b"k" * LENGTH):
        with pytest.raises(CommandError, match=said):
            drive(("no-such-host.invalid", 7722), SLOW, key=secret)


def test_an_address_is_named_as_it_is_typed() -> None:
    assert format_address(("localhost", 7722)) == "localhost:7722"
    assert format_address(("::1", 7722)) == "[::1]:7722"


@pytest.mark.parametrize("engine", engines.list_engines())
def test_a_chat_loses_nothing(engine: str) -> None:
    with run_server("--engine", engine) as server:
        outcome = drive(server.address, Offered(8, 100, 64, 1.0, 0.2), key=server.key)
    assert outcome.deliveries == outcome.messages * 8
    assert (outcome.lost, outcome.duplicated, outcome.disordered) == (0, 0, 0)
    latencies = (outcome.p50_ms, outcome.p99_ms, outcome.p999_ms, outcome.max_ms)
    assert None not in latencies
    assert list(latencies) == sorted(latencies)  # type: ignore[type-var]


class Faulty:
    """A chat of two clients that does one thing wrong with one of the counted lines."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.lock = threading.Lock()
        self.clients: list[socket.socket] = []
        self.held = b""
        self.counted = 0

    def serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as lines:
            lines.read(128)
            with self.lock:
                self.clients.append(client)
            for line in lines:
                with self.lock:
                    self.send(b"2026-01-01T00:00:00Z " + line)

    def send(self, line: bytes) -> None:
        first, *others = self.clients
        self.counted += b": hello" not in line
        for other in others:
            other.sendall(line)
        if self.counted != 5 or b": hello" in line:
            first.sendall(line + self.held)
            self.held = b""
        elif self.fault == "twice":
            first.sendall(line + line)
        elif self.fault == "order":
            self.held = line


@pytest.mark.parametrize(
    ("fault", "told"),
    [("lost", (1, 0, 1)), ("twice", (0, 1, 1)), ("order", (0, 0, 1))],
)
def test_a_chat_that_fails_is_told_on(
    fault: str, told: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Load, "exchange", _impatient(Load.exchange))
    faulty = Faulty(fault)
    with serving(faulty.serve) as address:
        outcome = drive(address, Offered(2, 50, 64, 0.4), key=secrets.token_hex(64).encode())
    assert (outcome.lost, outcome.duplicated, outcome.disordered) == told


def _impatient(exchange: Callable[..., object]) -> Callable[..., object]:
    """With a second for what never comes, not a minute."""
    return lambda *a, **k: exchange(*a, **{"timeout": 1.0, **k})


def load(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "papaya", "load", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command(tmp_path: Path) -> None:
    with sink() as (host, port):
        done = load(f"{host}:{port}", "--sink", "--connections", "2", "--mbps", "0.1",
                    "--seconds", "1", "--warmup", "0", "--json")  # fmt: skip
        assert done.stdout, done
        told = json.loads(done.stdout)
        assert told["server"] == f"{host}:{port}"
        assert told["offered_mbps"] == pytest.approx(0.2)
        # On a busy machine it may not be a measurement, and then says so.
        assert done.returncode == (1 if told["refused"] else 0), done.stderr
        assert told["refused"] in done.stderr
        done = load(f"{host}:{port}", "--sink", "--with", "tcpkali", PATH=str(tmp_path))
        assert (done.returncode, done.stderr) == (
            2, "papaya: tcpkali: not found on PATH; install it or omit --with\n"
        )  # fmt: skip
        for wrong in (["--rate", "-1"], ["--rate", "1", "--mbps", "1"], ["--size", "8"]):
            done = load(f"{host}:{port}", "--sink", *wrong)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    with run_server() as server:
        host, port = server.address
        done = load(f"{host}:{port}", "--key", server.key_path, "--connections", "3",
                    "--seconds", "0.5", "--warmup", "0")  # fmt: skip
        assert done.returncode == ("no measurement" in done.stderr), done.stderr
        assert "lost              0" in done.stdout
        assert f"server            {host}:{port}\n" in done.stdout
        done = load(f"{host}:{port}", "--key", wrong_key(tmp_path), "--connections", "1")
        assert (done.returncode, done.stderr) == (
            1, f"papaya: {host}:{port}: a client was refused, or its line did not come back; "
            "is this the server's key?\n",
        )  # fmt: skip


def wrong_key(folder: Path) -> str:
    path = folder / "wrong.key"
    key.create(str(path))
    return str(path)


TCPKALI = """\
#!/bin/sh
echo "$@" >"$SAID"
echo 'Aggregate bandwidth: 0.001\u2193, 63.912\u2191 Mbps'
"""


def test_another_program_offers_it(tmp_path: Path) -> None:
    """What it is told, and what it says, in its own form; it is not to be had here."""
    program = tmp_path / "tcpkali"
    program.write_text(TCPKALI)
    program.chmod(0o755)
    with tempfile.NamedTemporaryFile("r") as said:
        done = load("127.0.0.1:9", "--sink", "--with", "tcpkali", "--mbps", "1", "--json",
                    PATH=f"{tmp_path}:{os.environ['PATH']}", SAID=said.name)  # fmt: skip
        assert done.returncode == 0, done.stderr
        less = load("127.0.0.1:9", "--sink", "--with", "tcpkali", "--mbps", "2",
                    PATH=f"{tmp_path}:{os.environ['PATH']}", SAID=os.devnull)  # fmt: skip
        assert (less.returncode, less.stderr) == (
            1, "papaya: 127.0.0.1:9: no measurement: 49.9 % of the offered rate was reached\n"
        )  # fmt: skip
        assert json.loads(done.stdout) == {
            "server": "127.0.0.1:9", "offered_mbps": 64.0, "achieved_mbps": 63.912,
        }  # fmt: skip
        words = said.read().split()
    assert words[words.index("--connections") + 1] == "64"
    assert float(words[words.index("--message-rate") + 1]) == pytest.approx(122.07, abs=0.01)
    assert words[-1] == "127.0.0.1:9"


def test_a_stall_does_not_move_the_schedule() -> None:
    """The intended times are in the messages: they stand, whatever the server did meanwhile."""
    got = bytearray()
    go_on = threading.Event()

    def late(client: socket.socket) -> None:
        got.extend(client.recv(1))
        go_on.wait()
        while data := client.recv(1 << 16):
            got.extend(data)

    with serving(late) as address:
        timer = threading.Timer(0.3, go_on.set)
        timer.start()
        drive(address, Offered(1, 100, 100_000, 0.5), key=None)
        until = time.monotonic() + 10
        while len(got) < 50 * 100_000 and time.monotonic() < until:
            time.sleep(0.01)
        timer.join()
    size = 100_000
    dues = [
        constant_rate._HEADER.unpack_from(got, at)[2] for at in range(0, len(got) - size + 1, size)
    ]
    assert len(dues) >= 40
    assert {round(b - a, 6) for a, b in itertools.pairwise(dues)} == {0.01}
