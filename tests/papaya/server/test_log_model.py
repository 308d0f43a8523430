"""The log, the shared page and its readers against a model, in any order of what may happen.

A daemon and writers in one process, each with its own descriptors, so that a writer can be killed
between any two of its steps, a client be sent to there, and a writer write between any two steps
of a reader.  The model reads what is committed by the daemon's descriptor, and knows of each
client what it must have been sent.

    EXAMPLES=20000 python -m pytest tests/papaya/server/test_log_model.py
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from papaya.server.log_cursor import FellBehind, LogCursor, LogReader
from papaya.server.log_lock import LogLock
from papaya.server.message_log import MessageLog, identify
from papaya.server.scoreboard import ATTEMPTS, COMMITTED, GENERATION, Scoreboard
from probes.errors import CommandError

WRITERS, READERS = range(3), range(2)


class Killed(BaseException):
    """The writer was killed by SIGKILL."""


class Steps:
    """The steps of a process, before one of which something else happens."""

    def __init__(self) -> None:
        self.left = -1
        self.happen: Callable[[], None] = lambda: None

    def take(self) -> None:
        self.left -= 1
        if self.left == -1:
            with self.pause():
                self.happen()

    @contextlib.contextmanager
    def interrupt(self, number: int, happen: Callable[[], None]) -> Iterator[None]:
        """Before the step of that number in the block, call ``happen``."""
        self.left, self.happen = number, happen
        try:
            yield
        finally:
            self.left = -1

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Count no steps of other processes in the block."""
        left, self.left = self.left, -1
        try:
            yield
        finally:
            self.left = left


class Numbers:
    """The shared page, each use of which is a step."""

    def __init__(self, numbers: memoryview, reads: Steps, writes: Steps) -> None:
        self.numbers = numbers
        self.reads = reads
        self.writes = writes

    def __getitem__(self, number: int) -> int:
        self.reads.take()
        return self.numbers[number]

    def __setitem__(self, number: int, value: int) -> None:
        self.writes.take()
        self.numbers[number] = value


class Client:
    """A client, and what the model says that it must be sent."""

    def __init__(self, cursor: LogCursor, place: int, expected: bytes) -> None:
        self.cursor = cursor
        self.server, self.end = socket.socketpair()
        # Room for a few lines, so that a client that reads nothing soon blocks its sender.
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for one in (self.server, self.end):
            one.setblocking(False)
        self.place = place
        """The place in the chat where it joined."""
        self.expected = expected
        """The history that it is sent first."""
        self.received = b""
        self.may_fall_behind = 0
        """New logs, also truncated ones, since it was last sent everything."""
        self.may_miss = False
        """Whether another program has truncated the log since then."""

    def receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self.end.recv(1 << 20):
                self.received += data

    def close(self) -> None:
        self.server.close()
        self.end.close()


