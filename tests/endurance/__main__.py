"""Keep a service busy for a time while clients, processes and its log suffer, then check it.

    python -m tests.endurance --engine pool --seconds 180 --seed 7
    python -m tests.endurance --hours 8

Every line is unique.  At the end each line that any client was sent must be in the log once, in
the order in which all clients were sent them, and a client that stayed connected must have all of
them from where it joined.  Times never go backwards in one file, though the clock is set.  What is
taken from the log, by truncation or deletion, is kept here.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import mmap
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from papaya import engines
from papaya.load.chat import Load, Member
from papaya.selftest import Server, run_server
from papaya.server.status import read_counters
from tests.papaya.conftest import descendants, list_serving, state
from tests.worlds import shim

CLIENTS = 24
_UNCOLLECTED = 2
"""Old log files that Python may keep open until it collects what refers to them."""
_SETTLE = 30.0
"""Seconds in which the service must be quiet again, on a busy machine."""
_SET_CLOCK = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static volatile long *offset;
__attribute__((constructor)) static void look(void) {
    int fd = open(getenv("CLOCK"), O_RDONLY);
    offset = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && clock == CLOCK_REALTIME) now->tv_sec += *offset;
    return result;
}
"""


@dataclass
class LogFile:
    """A file that was the log, held open so that nobody can take what is in it away."""

    descriptor: int
    identity: tuple[int, int]
    kept: list[bytes] = field(default_factory=list)
    """What it had before each truncation."""

    def read(self) -> bytes:
        """Return all that was ever in it."""
        size = os.fstat(self.descriptor).st_size
        return b"".join(self.kept) + os.pread(self.descriptor, size, 0)


