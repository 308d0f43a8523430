"""The log of a running service: rotation, a full disk, durability."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from papaya.load.chat import Load, Member
from papaya.selftest import Server
from papaya.server.status import read_counters
from probes.errors import CommandError
from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    every_engine,
    load_for,
    settle,
    state,
    until,
)
from tests.worlds import needs_linux, needs_root, shim


@every_engine
def test_rotation_loses_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        load.join(8)
        names: list[Path] = []

        def whole() -> bytes:
            return b"".join(name.read_bytes() for name in names) + server.read_log()

        def is_of_this_log(member: Member) -> bool:
            return bool(member.lines()) and member.lines()[-1] in server.read_log()

        def rotate(sent: int) -> None:
            if sent % 100 == 0 and len(names) < 3:
                # A client two files behind is disconnected, so wait until each is sent lines of
                # this one, which its writers may only begin to fill: real rotations are days apart.
                until(lambda: all(map(is_of_this_log, load.members)), load)
                settle(load, whole)
                name = tmp_path / f"chat.log.{len(names)}"
                os.rename(server.log_path, name)
                names.append(name)
                if len(names) == 2:
                    # logrotate renames first and signals later: a client may connect in between.
                    load.join(1)
                server.process.send_signal(signal.SIGHUP)
                until(lambda: os.path.exists(server.log_path), load)

        result = load.exchange(50, after_each=rotate)
        assert result.delivered == result.owed, result
        assert result.perfect, result
        check_streams(load, whole)


@needs_linux
@every_engine
def test_a_rotation_frees_the_old_file(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    old = tmp_path / "old"

    def kept_by() -> list[str]:
        """Return the descriptors of the old file that are open."""
        found = []
        for pid in descendants(server.process.pid):
            for name in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # Closed, or ended, by now.
                    if name.samefile(old):
                        found.append(str(name))
        return found

    with load_for(server) as load:
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
    with load_for(server) as load:
        load.join(2)
        # A folder has the name of the log, so the old file stays in use.
        os.rename(folder / "chat.log", tmp_path / "old")
        (folder / "chat.log").mkdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "keeping the old log file" in server.read_errors(), load)
        assert load.exchange(5).perfect
        (folder / "chat.log").rmdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "opened a new log file" in server.read_errors(), load)
        assert load.exchange(5).perfect


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
    with load_for(server) as load:
        talker, *_ = load.join(4)
        for number in range(400):
            load.say(talker, b"n: %03d %s\n" % (number, b"x" * 990))
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)

        def dealt_with() -> int:
            refused = re.findall(r"(\d+) lines not kept: \S+: No space left", server.read_errors())
            return inside.read_bytes().count(b"\n") + sum(map(int, refused))

        until(lambda: dealt_with() == 4 + 400, load)
        assert 200_000 < len(inside.read_bytes()) <= 256 * 1024
        check_streams(load, inside.read_bytes)
        # Once the disk has room again, the chat continues.
        os.truncate(inside, 0)
        load.say(talker, b"n: room\n")
        until(lambda: all(b"n: room\n" in b"".join(m.chunks) for m in load.members), load)


@needs_linux
@every_engine
def test_every_line_is_on_the_disk_before_it_is_delivered(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    # If fdatasync() fails, the line is not durable and must not be delivered.
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
    with load_for(server) as load:
        talker, other = load.join(2)
        assert load.exchange(5).perfect
        failing.touch()
        load.say(talker, b"n: lost\n")
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
        failing.unlink()
        assert load.exchange(2).perfect
        assert b"n: lost" not in b"".join(other.chunks) + server.read_log()
        check_streams(load, server.read_log)


def received(member: Member) -> list[bytes]:
    """Return the texts that a client was sent, without times, notices and greetings."""
    lines = [line[21:] for line in member.lines() if not line.startswith(b"* ")]
    return [line for line in lines if not line.endswith(b": hello")]


def say_to_all(load: Load, talker: Member, text: bytes) -> None:
    """Say a line, and wait until every client has been sent it."""
    load.say(talker, b"%s\n" % text)
    until(lambda: all(text in received(m) for m in load.members if not m.closed), load)


def wait_until_idle(server: Server) -> None:
    """Wait until every process of the service sleeps: each has noted what it has just sent."""
    until(lambda: all(state(pid) == "S" for pid in descendants(server.process.pid)))


@needs_linux
@every_engine
@pytest.mark.parametrize("last", ["hang up", "say a line"])
def test_truncated_then_renamed(engine: str, last: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        talker, *_ = load.join(4)
        say_to_all(load, talker, b"one")
        wait_until_idle(server)
        os.truncate(server.log_path, 0)
        say_to_all(load, talker, b"two")
        os.rename(server.log_path, tmp_path / "old")
        if last == "hang up":
            server.process.send_signal(signal.SIGHUP)
        say_to_all(load, talker, b"three")
        late, *_ = load.join(1)
        say_to_all(load, late, b"four")
        assert {tuple(received(m)[-4:]) for m in load.members[:-1]} == {
            (b"one", b"two", b"three", b"four")
        }
        assert not any(member.closed for member in load.members)
        whole = (tmp_path / "old").read_bytes()
        if os.path.exists(server.log_path):
            whole += server.read_log()
        texts = [line[21:] for line in whole.splitlines() if not line.endswith(b": hello")]
        assert texts == [b"two", b"three", b"four"]


def join_at_last(load: Load) -> Member:
    """Join, again if the client is disconnected because it missed lines meanwhile."""
    for _ in range(9):
        with contextlib.suppress(CommandError):
            return load.join(1)[0]
    return load.join(1)[0]


@every_engine
def test_who_stays_connected_missed_nothing_of_a_truncated_log(engine: str, serve: Serve) -> None:
    """In a burst, a truncation may take lines that some clients have not been sent yet."""
    server = serve("--engine", engine)
    with load_for(server) as load:
        talker, *_ = load.join(16)
        for number in range(1, 1001):
            load.say(talker, b"n: %04d\n" % number)
            if number % 50 == 0:
                load.step(0)
                os.truncate(server.log_path, 0)
        # Its lines show that the last truncation has been noticed.
        ender = join_at_last(load)
        until(lambda: talker.closed or b"n: 1000" in received(talker), load)
        say_to_all(load, ender, b"the end")
        for member in load.members[:-1]:
            numbers = [text for text in received(member) if text.startswith(b"n: ")]
            first = int(numbers[0][3:]) if numbers else 1
            expected = [b"n: %04d" % number for number in range(first, first + len(numbers))]
            if not member.closed:
                assert numbers == expected
                assert received(member)[-1] == b"the end"


def delete(log: Path) -> None:
    log.unlink()


def replace(log: Path) -> None:
    log.with_name("new").write_bytes(b"")
    log.with_name("new").rename(log)


@every_engine
@pytest.mark.parametrize("take_away", [delete, replace])
def test_a_log_that_is_taken_away_is_noticed_at_the_next_line(
    engine: str, take_away: Callable[[Path], None], serve: Serve
) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        talker, *_ = load.join(3)
        say_to_all(load, talker, b"before")
        take_away(Path(server.log_path))
        say_to_all(load, talker, b"after")
        assert [line[21:] for line in server.read_log().splitlines()] == [b"after"]
        # The daemon opens the file before it says so.
        until(lambda: server.read_errors().count("opened a new log file") == 1, load)
        for member in load.members:
            assert received(member)[-2:] == [b"before", b"after"]


HOLDER = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def hold_log(path: str) -> subprocess.Popen[str]:
    """Return another program that holds the log's lock until its input is closed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "locked\n"
    return holder


