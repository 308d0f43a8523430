"""A load at a constant rate, independent of how the server copes.

    outcome = drive(("127.0.0.1", 7722), Offered(64, rate=7800, size=1024, seconds=20), key=None)

The loop is open: the time at which a message is due does not depend on earlier messages, so a
server that stalls is charged with the wait of all messages due during the stall (no coordinated
omission).  Each connection has a random phase, because messages sent all at once are a burst,
which flatters event loops.  A server without a key is a sink, which answers nothing; a server
with a key is a chat, whose every delivery is checked.  A rate that the load could not offer is
not reported as offered.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import random
import resource
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from probes.errors import CommandError

from .chat import Address, Load, Result, format_address

_HEADER = struct.Struct("!IId")
"""Sender, number, and the time at which it is due, in seconds of CLOCK_MONOTONIC."""

REACHED, BUSY, LATE = 0.99, 90.0, 0.05
"""The rate that counts as reached; the load's own limits: percent of a core, p99 delay in s."""

Moment = Callable[[float], None]


@dataclass(frozen=True)
class Offered:
    """The load to offer."""

    connections: int
    rate: float
    """Messages per second, all connections together."""
    size: int
    """Bytes per message."""
    seconds: float
    warmup: float = 0.0
    """Seconds of the same load beforehand, which do not count."""

    @property
    def mbps(self) -> float:
        """The rate of all connections together, in megabits per second."""
        return self.rate * self.size * 8 / 1e6


@dataclass(frozen=True)
class LoadResult:
    """The result of a load.  A sink leaves some fields None; latencies count from the due time."""

    seconds: float
    offered_mbps: float
    achieved_mbps: float
    """The rate that the server read; if that is unknown (`_unread`), that the kernel accepted."""
    bytes: int
    messages: int
    deliveries: int | None
    stalls: int
    """Number of times that a connection did not accept a message at once."""
    lost: int | None
    torn: int | None
    duplicated: int | None
    disordered: int | None
    """Number of clients whose order differed from that of most clients."""
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    load_cpu_percent: float
    """CPU that the load itself used, in percent of a core."""
    late_ms: float | None
    """How late the load itself sent its messages (p99)."""
    refused: str = ""
    """Why the result is not a measurement; empty if it is one."""

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return asdict(self)


def drive(
    address: Address,
    offered: Offered,
    *,
    key: bytes | None,
    started: Moment = lambda at: None,
    ended: Moment = lambda at: None,
    seed: int | None = None,
) -> LoadResult:
    """Offer the load; call ``started`` and ``ended`` when the part that counts begins and ends.

    The connections are open until ``ended`` has returned.  Raises CommandError where they cannot be
    made.
    """
    _allow_descriptors(offered.connections)
    if key is not None:
        return _drive_chat(address, offered, key, started, ended)
    return _Sink(address, offered, random.Random(seed)).run(started, ended)