class Chat(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "log"
        self.reads, self.writes = Steps(), Steps()
        """The steps of a reader that look at something, and of a writer that change something."""
        self.clock = 1_800_000_000
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.folder)
        self.room = 1 << 30
        self.tears = False
        """Whether the writer is killed in the middle of its write."""
        real_write, real_truncate = os.write, os.ftruncate
        real_pread = os.pread

        def write(descriptor: int, data: bytes) -> int:
            self.writes.take()
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.tears:
                real_write(descriptor, data[: len(data) // 2])
                raise Killed
            return real_write(descriptor, data[: self.room])

        def truncate(descriptor: int, size: int) -> None:
            self.writes.take()
            real_truncate(descriptor, size)

        def pread(*arguments: Any) -> bytes:
            self.reads.take()
            return real_pread(*arguments)

        for call in (write, pread):
            self.stack.enter_context(mock.patch(f"os.{call.__name__}", call))
        self.stack.enter_context(mock.patch("os.ftruncate", truncate))
        self.stack.enter_context(mock.patch("time.time", self.get_time))

        self.scoreboard = Scoreboard(1)
        self.scoreboard.numbers = Numbers(  # type: ignore[assignment]
            self.scoreboard.numbers, self.reads, self.writes
        )
        set_file = self.scoreboard.set_file

        def observe_first(*arguments: Any, **options: Any) -> int:
            # What a truncated file had was read before.  What a writer has committed since then,
            # for it had found it before, is not there: other lines may stand in its place.
            if not options.get("truncated"):
                self.observe()
            for client in self.clients:
                client.may_fall_behind += 1
            return set_file(*arguments, **options)

        self.scoreboard.set_file = observe_first  # type: ignore[method-assign]
        self.scoreboard.rotate = self.rotate
        self.events: list[str] = []
        self.stream = b""
        """All that was ever committed."""
        self.files: dict[tuple[int, int], bytes] = {}
        """What each file must hold, if no other program has changed it."""
        self.seen = 0, 0
        """The generation and the offset up to which the model has read."""
        self.names: list[Path] = []
        self.clients: list[Client] = []
        self.daemon = self.make_log()
        self.daemon.recover()
        self.writers = {number: self.make_log() for number in WRITERS}
        self.readers = {number: LogReader(str(self.path), self.scoreboard) for number in READERS}
        self.last_line = 0

    def make_log(self) -> MessageLog:
        return MessageLog(
            str(self.path), self.scoreboard, LogLock("flock", 0.01), self.events.append
        )

    def observe(self) -> None:
        """Read what was committed since the last call."""
        generation = self.scoreboard[GENERATION]
        if self.daemon.descriptor < 0 or not generation:
            return
        record = self.scoreboard.get_file()
        end = self.scoreboard[self.scoreboard.locate(generation, COMMITTED)]
        start = self.seen[1]
        if self.seen[0] != generation:
            start = record.base
            self.files.pop(record.identity, None)
            if not start:
                self.files[record.identity] = b""
        assert start <= end
        data = os.pread(self.daemon.descriptor, end - start, start)
        if identify(self.daemon.descriptor) == record.identity and len(data) == end - start:
            self.stream += data
            if record.identity in self.files:
                self.files[record.identity] += data
        self.seen = generation, end

    def rotate(self) -> None:
        """Do in the daemon what the service does on SIGHUP."""
        with self.reads.pause(), self.writes.pause():
            with contextlib.suppress(CommandError):
                self.daemon.rotate()
            self.scoreboard[ATTEMPTS] += 1

    @rule(
        number=st.sampled_from(WRITERS),
        count=st.integers(1, 3),
        step=st.integers(0, 12),
        what=st.sampled_from(["nothing", "kill", "tear", "send", "truncate"]),
        room=st.sampled_from([1 << 30] * 6 + [0, 1, 30, 60]),
    )
    def append(self, number: int, count: int, step: int, what: str, room: int) -> None:
        """Append lines.

        The writer may be killed or overtaken, the log truncated under it, and the disk full.
        """
        lines = []
        for _ in range(count):
            self.last_line += 1
            lines.append(b"line-%d" % self.last_line + b"x" * (self.last_line % 7) * 40)
        before = self.count()
        self.room, self.tears = room, what == "tear"
        happen = {
            "kill": self.kill,
            "send": self.send_to_all,
            "truncate": self.truncate_if_there,
        }.get(what, lambda: None)
        kept: int | None
        failure: CommandError | None = None
        try:
            with self.writes.interrupt(step, happen):
                kept, why = self.writers[number].append(lines)
            assert bool(why) == (kept < count)
        except CommandError as error:
            kept, failure = 0, error
            event(str(error).partition(": ")[2])
        except Killed:
            event("killed")
            kept = None
            if self.writers[number].descriptor >= 0:
                os.close(self.writers[number].descriptor)
            self.writers[number] = self.make_log()
        finally:
            self.room, self.tears = 1 << 30, False
        assert not failure or not self.path.is_file(), failure
        self.observe()
        for at, line in enumerate(lines):
            times = self.stream.count(b" " + line + b"\n")
            if kept is None or what == "truncate":
                assert times <= 1
            else:
                assert times == (at < kept), (line, kept)
        assert kept is None or what == "truncate" or self.count() >= before + kept

    def get_time(self) -> float:
        return self.clock

    def kill(self) -> None:
        raise Killed

    def send_to_all(self) -> None:
        for client in list(self.clients):
            self.send_to(client, True)

    def count(self) -> int:
        return self.stream.count(b"\n")

    @rule()
    def hang_up(self) -> None:
        self.rotate()

    @precondition(lambda self: self.path.is_file())
    @rule(then=st.sampled_from(["nothing", "an empty file", "a line", "a folder"]))
    def rename(self, then: str) -> None:
        self.names.append(self.folder / f"old-{len(self.names)}")
        self.path.rename(self.names[-1])
        if then == "a folder":
            self.path.mkdir()
        elif then != "nothing":
            self.path.write_bytes(b"a line of another program\n" if then == "a line" else b"")
            # The inode may have been a deleted file's.
            self.files.pop((self.path.stat().st_dev, self.path.stat().st_ino), None)

    @precondition(lambda self: self.path.exists())
    @rule()
    def delete(self) -> None:
        if self.path.is_dir():
            self.path.rmdir()
        else:
            self.files.pop((self.path.stat().st_dev, self.path.stat().st_ino), None)
            self.path.unlink()

    @precondition(lambda self: self.clients)
    @rule(
        data=st.data(),
        step=st.integers(0, 20),
        what=st.sampled_from(["append", "truncate", "rotate"]),
        number=st.sampled_from(WRITERS),
    )
    def overtake(self, data: st.DataObject, step: int, what: str, number: int) -> None:
        """While a client is sent to, a writer appends, after a rotation or a truncation."""
        client = data.draw(st.sampled_from(self.clients))

        def append() -> None:
            if what == "truncate" and self.path.is_file():
                self.truncate(0)
            elif what == "rotate" and self.path.is_file():
                self.rename("nothing")
                self.rotate()
            self.append(number, 1, 0, "nothing", 1 << 30)

        with self.reads.interrupt(step, append):
            self.send_to(client, True, overtaken=True)
        if client in self.clients:
            self.send_to(client, True)

    @precondition(lambda self: self.path.is_file())
    @rule(size=st.sampled_from([0, 0, 10, 23, 50]))
    def truncate(self, size: int) -> None:
        """Another program truncates the log, as logrotate's copytruncate does."""
        found = self.path.stat()
        if size < found.st_size:
            self.observe()
            self.files.pop((found.st_dev, found.st_ino), None)
            os.truncate(self.path, size)
            for client in self.clients:
                client.may_miss = True

    def truncate_if_there(self) -> None:
        if self.path.is_file():
            self.truncate(0)

    @rule(seconds=st.sampled_from([-3600, -1, 0, 1, 60]))
    def set_clock(self, seconds: int) -> None:
        self.clock += seconds

    @rule(number=st.sampled_from(READERS), history=st.integers(0, 3))
    def join(self, number: int, history: int) -> None:
        try:
            cursor = self.readers[number].make_cursor(history)
        except CommandError:
            assert not self.path.is_file()
            return
        self.observe()
        end = self.scoreboard[cursor.file.committed]
        expected = os.pread(cursor.file.descriptor, end - cursor.offset, cursor.offset)
        self.clients.append(Client(cursor, len(self.stream), expected))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), reads=st.booleans())
    def send(self, data: st.DataObject, reads: bool) -> None:
        self.send_to(data.draw(st.sampled_from(self.clients)), reads)

    def send_to(self, client: Client, reads: bool, overtaken: bool = False) -> None:
        """Send a client what is new, while it reads or does not."""
        with self.reads.pause():
            self.observe()
        try:
            while True:
                try:
                    client.cursor.advance(client.server)
                    break
                except BlockingIOError:
                    if not reads:
                        return
                    client.receive()
        except FellBehind:
            event("fell behind")
            assert client.may_miss or client.may_fall_behind > 1
            self.leave(client)
            return
        except CommandError:
            assert not self.path.is_file()
            self.leave(client)
            return
        client.receive()
        if overtaken:
            assert (client.expected + self.stream[client.place :]).startswith(client.received)
        elif self.is_whole():
            assert client.received == client.expected + self.stream[client.place :]
            client.may_fall_behind, client.may_miss = 0, False

    def is_whole(self) -> bool:
        """Return whether no other program has truncated the log, unnoticed so far."""
        end = self.scoreboard[self.scoreboard.locate(self.scoreboard[GENERATION], COMMITTED)]
        return os.fstat(self.daemon.descriptor).st_size >= end

    def leave(self, client: Client) -> None:
        client.receive()
        if not client.may_miss:
            # It was sent no line twice, and none that was not there.
            owed = client.expected + self.stream[client.place :]
            assert owed.startswith(client.received)
        client.close()
        self.clients.remove(client)

    def check_times(self) -> None:
        for name in [*self.names, self.path]:
            if name.is_file():
                times = [line[:20] for line in name.read_bytes().splitlines() if b"Z line-" in line]
                whole = [time for time in times if len(time) == 20 and time.startswith(b"20")]
                assert whole == sorted(whole)

    def teardown(self) -> None:
        try:
            if self.path.is_dir():
                self.path.rmdir()
            self.append(0, 1, 0, "nothing", 1 << 30)
            self.send_to_all()
            for name in [*self.names, self.path]:
                found = name.stat() if name.is_file() else None
                kept = found and self.files.get((found.st_dev, found.st_ino))
                if kept is not None:
                    assert name.read_bytes() == kept
            self.check_times()
            for client in self.clients:
                client.close()
        finally:
            for log in (self.daemon, *self.writers.values()):
                if log.descriptor >= 0:
                    os.close(log.descriptor)
            self.stack.close()


Chat.TestCase.settings = settings(
    max_examples=int(os.environ.get("EXAMPLES", "100")), stateful_step_count=60
)
TestChat = Chat.TestCase