@needs_linux
@every_engine
def test_another_programs_lock_stops_no_one(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine, "--set", "lock=flock")
    with load_for(server) as load:
        talker, other = load.join(2)
        say_to_all(load, talker, b"before")
        with hold_log(server.log_path) as holder:
            load.say(talker, b"refused\n")
            # The daemon answers meanwhile, also to a request to rotate.
            os.rename(server.log_path, tmp_path / "old")
            server.process.send_signal(signal.SIGHUP)
            assert read_counters(server.log_path + ".status")["clients"] == 2
            until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
            until(lambda: "keeping the old log file" in server.read_errors(), load)
            named = f"locked by process {holder.pid} (python"
            assert named in server.read_errors()
            assert not os.path.exists(server.log_path)
        # The rotation is made up for, and the chat continues.
        until(lambda: os.path.exists(server.log_path), load)
        say_to_all(load, talker, b"after")
        assert received(other)[-2:] == [b"before", b"after"]


@needs_linux
def test_a_locked_log_is_said_at_the_start(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.touch()
    with hold_log(str(path)) as holder:
        server = serve("--set", "lock=flock", "--log", str(path), wait=False)
        assert server.process.wait(20) == 3
        error = server.read_errors().splitlines()[-1]
    assert re.fullmatch(
        rf"papaya: {path}: locked by process {holder.pid} \(\S+\); end it, or wait for it", error
    )


@needs_linux
@pytest.mark.parametrize("engine", ["fork", "pool"])
def test_a_stopped_writer_stops_no_other(engine: str, serve: Serve, tmp_path: Path) -> None:
    """Stopped while it holds the lock."""
    world = shim(
        tmp_path,
        """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
int flock(int fd, int operation) {
    static int (*real)(int, int);
    if (!real) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    int result = real(fd, operation);
    if (!result && operation != LOCK_UN && !unlink(getenv("STOP"))) raise(SIGSTOP);
    return result;
}
""",
    )
    stop = tmp_path / "stop"
    before = ["env", f"STOP={stop}", *(f"{name}={value}" for name, value in world.items())]
    options = ("--engine", engine, "--workers", "4", "--fill", "1", "--set", "lock=flock")
    server = serve(*options, before=before)
    with load_for(server) as load:
        members = load.join(8)
        say_to_all(load, members[0], b"before")
        stop.touch()
        load.say(members[0], b"late\n")
        until(lambda: not stop.exists(), load)
        until(lambda: [p for p in descendants(server.process.pid) if state(p) == "T"], load)
        stopped = [p for p in descendants(server.process.pid) if state(p) == "T"]
        speakers = members[1:]
        for member in speakers:
            load.say(member, b"refused\n")
        until(lambda: any(b"* a line was refused" in b"".join(m.chunks) for m in speakers), load)
        assert f"locked by process {stopped[0]}" in server.read_errors()
        os.kill(stopped[0], signal.SIGCONT)
        until(lambda: b"late" in received(members[0]), load)
        say_to_all(load, members[-1], b"after")