class Endurance:
    """One run against one engine."""

    def __init__(self, server: Server, load: Load, seed: int, clock: mmap.mmap | None) -> None:
        self.server = server
        self.clock = clock
        """How far the service's clock is from this one, in seconds; None without a compiler."""
        self.load = load
        self.random = random.Random(seed)
        self.log = Path(server.log_path)
        self.files: list[LogFile] = []
        self.counts: Counter[str] = Counter()
        self.said = 0
        self.stopped: dict[int, float] = {}
        """Processes that were stopped, and when to continue each."""
        self.logged = b""
        """All that was ever in the log, once it is settled."""
        self.spared_until = 0.0
        self.full_until: float | None = None
        """When there is room on the disk again."""
        self.connections: list[socket.socket] = []
        """Of those that send nothing, or garbage."""

    def run(self, seconds: float, show: Callable[[str], None]) -> None:
        """Let things happen for a time."""
        until = time.monotonic() + seconds
        shown = time.monotonic()
        actions = {
            self.say: 60, self.join: 6, self.leave: 4, self.kill: 2, self.stop: 2, self.rotate: 2,
            self.rename: 1, self.delete: 1, self.replace: 1, self.truncate: 2, self.send_garbage: 4,
            self.stay_silent: 2, self.stop_reading: 1, self.fill_disk: 1, self.set_clock: 1,
        }  # fmt: skip
        while time.monotonic() < until:
            (action,) = self.random.choices([*actions], [*actions.values()])
            self.note_file()
            action()
            self.note_file()
            self.resume()
            self.load.step(self.random.random() * 0.004)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                show(f"{until - shown:.0f} s left, {self.said} lines said")

    def note_file(self, path: Path | None = None) -> None:
        """Hold the log's file open, which is ``path`` if it was renamed, if it is a new one."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path or self.log, os.O_RDONLY)
            found = os.fstat(descriptor)
            identity = found.st_dev, found.st_ino
            if all(file.identity != identity for file in self.files):
                self.files.append(LogFile(descriptor, identity))
            else:
                os.close(descriptor)

    def list_talkers(self) -> list[Member]:
        """Return the clients that are connected and read."""
        return [m for m in self.load.members if m.reads and not m.closed]

    def say(self) -> None:
        """Say a few lines."""
        talkers = self.list_talkers()
        for member in self.random.sample(talkers, min(3, len(talkers))):
            self.said += 1
            padding = b"x" * self.random.choice([0, 0, 0, 40, 900])
            self.load.say(member, b"%s: %d %s\n" % (member.name, self.said, padding))

    def join(self) -> None:
        """Have a crowd join, some of it with its first line in the same packet."""
        missing = CLIENTS - len(self.list_talkers())
        for _ in range(self.random.randint(0, max(0, missing))):
            with contextlib.suppress(OSError):
                self.load.connect(10)
                self.counts["joined"] += 1

    def leave(self) -> None:
        """Let a client leave."""
        if talkers := self.list_talkers():
            self.load.leave(self.random.choice(talkers))

    def kill(self) -> None:
        """Kill a process that serves clients, seldom enough for `pool` to see no end in it."""
        if time.monotonic() < self.spared_until:
            return
        self.spared_until = time.monotonic() + 0.7
        if victims := list_serving(self.server):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(victims), signal.SIGKILL)
                self.counts["killed"] += 1

    def stop(self) -> None:
        """Stop a process for a moment."""
        if victims := list_serving(self.server):
            pid = self.random.choice(victims)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.stopped[pid] = time.monotonic() + self.random.random()
                self.counts["stopped"] += 1

    def fill_disk(self) -> None:
        """Leave room for a few more bytes in the log, for a moment.

        By the limit of a file's size: a write is cut short, and the next one fails, as on a full
        disk.
        """
        with contextlib.suppress(FileNotFoundError):
            self._limit_files(self.log.stat().st_size + self.random.randrange(200))
            self.full_until = time.monotonic() + self.random.random() * 0.2
            self.counts["full"] += 1

    def _limit_files(self, most: int) -> None:
        # Again, for processes that were forked before their parent's limit was changed.
        for _ in range(2):
            for pid in (self.server.process.pid, *descendants(self.server.process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def set_clock(self) -> None:
        """Set the service's clock forward or back."""
        if self.clock:
            self.clock[:8] = self.random.choice([0, 1, -1, -3600]).to_bytes(
                8, sys.byteorder, signed=True
            )
            self.counts["clock set"] += 1

    def resume(self, everyone: bool = False) -> None:
        """Continue the processes whose moment is over, and free the disk after its moment."""
        if self.full_until is not None and (everyone or time.monotonic() > self.full_until):
            self.full_until = None
            self._limit_files(resource.RLIM_INFINITY)
        for pid, until in list(self.stopped.items()):
            if everyone or time.monotonic() > until:
                del self.stopped[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def rotate(self) -> None:
        """Rename the log and tell the service."""
        self.rename()
        self.server.process.send_signal(signal.SIGHUP)

    def rename(self) -> None:
        """Rename the log, and do not tell."""
        if self._move(self.log.with_name(f"old-{len(self.files)}")):
            self.counts["renamed"] += 1

    def delete(self) -> None:
        """Delete the log."""
        if self._move(gone := self.log.with_name("gone")):
            gone.unlink()
            self.counts["deleted"] += 1

    def _move(self, new: Path) -> bool:
        """Rename the log; the service may have made it a moment ago."""
        try:
            self.log.rename(new)
        except FileNotFoundError:
            return False
        self.note_file(new)
        return True

    def replace(self) -> None:
        """Put an empty file in the log's place, as logrotate's create does."""
        self.rename()
        self.log.touch()

    def truncate(self) -> None:
        """Copy and truncate the log; its lock keeps lines out of the time between."""
        with contextlib.suppress(FileNotFoundError), self.log.open("r+b") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            found = os.fstat(opened.fileno())
            for file in self.files:
                if file.identity == (found.st_dev, found.st_ino):
                    # A killed writer's torn line is cut off with the rest.
                    content = opened.read()
                    file.kept.append(content[: content.rfind(b"\n") + 1])
                    os.truncate(opened.fileno(), 0)
                    self.counts["truncated"] += 1

    def send_garbage(self) -> None:
        """Connect with a wrong key, or half a key."""
        data = self.random.randbytes(self.random.choice([10, 128, 4000]))
        with contextlib.suppress(OSError), socket.create_connection(self.server.address, 10) as one:
            one.sendall(data)

    def stay_silent(self) -> None:
        """Connect and send nothing; hang up only later."""
        with contextlib.suppress(OSError):
            self.connections.append(socket.create_connection(self.server.address, 10))
        while len(self.connections) > 50:
            self.connections.pop(0).close()

    def stop_reading(self) -> None:
        """Let a client read nothing more."""
        if len(talkers := self.list_talkers()) > 2:
            self.load.stop_reading(self.random.choice(talkers))

    def finish(self) -> None:
        """Let everything come to rest: every client that stayed has been sent the whole log."""
        self.resume(everyone=True)
        for one in self.connections:
            one.close()
        # A new client's line shows that a truncation has been noticed.
        self.wait_for(self._say_last, lambda: f"no one can join: {self.server.read_errors()}")
        self.wait_for(self._is_settled, lambda: "the end of the log is not sent to all")

    def _say_last(self) -> bool:
        try:
            last = self.load.connect(10)
        except OSError:
            return False
        while not last.closed:
            self.load.step(0.05)
            if any(line.endswith(b" %s: hello" % last.name) for line in last.lines()):
                return True
        return False

    def _is_settled(self) -> bool:
        self.note_file()
        # More lines may come in later: at this moment every client has been sent the whole.
        self.logged = b"".join(file.read() for file in self.files)
        last = [b"\n".join([*m.lines()[-1:], b""]) for m in self.list_talkers()]
        return all(line and self.logged.endswith(line) for line in last)

    def check_lines(self) -> tuple[int, int]:
        """Check what the clients were sent against the log; return its lines and the deliveries.

        A writer that was killed may leave a line that is sent to no one, because the log is
        truncated before the next writer looks.
        """
        for file in self.files:
            stamps = [line[:20] for line in file.read().splitlines()]
            assert stamps == sorted(stamps), "the times of a file go backwards"
        logged = self.logged.splitlines()
        times = Counter(logged)
        sent = {
            member: [line for line in member.lines() if not line.startswith(b"* ")]
            for member in self.load.members
            if member.reads
        }
        seen = {line for lines in sent.values() for line in lines}
        twice = sorted(line[:60] for line in seen if times[line] > 1)
        assert not twice, f"{len(twice)} lines logged twice, such as {twice[:3]}"
        lost = sorted(line[:60] for line in seen - times.keys())
        assert not lost, f"{len(lost)} lines are not in the log, such as {lost[:3]}"
        order = [line for line in logged if line in seen]
        for member, lines in sent.items():
            first = order.index(lines[0]) if lines else 0
            owed = order[first:] if lines and not member.closed else order[first:][: len(lines)]
            got = set(lines)
            missed = [line for line in owed if line not in got]
            how = "disconnected" if member.closed else "connected"
            assert not missed, f"{member.name!r}, {how}, was not sent {missed[:3]}"
            assert lines == owed, f"{member.name!r} was sent lines in another order"
        return len(order), sum(map(len, sent.values()))

    def measure(self) -> tuple[int, int]:
        """Return the daemon's open descriptors, and the number of the service's processes."""
        descriptors = os.listdir(f"/proc/{self.server.process.pid}/fd")
        return len(descriptors), len(descendants(self.server.process.pid))

    def is_back(self, before: tuple[int, int]) -> bool:
        """Return whether no process is left, and no descriptor but those not collected yet."""
        descriptors, processes = self.measure()
        return processes == before[1] and descriptors <= before[0] + _UNCOLLECTED

    def list_descriptors(self) -> list[str]:
        """Return what the daemon has open."""
        folder = Path(f"/proc/{self.server.process.pid}/fd")
        return sorted(os.readlink(name) for name in folder.iterdir())

    def wait_for(self, condition: Callable[[], object], describe: Callable[[], str]) -> None:
        """Wait until a condition is true, while clients receive."""
        until = time.monotonic() + _SETTLE
        while not condition():
            assert time.monotonic() < until, describe()
            self.load.step(0.02)


def make_clock(folder: Path) -> tuple[mmap.mmap | None, dict[str, str]]:
    """Return a clock that can be set for a service, and the environment for it."""
    if not shutil.which("cc"):
        return None, {}
    path = folder / "clock"
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("r+b") as file:
        clock = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    return clock, {"CLOCK": str(path), **shim(folder, _SET_CLOCK)}


def read_memory(pid: int) -> int:
    """Return the resident memory of a process in KiB (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def endure(engine: str, seconds: float, seed: int, show: Callable[[str], None]) -> str:
    """Run against one engine; return a line of figures.  Raise AssertionError with what failed."""
    options = ("--engine", engine, "--set", "lock=flock", "--backoff", "0")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clock, world = make_clock(folder)
        with mock.patch.dict(os.environ, world):
            server = stack.enter_context(run_server(*options, "--workers", "3", "--fill", "1"))
        load = stack.enter_context(Load(server.address, server.key))
        run = Endurance(server, load, seed, clock)
        run.note_file()
        # The daemon's first clients make it allocate what it keeps.
        for member in load.join(CLIENTS):
            load.leave(member)
        status = server.log_path + ".status"
        run.wait_for(
            lambda: not read_counters(status)["clients"], lambda: "the first clients did not go"
        )
        run.wait_for(lambda: _is_quiet(server), lambda: "the service is not quiet")
        before, memory = run.measure(), read_memory(server.process.pid)
        opened = run.list_descriptors()
        with _resumed(run):
            run.run(seconds, show)
            run.finish()
        lines, delivered = run.check_lines()
        for member in load.members:
            load.leave(member)
        run.wait_for(lambda: not read_counters(status)["clients"], lambda: "clients are left")
        run.wait_for(lambda: not read_counters(status)["waiting"], lambda: "connections are left")
        run.wait_for(
            lambda: run.is_back(before),
            lambda: f"before {before}: {opened}; after {run.measure()}: {run.list_descriptors()}",
        )
        grown = read_memory(server.process.pid) - memory
        assert grown < 8192, f"the daemon grew by {grown} KiB"
        assert server.stop() == 0
        errors = server.read_errors()
        assert "Traceback" not in errors, errors
        counts = ", ".join(f"{count} {what}" for what, count in sorted(run.counts.items()))
        return (
            f"{engine}: {lines} lines, {delivered} deliveries, {len(run.files)} files, {counts}, "
            f"memory {grown:+} KiB"
        )


def _is_quiet(server: Server) -> bool:
    return all(state(pid) == "S" for pid in descendants(server.process.pid))


@contextlib.contextmanager
def _resumed(run: Endurance) -> Iterator[None]:
    try:
        yield
    finally:
        run.resume(everyone=True)


def main() -> int:
    """Run against the engines that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--engine", choices=["all", *engines.list_engines()], default="all")
    parser.add_argument("--seconds", type=float, default=60, help="for each engine (default: 60)")
    parser.add_argument("--hours", type=float, help="for each engine")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    seconds = 3600 * options.hours if options.hours else options.seconds
    names = engines.list_engines() if options.engine == "all" else [options.engine]
    failed = False
    for engine in names:
        try:
            print(endure(engine, seconds, options.seed, _show(engine)), flush=True)
        except AssertionError as error:
            failed = True
            print(f"{engine}: failed with --seed {options.seed}: {error}", flush=True)
    return int(failed)


def _show(engine: str) -> Callable[[str], None]:
    return lambda text: print(f"{engine}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
