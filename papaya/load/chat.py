"""Load a chat with many clients from one process, and check every delivery.

    result = run(("127.0.0.1", 7722), key, clients=64, messages=50)
    result.lost, result.p99

The load is open: each message is due at a fixed moment, even if earlier ones are late, and its
latency counts from that moment.  During the load the driver only records what arrives and when; it
checks afterwards.
"""

from __future__ import annotations

import math
import random
import secrets
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from probes.errors import CommandError

from ..protocol import END

Address = tuple[str, int]


def format_address(address: Address) -> str:
    """Return ``HOST:PORT`` as it is typed."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class Result:
    """The result of a load.  Latencies are in milliseconds; None if nothing was delivered."""

    clients: int
    sent: int
    owed: int
    delivered: int
    lost: int
    torn: int
    duplicated: int
    same_order: bool
    seconds: float
    rate: float
    disordered: int
    """Number of clients whose order differs from that of most clients."""
    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None
    late: float
    """How late the driver itself sent its messages, p99 in milliseconds; 0 without a rate."""
    stalls: int
    """Number of times that a socket did not accept a message at once."""
    driver_cpu: float
    """Seconds of CPU that the driver itself used."""

    @property
    def perfect(self) -> bool:
        """Whether every delivery arrived, whole, once, and in the same order for all clients."""
        return self.same_order and not (self.lost or self.torn or self.duplicated)

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return {**asdict(self), "perfect": self.perfect}


@dataclass(eq=False)
class Member:
    """One client of the load."""

    name: bytes
    socket: socket.socket
    chunks: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    unsent: bytes = b""
    tail: bytes = b""
    counts: bool = False
    """Whether every message must be delivered to this client."""
    closed: bool = False
    reads: bool = True

    def lines(self) -> list[bytes]:
        """Return the complete lines that were received."""
        # A server that is compatible with papayaChat ends what it sends at once with a NUL.
        return b"".join(self.chunks).replace(b"\n" + END, b"\n").split(b"\n")[:-1]


class Load:
    """Connect clients, and send and receive for all of them."""

    def __init__(self, address: Address, key: bytes) -> None:
        self.address = address
        self.key = key
        self.run = secrets.token_hex(3).encode()
        self.members: list[Member] = []
        self.selector = selectors.DefaultSelector()
        self.mark = b""
        """The text that all counted lines have in common."""
        self.arrived = 0
        self.stalls = 0

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exception: object) -> None:
        for member in self.members:
            member.socket.close()
        self.selector.close()

    def join(self, count: int, timeout: float = 30, at_once: int = 16) -> list[Member]:
        """Connect that many clients, and wait until each has received a line of its own.

        At most ``at_once`` are connecting at a time, because a server drops clients that have not
        sent a key if there are too many of them.
        """
        joined: list[Member] = []
        waiting: list[Member] = []
        until = time.monotonic() + timeout
        while len(joined) < count or waiting:
            if len(joined) < count and len(waiting) < at_once:
                member = self.connect(timeout)
                joined.append(member)
                waiting.append(member)
                continue
            self.step(until - time.monotonic())
            waiting = [member for member in waiting if not self._is_in(member)]
            if any(m.closed for m in waiting) or time.monotonic() > until:
                raise CommandError(
                    f"{format_address(self.address)}: a client was refused, or its line did not "
                    "come back; is this the server's key?",
                    1,
                )
        return joined

    def connect(self, timeout: float) -> Member:
        """Connect a client that says hello with its key, and do not wait until it is let in."""
        connected = socket.create_connection(self.address, timeout=timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = b"%s-%d" % (self.run, len(self.members))
        member = Member(name, connected)
        connected.sendall(self.key + b"%s: hello\n" % name)
        connected.setblocking(False)
        self.members.append(member)
        self.selector.register(connected, selectors.EVENT_READ, member)
        return member

    @staticmethod
    def _is_in(member: Member) -> bool:
        return b" %s: hello\n" % member.name in b"".join(member.chunks)

    def say(self, member: Member, data: bytes) -> None:
        """Send as much as the socket accepts."""
        if member.unsent:
            member.unsent += data
            return
        self._push(member, data)

    def _push(self, member: Member, data: bytes) -> None:
        try:
            taken = member.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._close(member)
            return
        rest = data[taken:]
        self.stalls += bool(rest) and not member.unsent
        if bool(rest) != bool(member.unsent):
            self._watch(member, bool(rest))
        member.unsent = rest

    def _watch(self, member: Member, writing: bool) -> None:
        events = (selectors.EVENT_READ if member.reads else 0) | (
            selectors.EVENT_WRITE if writing else 0
        )
        if events:
            self.selector.modify(member.socket, events, member)

    def _close(self, member: Member) -> None:
        if not member.closed:
            member.closed = True
            if member.reads:
                self.selector.unregister(member.socket)

    def step(self, seconds: float) -> None:
        """Receive for at most ``seconds``."""
        for key, events in self.selector.select(max(0.0, seconds)):
            member: Member = key.data
            if events & selectors.EVENT_WRITE:
                data, member.unsent = member.unsent, b""
                self._push(member, data)
                if not member.unsent and not member.closed:
                    self._watch(member, False)
            if events & selectors.EVENT_READ and not member.closed:
                self._take(member)

    def _take(self, member: Member) -> None:
        try:
            data = member.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(member)
            return
        member.chunks.append(data)
        member.times.append(time.monotonic())
        # A mark may arrive in two parts; the rest that is kept is too short for a whole mark.
        if member.counts:
            self.arrived += (member.tail + data).count(self.mark)
            member.tail = (member.tail + data[-len(self.mark) :])[1 - len(self.mark) :]

    def leave(self, member: Member) -> None:
        """Close the connection of a client."""
        self._close(member)
        member.socket.close()

    def stop_reading(self, member: Member) -> None:
        """Keep a client connected, but stop reading from it."""
        member.reads = False
        self.selector.unregister(member.socket)

    def exchange(
        self,
        messages: int,
        *,
        size: int = 64,
        rate: float | None = None,
        seconds: float = math.inf,
        timeout: float = 60,
        senders: list[Member] | None = None,
        after_each: Callable[[int], None] = lambda sent: None,
        done: Callable[[], None] = lambda: None,
    ) -> Result:
        """Send ``messages`` lines of ``size`` bytes (at least 30) from each client, and check them.

        ``rate`` is in messages per second of all clients together; without it all lines are sent at
        once.  Lines that would be due after ``seconds`` are left out.  ``after_each`` is called
        after each line with the number of lines sent so far.  ``done`` is called before the check,
        when every client has the last line or the wait for it has timed out.
        """
        senders = senders or [m for m in self.members if m.reads and not m.closed]
        witnesses = [m for m in self.members if m.reads and not m.closed]
        before = {id(m): len(m.chunks) for m in witnesses}
        # At the end of the line: when the mark has arrived, the whole line has.
        self.mark = mark = b" %s\n" % secrets.token_hex(4).encode()
        for member in self.members:
            member.tail, member.counts = b"", member in witnesses
        due: dict[bytes, float] = {}
        late: list[float] = []
        stalls = self.stalls
        plan = self._plan(messages, senders, rate, seconds)
        cpu, started = time.process_time(), time.monotonic()
        owed = self.arrived + len(plan) * len(witnesses)
        for number, (offset, member, sequence) in enumerate(plan, 1):
            at = started + offset
            while (left := at - time.monotonic()) > 0:
                self.step(left)
            line = (b"%s: %d " % (member.name, sequence)).ljust(size - len(mark), b"x") + mark
            now = time.monotonic()
            due[line[:-1]] = at if rate else now
            late.append(now - at if rate else 0.0)
            self.say(member, line)
            if not rate and number % 32 == 0:
                self.step(0)
            after_each(number)
        until = time.monotonic() + timeout
        self._await(owed, until)
        done()
        while True:
            spent, used = time.monotonic() - started, time.process_time() - cpu
            result = self._judge_run(
                witnesses, before, due, mark, seconds=spent, rate=len(due) / spent,
                late=1000 * _find_percentile(sorted(late), 0.99), stalls=self.stalls - stalls,
                driver_cpu=used,
            )  # fmt: skip
            # A duplicate was counted in place of a line that has not arrived yet.
            if not (result.lost and result.duplicated) or self.arrived < owed:
                return result
            owed = self.arrived + 1
            self._await(owed, until)

    def _await(self, owed: int, until: float) -> None:
        """Receive until ``count`` lines have arrived."""
        while self.arrived < owed and time.monotonic() < until:
            if all(m.closed or not m.reads for m in self.members):
                break
            self.step(min(1.0, until - time.monotonic()))

    def _plan(
        self, messages: int, senders: list[Member], rate: float | None, seconds: float
    ) -> list[tuple[float, Member, int]]:
        """Return when each message is due, in seconds after the start, in ascending order."""
        if rate is None:
            return [(0.0, m, n) for n in range(messages) for m in senders]
        gap = len(senders) / rate
        # Each client has its own phase, because regular bursts would favour an event loop.
        plan = [
            (phase + gap * n, number, m, n)
            for number, m in enumerate(senders)
            for phase in [random.random() * gap]
            for n in range(messages)
            if phase + gap * n < seconds
        ]
        return [(at, m, n) for at, _, m, n in sorted(plan, key=lambda entry: entry[:2])]

    def _judge_run(
        self,
        witnesses: list[Member],
        before: dict[int, int],
        due: dict[bytes, float],
        mark: bytes,
        **told: Any,
    ) -> Result:
        latencies: list[float] = []
        delivered = torn = duplicated = 0
        orders: Counter[int] = Counter()
        for member in witnesses:
            order = []
            rest = b""
            for data, at in zip(
                member.chunks[before[id(member)] :], member.times[before[id(member)] :], strict=True
            ):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    if not line.endswith(mark[:-1]):
                        torn += not _is_line(line.lstrip(END), self.run)
                        continue
                    _, _, text = line.partition(b" ")
                    sent = due.get(text)
                    if sent is None:
                        torn += 1
                    else:
                        latencies.append(at - sent)
                        order.append(text)
            torn += bool(rest.strip(END))
            counts = Counter(order)
            duplicated += len(order) - len(counts)
            delivered += len(counts)
            if not member.closed:
                orders[hash(tuple(order))] += 1
        owed = len(due) * len(witnesses)
        disordered = orders.total() - max(orders.values(), default=0)
        latencies.sort()
        shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
        percentiles: dict[str, Any] = {
            name: 1000 * _find_percentile(latencies, share) if latencies else None
            for name, share in shares.items()
        }
        return Result(
            clients=len(witnesses), sent=len(due), owed=owed, delivered=delivered,
            lost=owed - delivered, torn=torn, duplicated=duplicated,
            same_order=len(orders) == 1, disordered=disordered, **percentiles, **told,
        )  # fmt: skip


def _find_percentile(values: list[float], share: float) -> float:
    """Return a percentile of sorted values; 0 if there are none."""
    return values[int(share * (len(values) - 1))] if values else 0.0


def _is_line(line: bytes, run: bytes) -> bool:
    """Return whether a line may be another client's (a time and a text), or a notice."""
    return line.startswith(b"* ") or (line[10:11] == b"T" and line[19:21] == b"Z ")


def run(
    address: Address,
    key: bytes,
    *,
    clients: int = 64,
    messages: int = 50,
    size: int = 64,
    rate: float | None = None,
    timeout: float = 60,
) -> Result:
    """Connect the clients, exchange lines, and disconnect."""
    with Load(address, key) as load:
        load.join(clients)
        return load.exchange(messages, size=size, rate=rate, timeout=timeout)