def _allow_descriptors(connections: int) -> None:
    wanted = connections + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise CommandError(
            f"{connections} connections need {wanted} descriptors, the limit is {hard}"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_SIOCOUTQNSD = 0x894B
"""linux/sockios.h."""
_GRACE = 1.0
"""Seconds by which the schedule may end late; a load that is later gives up."""


def _explain_connection(address: Address, number: int, error: OSError) -> CommandError:
    why = error.strerror or error
    return CommandError(
        f"{format_address(address)}: connection {number + 1}: {why}; is the server running?", 3
    )


class _Connection:
    """One connection, and the bytes that it has not accepted yet."""

    def __init__(self, number: int, address: Address, size: int) -> None:
        try:
            self.socket = socket.create_connection(address, timeout=30)
        except OSError as error:
            raise _explain_connection(address, number, error) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.number = number
        self.server = format_address(address)
        self.sent = 0
        self.message = bytearray(_HEADER.size) + b"x" * (size - _HEADER.size - 1) + b"\n"
        self.waiting = bytearray()

    def send(self, due: float) -> int:
        """Send the next message; return how many bytes the kernel took, also of those before."""
        _HEADER.pack_into(self.message, 0, self.number, self.sent, due)
        self.sent += 1
        if self.waiting:
            self.waiting += self.message
            return 0
        taken = self._take(self.message)
        self.waiting += self.message[taken:]
        return taken

    def flush(self) -> int:
        """Send what is waiting; return how many bytes the kernel took."""
        taken = self._take(self.waiting)
        del self.waiting[:taken]
        return taken

    def _take(self, data: bytearray) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise CommandError(
                f"{self.server}: the server let a connection go: {error.strerror}", 1
            ) from None


class _Sink:
    """The connections to a sink, and what was sent on them."""

    def __init__(self, address: Address, offered: Offered, drawn: random.Random) -> None:
        if offered.size <= _HEADER.size:
            raise CommandError(f"a message has more than {_HEADER.size} bytes, its own header")
        self.offered = offered
        self.port = address[1:2]
        self.gap = offered.connections / offered.rate
        self.connections: list[_Connection] = []
        try:
            for number in range(offered.connections):
                self.connections.append(_Connection(number, address, offered.size))
        except BaseException:
            self.close()
            raise
        phases = [drawn.random() * self.gap for _ in self.connections]
        # At one rate for all, their order within a gap never changes.
        self.turns = sorted(zip(phases, self.connections, strict=True), key=lambda turn: turn[0])
        self.selector = selectors.DefaultSelector()
        self.blocked = 0
        self.bytes = self.stalls = 0

    def close(self) -> None:
        for each in self.connections:
            each.socket.close()

    def run(self, started: Moment, ended: Moment) -> LoadResult:
        """Warm up, then run the part that counts."""
        try:
            begin = time.monotonic() + 0.01
            rounds = math.ceil(self.offered.warmup / self.gap)
            self._rounds(begin, 0, rounds)
            first = self._wait_until(begin + rounds * self.gap)
            bytes_before, stalls_before = self.bytes, self.stalls
            started(first)
            cpu = time.process_time()
            count = max(1, round(self.offered.seconds / self.gap))
            late = self._rounds(begin, rounds, rounds + count)
            # The last gap ends when the next one would begin.
            self._wait_until(begin + (rounds + count) * self.gap)
            cpu, last = time.process_time() - cpu, time.monotonic()
            taken = max(0, self.bytes - bytes_before - self._unread())
            stalls = self.stalls - stalls_before
            ended(last)
        finally:
            self.close()
            self.selector.close()
        return self._outcome(last - first, count * len(self.turns), taken, stalls, cpu, late)

    def _rounds(self, begin: float, first: int, last: int) -> list[float]:
        """Send every connection's message of each gap when it is due; return how late each was."""
        late: list[float] = []
        now = time.monotonic()
        end = begin + last * self.gap + _GRACE
        for number in range(first, last):
            if late and now > end:
                # The rest would be sent long after its time, and not at the rate.
                break
            base = begin + number * self.gap
            for phase, connection in self.turns:
                due = base + phase
                now = self._wait_until(due) if due > now else time.monotonic()
                late.append(now - due)
                had = bool(connection.waiting)
                self.bytes += connection.send(due)
                if connection.waiting and not had:
                    self.stalls += 1
                    self.blocked += 1
                    self.selector.register(connection.socket, selectors.EVENT_WRITE, connection)
            now = time.monotonic()
            if self.blocked:
                self._flush(0)
        return late

    def _unread(self) -> int:
        """Return the number of bytes that the kernel accepted and the server has not read.

        What is not sent yet, as the server's window is full (tcp(7), SIOCOUTQNSD), and what
        waits at a server on this machine (/proc/net/tcp).  0 where neither is told.
        """
        try:
            unsent = sum(
                int.from_bytes(fcntl.ioctl(each.socket, _SIOCOUTQNSD, bytes(4)), sys.byteorder)
                for each in self.connections
            )
        except OSError:
            return 0
        ours = {tuple(each.socket.getsockname()[1:2]) + self.port for each in self.connections}
        for path in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                for local, far, _, queues in (line.split()[1:5] for line in [*file][1:]):
                    ports = tuple(int(end.rpartition(":")[2], 16) for end in (far, local))
                    if ports in ours:
                        unsent += int(queues.rpartition(":")[2], 16)
        return unsent

    def _wait_until(self, due: float) -> float:
        while (left := due - time.monotonic()) > 0:
            if self.blocked:
                self._flush(left)
            else:
                time.sleep(left)
        return time.monotonic()

    def _flush(self, seconds: float) -> None:
        for chosen, _ in self.selector.select(seconds):
            connection: _Connection = chosen.data
            self.bytes += connection.flush()
            if not connection.waiting:
                self.blocked -= 1
                self.selector.unregister(connection.socket)

    def _outcome(
        self, seconds: float, messages: int, taken: int, stalls: int, cpu: float, late: list[float]
    ) -> LoadResult:
        late.sort()
        lateness = late[int(0.99 * (len(late) - 1))]
        achieved = taken * 8 / 1e6 / seconds
        busy = 100 * cpu / seconds
        return LoadResult(
            seconds=seconds, offered_mbps=self.offered.mbps, achieved_mbps=achieved, bytes=taken,
            messages=messages, deliveries=None, stalls=stalls, lost=None, torn=None,
            duplicated=None, disordered=None, p50_ms=None, p99_ms=None, p999_ms=None, max_ms=None,
            load_cpu_percent=busy, late_ms=1000 * lateness,
            refused=_find_refusal(achieved / self.offered.mbps, busy, lateness),
        )  # fmt: skip


def _find_refusal(reached: float, busy: float, lateness: float) -> str:
    """Return why the result is not a measurement; the load's own faults come first."""
    if busy > BUSY:
        return f"the load was the bottleneck: it used {busy:.0f} % of a core; offer less"
    if lateness > LATE:
        return f"the load was the bottleneck: {1000 * lateness:.0f} ms behind its schedule (p99)"
    if reached < REACHED:
        return f"{100 * reached:.1f} % of the offered rate was reached; the server takes no more"
    return ""


_BEHIND = 0.25
"""Seconds by which the last delivery may come after the time in which messages were due."""


def _drive_chat(
    address: Address, offered: Offered, key: bytes, started: Moment, ended: Moment
) -> LoadResult:
    """Send each message to every client; the first exchange is the warm-up."""
    over = first = 0.0

    def done() -> None:
        nonlocal over
        over = time.monotonic()
        ended(over)

    with Load(address, key) as load:
        try:
            load.join(offered.connections)
        except OSError as error:
            raise _explain_connection(address, len(load.members), error) from None

        def exchange(seconds: float, then: Callable[[], None]) -> Result:
            each = max(1, math.ceil(offered.rate * seconds / offered.connections))
            return load.exchange(
                each, size=offered.size, rate=offered.rate, seconds=seconds, done=then
            )

        if offered.warmup:
            exchange(offered.warmup, lambda: None)
        first = time.monotonic()
        started(first)
        result = exchange(offered.seconds, done)
    reached = offered.seconds / max(offered.seconds, over - first - _BEHIND)
    busy = 100 * result.driver_cpu / result.seconds
    return LoadResult(
        seconds=over - first, offered_mbps=offered.mbps, achieved_mbps=offered.mbps * reached,
        bytes=result.sent * offered.size, messages=result.sent, deliveries=result.delivered,
        stalls=result.stalls, lost=result.lost, torn=result.torn,
        duplicated=result.duplicated, disordered=result.disordered, p50_ms=result.p50,
        p99_ms=result.p99, p999_ms=result.p999, max_ms=result.max,
        load_cpu_percent=busy, late_ms=result.late,
        refused=_find_refusal(reached, busy, result.late / 1000),
    )  # fmt: skip
