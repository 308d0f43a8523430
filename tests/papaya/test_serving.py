"""The service as clients meet it, with every engine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papaya import engines, selftest
from papaya.key import LENGTH
from papaya.load.chat import Load
from papaya.selftest import Server
from papaya.server.status import read_counters
from papaya.settings import NAMES
from probes.errors import CommandError
from tests.papaya.conftest import Serve, check_streams, descendants, runs, settle, until
from tests.worlds import ROOT, needs_linux, needs_root, shim

ENGINES = engines.list_engines()
every_engine = pytest.mark.parametrize("engine", ENGINES)


def loaded(server: Server, address: tuple[str, int] | None = None) -> Load:
    return Load(address or server.address, server.key)


@every_engine
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_64_clients_that_all_talk_at_once(engine: str, host: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--listen", f"{host}:0")
    with loaded(server) as load:
        load.join(64)
        result = load.exchange(50)
        assert result.delivered == 204_800
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
def test_one_port_for_both_families(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--listen", ":0", "--listen", ":0")
    port = server.addresses[0][1]
    with loaded(server, ("127.0.0.1", port)) as load:
        load.join(2)
        load.address = ("::1", port)
        load.join(2)
        assert load.exchange(5).perfect


@every_engine
def test_one_that_stops_reading_delays_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--send-timeout", "3")
    with loaded(server) as load:
        deaf, *_ = load.join(64)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        load.stop_reading(deaf)
        result = load.exchange(40, size=4000)
        assert result.perfect, result
        check_streams(load, server.read_log)
        # And it does not stay for ever.
        until(lambda: "disconnected: read nothing for 3 s" in server.read_errors())
        load.exchange(1)
        assert read_counters(server.log_path + ".status")["clients"] == 63


@every_engine
def test_one_that_reads_slowly_gets_everything_and_delays_nobody(engine: str, serve: Serve) -> None:
    # It takes something again and again, and is no longer behind than that.
    server = serve("--engine", engine, "--send-timeout", "10")
    with loaded(server) as load:
        slow, *_ = load.join(4)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        load.stop_reading(slow)

        def read(sent: int) -> None:
            if sent % 4 == 0:
                with contextlib.suppress(BlockingIOError):
                    slow.chunks.append(slow.socket.recv(4096))

        result = load.exchange(400, size=4000, meanwhile=read)
        assert result.perfect, result
        log = server.read_log()
        got = b"".join(slow.chunks)
        behind = len(log) - len(got)
        assert behind > 1 << 20
        slow.socket.settimeout(20)
        while not got.endswith(log[-5000:]):
            data = slow.socket.recv(1 << 20)
            assert data
            got += data
        assert log.endswith(got)
        assert read_counters(server.log_path + ".status")["clients"] == 4


@every_engine
def test_clients_that_come_and_go(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load, loaded(server) as guests:
        load.join(16)

        def meanwhile(sent: int) -> None:
            if sent % 100 == 0:
                guests.join(2)
                for guest in guests.members[:-2]:
                    guests.leave(guest)

        result = load.exchange(60, meanwhile=meanwhile)
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
@pytest.mark.parametrize("size", [1, 4096])
def test_messages_of_the_least_and_the_most_bytes(engine: str, size: int, serve: Serve) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load:
        load.join(4)
        lines = [b"%c" % letter * size for letter in b"abcdefghij"]
        for member in load.members:
            for line in lines:
                load.say(member, line + b"\n")
        until(lambda: server.read_log().count(b"\n") == 44, load)
        settle(load, server.read_log)
        said = [line[21:] for line in server.read_log().splitlines() if b"hello" not in line]
        assert sorted(said) == sorted(4 * lines)
        check_streams(load, server.read_log)


@every_engine
def test_a_longer_line_is_refused_and_its_sender_told(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-line", "100")
    with loaded(server) as load:
        load.join(2)
        talker, other = load.members
        load.say(
            talker, b"x" * 100_000 + b"\nname: short\n" + b"y" * 101 + b"\n" + b"z" * 100 + b"\n"
        )
        until(lambda: b"z" * 100 + b"\n" in b"".join(talker.chunks), load)
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
        until(lambda: b"z" * 100 + b"\n" in b"".join(other.chunks), load)
        assert b"* " not in b"".join(other.chunks)
        assert [line[21:] for line in server.read_log().splitlines()][-2:] == [
            b"name: short",
            b"z" * 100,
        ]
        check_streams(load, server.read_log)


@pytest.mark.parametrize("engine", ["pool", "coroutines"])
def test_a_thousand_that_only_listen(engine: str, serve: Serve) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    server = serve("--engine", engine, "--max-clients", "1100")
    with loaded(server) as load:
        members = load.join(1000, timeout=90)
        result = load.exchange(5, senders=members[:2])
        assert result.delivered == 10_000
        assert result.perfect, result


@every_engine
def test_a_client_joins_with_the_last_lines(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--history", "3")
    with loaded(server) as load:
        (first,) = load.join(1)
        for number in range(5):
            load.say(first, b"a: %d\n" % number)
        until(lambda: len(first.lines()) == 6, load)
        (second,) = load.join(1)
        assert [line[21:] for line in second.lines()[:3]] == [b"a: 2", b"a: 3", b"a: 4"]


@every_engine
def test_garbage_hurts_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load:
        (witness,) = load.join(1)

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(max_size=6000), st.booleans())
        def garbage(data: bytes, abrupt: bool) -> None:
            with socket.create_connection(server.address) as client:
                client.sendall(server.key + data)
                if abrupt:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        garbage()
        load.exchange(1)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 1)
        load.exchange(1)
        check_streams(load, server.read_log)
        for line in server.read_log().decode().split("\n"):  # Strictly UTF-8.
            assert not [c for c in line if unicodedata.category(c) == "Cc" and c != "\t"]
        assert witness.closed is False


@every_engine
def test_a_key_in_many_parts_and_a_wrong_one(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "0")
    with socket.create_connection(server.address, timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(LENGTH):
            client.sendall(server.key[at : at + 1])
        client.sendall("\nann: grüezi\n".encode())
        assert client.recv(1000).endswith("ann: grüezi\n".encode())
    for wrong in (b"0" * LENGTH, server.key[:-1] + b"x", b"GET / HTTP/1.1\r\n" * 20):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(wrong + b"eve: hello\n")
            assert _ended(client)
    until(lambda: server.read_errors().count("refused 127.0.0.1 port") == 3)
    assert b"eve" not in server.read_log()


def _ended(client: socket.socket) -> bool:
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


@every_engine
def test_garbage_is_no_key(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "0", "--auth-timeout", "0.5")
    with loaded(server) as load:
        load.join(1)
        given = [b"\0" * LENGTH, os.urandom(4 * LENGTH), b"\n" * 70000, server.key[::-1], b"\xff"]
        for garbage in given:
            with socket.create_connection(server.address, timeout=20) as client:
                with contextlib.suppress(ConnectionError):  # It may have seen enough.
                    client.sendall(garbage)
                assert _ended(client)
        until(lambda: server.read_errors().count("refused 127.0.0.1 port") == len(given), load)
        assert load.exchange(2).perfect
        assert server.read_log().count(b"\n") == 1 + 2


@every_engine
def test_whoever_sends_no_key_is_let_go(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--auth-timeout", "0.5")
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(server.key[:-1])
        assert _ended(client)
    until(lambda: "no key in time" in server.read_errors())


@every_engine
def test_an_address_with_wrong_keys_waits_longer_each_time(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--backoff", "60")
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(b"0" * LENGTH)
        assert _ended(client)
    until(lambda: "wrong key" in server.read_errors())
    with socket.create_connection(server.address, timeout=20) as client:
        assert _ended(client)
    until(lambda: "wrong key before" in server.read_errors())


@every_engine
def test_500_connections_that_never_send_a_key(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--auth-timeout", "6", "--max-unauthenticated", "10:30:50")
    with loaded(server) as load:
        load.join(8)
        silent = [socket.create_connection(server.address, timeout=20) for _ in range(500)]
        result = load.exchange(20)
        assert result.perfect, result
        counters = read_counters(server.log_path + ".status")
        assert counters["waiting"] <= 50  # type: ignore[operator]
        assert counters["refused"] >= 300  # type: ignore[operator]
        if sys.platform == "linux":
            assert sum(map(len, descendants(server.process.pid).values())) <= 2 * 8 + 1 + 50
        for connection in silent:
            connection.settimeout(20)
            assert _ended(connection)
            connection.close()
        until(lambda: read_counters(server.log_path + ".status")["waiting"] == 0)
        load.join(1)
        check_streams(load, server.read_log)


@every_engine
def test_no_more_clients_than_allowed(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-clients", "3")
    with loaded(server) as load:
        load.join(3)
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(server.key)
            assert _ended(client)
        assert load.exchange(3).perfect
        assert read_counters(server.log_path + ".status")["clients"] == 3


@every_engine
def test_of_a_client_that_is_refused_nothing_is_kept(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-clients", "3")
    with loaded(server) as load, contextlib.ExitStack() as stack:
        late = [stack.enter_context(socket.create_connection(server.address)) for _ in range(4)]
        until(lambda: read_counters(server.log_path + ".status")["waiting"] == 4)
        *_, leaving = load.join(3)
        for connected in late[:3]:
            connected.settimeout(20)
            connected.sendall(server.key + b"eve: in the log?\n")
            assert _ended(connected)
        until(lambda: server.read_errors().count("too many clients") == 3)
        assert read_counters(server.log_path + ".status")["refused"] == 3
        assert b"eve" not in server.read_log()
        assert load.exchange(3).perfect
        # There is a place again for the last of them.
        load.leave(leaving)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 2)
        late[3].sendall(server.key + b"eve: now\n")
        until(lambda: b"eve: now" in server.read_log(), load)
        check_streams(load, server.read_log)


@every_engine
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_with_every_line(engine: str, signum: int, serve: Serve) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load:
        deaf, *_ = load.join(8)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        load.stop_reading(deaf)
        result = load.exchange(30, size=2000)
        assert result.perfect
        before = descendants(server.process.pid) if sys.platform == "linux" else {}
        started = time.monotonic()
        assert server.stop(signum) == 0
        assert time.monotonic() - started < 2
        assert server.read_log().count(b"\n") == 8 + 8 * 30 - 30
        assert not any(os.path.exists(f"/proc/{pid}") for pid in before)
        assert not os.path.exists(server.log_path + ".status")


@needs_linux
@every_engine
def test_killed_it_leaves_no_orphan_and_no_torn_line(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load:
        load.join(16)
        victims = [pid for pids in descendants(server.process.pid).values() for pid in pids]

        def kill(sent: int) -> None:
            if sent == 200:
                os.kill(server.process.pid, signal.SIGKILL)

        load.exchange(40, meanwhile=kill, timeout=10)
        server.stop(signal.SIGKILL)
        until(lambda: not any(runs(pid) for pid in victims))
        delivered = {line for member in load.members for line in member.lines()}
    with open(server.log_path, "ab") as log:
        log.write(b"2026-11-23T00:00:00Z torn")
    # SIGKILL may end a write of several lines between two pages, so one may be torn already.
    torn = server.read_log().rpartition(b"\n")[2]
    again = serve("--engine", engine)
    assert f"cut {len(torn)} bytes" in again.read_errors()
    lines = again.read_log().splitlines()
    assert again.read_log().endswith(b"\n")
    assert delivered <= set(lines)
    with loaded(again) as load:
        load.join(2)
        assert load.exchange(2).perfect


@needs_linux
@pytest.mark.parametrize("orphans", ["prctl", "pipe"])
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND"])
def test_a_child_that_is_killed_takes_one_client_along(
    which: str, orphans: str, serve: Serve
) -> None:
    server = serve("--set", f"orphans={orphans}")
    with loaded(server) as load:
        load.join(16)
        below = descendants(server.process.pid)
        receivers = [pid for pid in below[server.process.pid] if below[pid]]
        assert len(receivers) == 16
        receiver = random.choice(receivers)
        victim = receiver if which == "Child RECV" else below[receiver][0]

        def kill(sent: int) -> None:
            if sent == 100:
                os.kill(victim, signal.SIGKILL)

        load.exchange(30, meanwhile=kill, timeout=3)
        assert sum(member.closed for member in load.members) == 1
        # Of the others' lines none is missing from the log.
        others = [b"Z %s: " % member.name for member in load.members if not member.closed]
        until(lambda: all(server.read_log().count(name) == 1 + 30 for name in others), load)
        until(lambda: not runs(receiver) and not any(map(runs, below[receiver])))
        assert load.exchange(5).perfect
        check_streams(load, server.read_log)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 15)


@needs_linux
def test_a_worker_that_is_killed_is_replaced(serve: Serve) -> None:
    server = serve("--engine", "pool", "--workers", "2")
    with loaded(server) as load:
        load.join(8)
        keeper = os.getpgid(descendants(server.process.pid)[server.process.pid][0])
        workers = [p for p in descendants(server.process.pid)[server.process.pid] if p != keeper]
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: sum(member.closed for member in load.members) == 4, load)
        load.join(4)
        assert load.exchange(5).perfect
        assert "replacing it" in server.read_errors()


@needs_linux
def test_a_worker_that_cannot_be_replaced_yet(serve: Serve, tmp_path: Path) -> None:
    """For want of processes the others go on; as soon as there is one it is replaced."""
    world = shim(
        tmp_path,
        """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
pid_t fork(void) {
    pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
    if (access(getenv("NO_FORK"), F_OK)) return real();
    errno = EAGAIN;
    return -1;
}
""",
    )
    short = tmp_path / "short"
    before = ["env", f"NO_FORK={short}", *(f"{name}={value}" for name, value in world.items())]
    server = serve("--engine", "pool", "--workers", "2", before=before)
    with loaded(server) as load:
        load.join(4)
        below = descendants(server.process.pid)[server.process.pid]
        first, *_ = [pid for pid in below if os.getpgid(pid) != pid]
        short.touch()
        os.kill(first, signal.SIGKILL)
        until(lambda: "cannot start worker 0 yet: Resource temp" in server.read_errors(), load)
        assert "worker 0 ended (SIGKILL); replacing it" in server.read_errors()
        load.join(2)
        assert load.exchange(5).perfect
        short.unlink()
        until(lambda: len(descendants(server.process.pid)[server.process.pid]) == 3, load)
        load.join(3)
        assert load.exchange(5).perfect
        check_streams(load, server.read_log)


@every_engine
def test_rotation_loses_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    with loaded(server) as load:
        load.join(8)
        names: list[Path] = []

        def whole() -> bytes:
            return b"".join(name.read_bytes() for name in names) + server.read_log()

        def rotate(sent: int) -> None:
            if sent % 100 == 0 and len(names) < 3:
                # Whoever is two files behind is let go: wait, as there are days in between.
                settle(load, whole)
                name = tmp_path / f"chat.log.{len(names)}"
                os.rename(server.log_path, name)
                names.append(name)
                if len(names) == 2:
                    # logrotate renames and tells later: in between a client may come.
                    load.join(1)
                server.process.send_signal(signal.SIGHUP)
                until(lambda: os.path.exists(server.log_path), load)

        result = load.exchange(50, meanwhile=rotate)
        assert result.delivered == result.owed, result
        assert result.perfect, result
        check_streams(load, whole)


@needs_linux
@every_engine
def test_a_rotation_frees_the_old_file(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    old = tmp_path / "old"

    def kept_by() -> list[str]:
        """Who has the old file open."""
        found = []
        for pid in descendants(server.process.pid):
            for name in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # Closed, or ended, by now.
                    if name.samefile(old):
                        found.append(str(name))
        return found

    with loaded(server) as load:
        load.join(3)
        load.exchange(2)
        os.rename(server.log_path, old)
        assert kept_by()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: os.path.exists(server.log_path), load)
        assert load.exchange(2).perfect
        until(lambda: not kept_by(), load)


@every_engine
def test_a_rotation_that_fails_ends_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    server = serve("--engine", engine, "--log", str(folder / "chat.log"))
    with loaded(server) as load:
        load.join(2)
        # Another thing has the log's name: the old file is written to still.
        os.rename(folder / "chat.log", tmp_path / "old")
        (folder / "chat.log").mkdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "keeping the old one" in server.read_errors(), load)
        assert load.exchange(5).perfect
        (folder / "chat.log").rmdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "opened a new log file" in server.read_errors(), load)
        assert load.exchange(5).perfect


@every_engine
def test_one_that_says_much_at_once_delays_nobody(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--max-line", "65536")
    with loaded(server) as load:
        flood, other = load.join(2)
        load.stop_reading(flood)
        said = b"f: " + b"x" * 60000 + b"\n"
        flood.socket.setblocking(True)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(flood.socket.sendall, said * 1500)
            load.say(other, b"other: now\n")
            until(lambda: b"other: now" in b"".join(other.chunks), load)
            assert not done.done()
            server.stop(signal.SIGKILL)
            with pytest.raises(OSError):  # noqa: PT011 (reset, or a broken pipe)
                done.result()


@every_engine
def test_who_sends_no_more_is_sent_everything(engine: str, serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "chat.log"
    before = b"2026-11-22T23:59:59Z x: %s\n" % (b"y" * 900) * 9000
    log.write_bytes(before)
    server = serve("--engine", engine, "--log", str(log), "--history", "9000")
    with socket.create_connection(server.address) as client:
        client.sendall(server.key + b"me: last\n")
        client.shutdown(socket.SHUT_WR)
        got = b""
        client.settimeout(20)
        while data := client.recv(1 << 20):
            got += data
    assert got.startswith(before)
    assert got.endswith(b" me: last\n")


@needs_linux
@needs_root
@every_engine
def test_a_log_on_a_disk_that_fills(engine: str, serve: Serve, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=256k tmpfs {small} && exec "$@"'
    before = ("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh")
    server = serve("--engine", engine, "--log", str(small / "chat.log"), before=before)
    inside = Path(f"/proc/{server.process.pid}/root{small}/chat.log")
    with loaded(server) as load:
        talker, *_ = load.join(4)
        for number in range(400):
            load.say(talker, b"n: %03d %s\n" % (number, b"x" * 990))
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)

        def dealt_with() -> int:
            refused = re.findall(r"(\d+) lines not kept: No space left", server.read_errors())
            return inside.read_bytes().count(b"\n") + sum(map(int, refused))

        until(lambda: dealt_with() == 4 + 400, load)
        assert 200_000 < len(inside.read_bytes()) <= 256 * 1024
        check_streams(load, inside.read_bytes)
        # As soon as there is room again it goes on.
        os.truncate(inside, 0)
        load.say(talker, b"n: room\n")
        until(lambda: all(b"n: room\n" in b"".join(m.chunks) for m in load.members), load)


@needs_linux
@every_engine
def test_every_line_is_on_the_disk_before_it_is_delivered(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    # Nothing is durable any more where fdatasync() fails: then nothing may be delivered.
    world = shim(
        tmp_path,
        """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int fdatasync(int fd) {
    if (access(getenv("NO_SYNC"), F_OK)) return 0;
    errno = EIO;
    return -1;
}
""",
    )
    failing = tmp_path / "failing"
    before = ["env", f"NO_SYNC={failing}", *(f"{name}={value}" for name, value in world.items())]
    server = serve("--engine", engine, "--durability", "data", before=before)
    with loaded(server) as load:
        talker, other = load.join(2)
        assert load.exchange(5).perfect
        failing.touch()
        load.say(talker, b"n: lost\n")
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
        failing.unlink()
        assert load.exchange(2).perfect
        assert b"n: lost" not in b"".join(other.chunks) + server.read_log()
        check_streams(load, server.read_log)


CHOICES = (
    "lock=flock", "lock=ofd", "lock=fcntl",
    "wait=sigwait", "wait=sigtimedwait", "wait=wakeup descriptor",
    "multicast=killpg", "multicast=one by one",
    "send=sendfile", "send=pread and send",
    "orphans=pipe",
    "listen=a socket a family", "listen=one dual-stack socket",
)  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "forced"),
    [
        (engine, forced)
        for engine in ENGINES
        for forced in CHOICES
        if forced.partition("=")[0] not in engines.load_engine(engine).unused
    ],
)
def test_it_runs_with_every_choice_this_host_can_honour(
    engine: str, forced: str, serve: Serve
) -> None:
    if sys.platform != "linux" and forced in ("lock=ofd", "wait=sigtimedwait"):
        pytest.skip("this platform may have no such thing")
    count = 1 if "dual" in forced else 2
    server = serve("--engine", engine, "--set", forced, *count * ("--listen", ":0"))
    with loaded(server, ("127.0.0.1", server.addresses[0][1])) as load:
        load.join(4)
        load.address = ("::1", server.addresses[0][1])
        load.join(4)
        result = load.exchange(20)
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
def test_each_setting_that_is_used_is_said_once(engine: str, serve: Serve) -> None:
    quiet = serve("--engine", engine)
    quiet.stop()
    assert "setting" not in quiet.read_errors()
    server = serve("--engine", engine, "--verbose")
    said = re.findall(r"^papaya: setting (\w+): ", server.read_errors(), re.MULTILINE)
    assert said == [name for name in NAMES if name not in engines.load_engine(engine).unused]


def test_what_the_facts_rule_out_is_refused(serve: Serve) -> None:
    with pytest.raises(RuntimeError, match="parent_death_signal is prctl"):
        serve("--set", "orphans=procctl")
    with pytest.raises(RuntimeError, match="unknown setting 'lok'"):
        serve("--set", "lok=ofd")
    with pytest.raises(RuntimeError, match="'flock', 'ofd', 'fcntl'"):
        serve("--set", "lock=mutex")


@every_engine
def test_status_and_usr2_tell_the_counters(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine)
    path = server.log_path + ".status"
    assert os.stat(path).st_mode & 0o777 == 0o600
    with loaded(server) as load:
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


@pytest.mark.parametrize(
    ("module", "expected"),
    [("argparse", (-signal.SIGINT, "")), ("tomllib", (130, "papaya: interrupted\n"))],
)
def test_an_interrupt_while_it_is_loaded_is_no_traceback(
    module: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    # A module that papaya imports interrupts it: argparse at once, tomllib for `serve`.
    interrupt = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / f"{module}.py").write_text(interrupt)
    done = subprocess.run(
        [sys.executable, "-m", "papaya", "serve"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == expected


def test_an_interrupt_while_facts_are_measured_is_one_line(tmp_path: Path) -> None:
    program = """if True:
        import os, signal
        import probes.load_catalogue
        def interrupt():
            os.killpg(0, signal.SIGINT)  # As the terminal does.
            signal.pause()
        probes.load_catalogue.load_catalogue = interrupt
        from papaya.cli import main
        raise SystemExit(main(["settings"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "papaya: interrupted\n")


def test_a_second_one_on_the_same_log_or_port_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with pytest.raises(RuntimeError, match="another papaya is running with this log"):
        serve()
    other = str(tmp_path / "other.log")
    taken = f"127.0.0.1:{server.address[1]}"
    with pytest.raises(RuntimeError, match="Address already in use; stop the other program"):
        serve("--log", other, "--listen", taken)


class Daemon:
    """A ``papaya serve --daemon``."""

    def __init__(self, folder: Path, facts: Path, *options: str) -> None:
        self.key, self.pid_file, self.log = folder / "key", folder / "pid", folder / "chat.log"
        papaya = [sys.executable, "-m", "papaya"]
        subprocess.run([*papaya, "key", "new", str(self.key)], check=True, capture_output=True)
        self.command = [
            *papaya, "serve", "--daemon", "--listen", "127.0.0.1:0", "--key", str(self.key),
            "--log", str(self.log), "--pid-file", str(self.pid_file), "--report", str(facts),
            *options,
        ]  # fmt: skip

    def start(self, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """It says with its exit status that it became a daemon, once clients may come."""
        return subprocess.run(
            [*self.command, *options],
            capture_output=True, text=True, check=False, timeout=60, **more,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, **more: Any) -> Iterator[tuple[int, Load]]:
        """For the time being: its process id, and a load for it."""
        done = self.start(**more)
        assert done.returncode == 0, done.stderr
        port = int(done.stdout.rpartition(":")[2])
        pid = int(self.pid_file.read_text())
        try:
            with Load(("127.0.0.1", port), self.key.read_bytes().strip()) as load:
                yield pid, load
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda: not self.pid_file.exists())
            until(lambda: not runs(pid))


@pytest.mark.parametrize("how", ["double fork", "setsid"])
def test_it_becomes_a_daemon(how: str, facts: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, facts, "--set", f"daemon={how}")
    kept, closed = os.pipe()  # What a shell has open beside.
    with daemon.running(pass_fds=[closed], umask=0) as (pid, load):
        os.close(closed)
        assert select.select([kept], [], [], 20)[0]  # Its end: nobody has it open any more.
        os.close(kept)
        load.join(2)
        assert load.exchange(2).perfect
        assert os.getsid(pid) != os.getsid(0)
        assert (os.getsid(pid) == pid) == (how == "setsid")
        if sys.platform == "linux":
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()
            for descriptor in range(3):
                assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == os.devnull
        again = daemon.start("--status", str(tmp_path / "s"))
        assert again.returncode == 3
        assert (
            again.stderr
            == f"papaya: {daemon.pid_file}: papaya is already running as process {pid}\n"
        )


@needs_linux
def test_a_daemon_that_fails_writes_into_nothing_of_the_chat(facts: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, facts)
    with daemon.running() as (pid, load):
        load.join(1)
        os.rename(daemon.log, tmp_path / "old")
        os.kill(pid, signal.SIGHUP)
        until(daemon.log.exists, load)  # Opened under the first number that is free.
        load.exchange(1)
        (keeper,) = (p for p in descendants(pid)[pid] if os.getpgid(p) == p)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not runs(pid))
    assert b"killed" not in daemon.log.read_bytes()
    assert b"killed" not in b"".join(load.members[0].chunks)


@needs_linux
@needs_root
@every_engine
def test_root_is_given_up_for_good(engine: str, facts: Path, serve: Serve, tmp_path: Path) -> None:
    os.chmod(facts, 0o644)
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    for parent in tmp_path.parents:
        if parent != Path("/") and os.stat(parent).st_uid == 0 and str(parent) != "/tmp":
            os.chmod(parent, 0o711)
    os.chmod(tmp_path, 0o711)
    server = serve("--engine", engine, "--user", "nobody", "--log", str(run / "chat.log"))
    with loaded(server) as load:
        load.join(2)
        assert load.exchange(2).perfect
        pids = descendants(server.process.pid)
        for pid in (server.process.pid, *(p for below in pids.values() for p in below)):
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            assert status["Uid"].split() == ["65534"] * 4
            assert status["CapEff"].strip("0") == ""
            assert status["NoNewPrivs"] == "1"


@needs_linux
def test_a_fact_that_rules_all_out_is_asked_again(tmp_path: Path) -> None:
    """One answer is not enough for a refusal; four are."""
    # The handler goes with its first signal; with FIRST_RUN in the program run first alone.
    world = shim(
        tmp_path,
        """
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
static int first;
__attribute__((constructor)) static void begin(void) {
    const char *mark = getenv("FIRST_RUN");
    first = !mark || open(mark, O_CREAT | O_EXCL, 0600) >= 0;
}
int sigaction(int sig, const struct sigaction *new, struct sigaction *old) {
    int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
    struct sigaction once;
    if (!new || !first || sig != SIGUSR1) return real(sig, new, old);
    once = *new;
    once.sa_flags |= SA_RESETHAND;
    return real(sig, &once, old);
}
""",
    )
    command = [sys.executable, "-m", "papaya", "settings", "--json"]
    always = {**os.environ, **world}
    once = {**always, "FIRST_RUN": str(tmp_path / "mark")}
    done = subprocess.run(command, env=once, capture_output=True, text=True, check=False)
    assert "signals.python_signal_stays is no; measuring 3 times more" in done.stderr
    assert done.returncode == 0
    choice = json.loads(done.stdout)["handler"]
    assert choice["facts"]["signals.python_signal_stays"] == "yes"

    done = subprocess.run(command, env=always, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "the facts rule out every option" in done.stderr.splitlines()[-1]


@every_engine
def test_the_selftest_of_a_service_that_lets_too_few_in(engine: str, facts: Path) -> None:
    options = ["--report", str(facts)]
    assert selftest.has_passed(selftest.run_checks([engine], *options))
    results = selftest.run_checks([engine], *options, "--max-clients", "4")
    assert "a client was not let in" in str(results[engine]["everybody gets everything"])
    assert not selftest.has_passed(results)


def test_the_selftest_of_a_service_that_does_not_start(facts: Path) -> None:
    results = selftest.run_checks(ENGINES, "--report", str(facts), "--set", "lock=none")
    assert results == {engine: {"a server starts": ANY} for engine in ENGINES}
    assert "lock" in str(results["fork"])
