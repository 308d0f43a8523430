"""Waiting for descriptors by select(), poll(), epoll and kqueue: what each reports, and when."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Callable

from .. import absent, lens, libc, refusals
from ..harness import blocking, children, privileges, sockets
from ..harness.blocking import Blocking
from ..probe import Blocked, Documented, Sample, Unsupported, probe
from .sockets import STRAGGLING

_here: Any = select  # mypy does not know that its names differ between systems.


class _Poller:
    """An epoll or a kqueue.  Events are named as those of poll(2) are."""

    name: str

    def add(self, descriptor: int, event: str = "IN", *flags: str) -> None:
        """Register ``IN`` or ``OUT``, with flags ``EDGE``, ``ONESHOT``, ``EXCLUSIVE``."""
        raise NotImplementedError

    def remove(self, descriptor: int) -> None:
        """Remove a descriptor that was registered for input."""
        raise NotImplementedError

    def wait(self, seconds: float = 0) -> list[str]:
        """Return the events, of any descriptor, that are reported within this time."""
        raise NotImplementedError

    def inherit(self) -> None:
        """Prepare to be used in a child."""

    def close(self) -> None:
        raise NotImplementedError


class _Epoll(_Poller):
    name = "epoll"

    def __init__(self) -> None:
        self.epoll = _here.epoll()

    def add(self, descriptor: int, event: str = "IN", *flags: str) -> None:
        names = {"EDGE": "EPOLLET"}
        asked = (names.get(flag, f"EPOLL{flag}") for flag in (event, *flags))
        self.epoll.register(descriptor, sum(absent.get_constant(_here, name) for name in asked))

    def remove(self, descriptor: int) -> None:
        self.epoll.unregister(descriptor)

    def wait(self, seconds: float = 0) -> list[str]:
        names = ("IN", "PRI", "OUT", "ERR", "HUP")
        found = self.epoll.poll(seconds)
        return [n for n in names if any(bits & getattr(_here, f"EPOLL{n}") for _, bits in found)]

    def close(self) -> None:
        self.epoll.close()


class _Kqueue(_Poller):
    name = "kqueue"

    def __init__(self) -> None:
        self.queue = _here.kqueue()
        self.number = self.queue.fileno()

    def add(self, descriptor: int, event: str = "IN", *flags: str) -> None:
        if "EXCLUSIVE" in flags:
            raise Unsupported("kqueue has nothing like EPOLLEXCLUSIVE")
        bits = {"EDGE": _here.KQ_EV_CLEAR, "ONESHOT": _here.KQ_EV_ONESHOT}
        filters = {"IN": _here.KQ_FILTER_READ, "OUT": _here.KQ_FILTER_WRITE}
        asked = _here.KQ_EV_ADD | sum(bits[flag] for flag in flags)
        self.queue.control([_here.kevent(descriptor, filters[event], asked)], 0)

    def remove(self, descriptor: int) -> None:
        change = _here.kevent(descriptor, _here.KQ_FILTER_READ, _here.KQ_EV_DELETE)
        self.queue.control([change], 0)

    def wait(self, seconds: float = 0) -> list[str]:
        found = self.queue.control(None, 8, seconds if seconds >= 0 else None)
        names = {
            "IN": any(event.filter == _here.KQ_FILTER_READ for event in found),
            "OUT": any(event.filter == _here.KQ_FILTER_WRITE for event in found),
            "HUP": any(event.flags & _here.KQ_EV_EOF for event in found),
        }
        return [name for name, is_there in names.items() if is_there]

    def inherit(self) -> None:
        # Python 3.12 forgets the number in a child; older ones close it with the object.
        self.old, self.queue = self.queue, _here.kqueue.fromfd(self.number)

    def close(self) -> None:
        self.queue.close()


_KINDS: dict[str, type[_Poller]] = {"epoll": _Epoll, "kqueue": _Kqueue}


def _find_pollers() -> list[type[_Poller]]:
    """Return the kinds of poller that report a byte in a pipe.

    Raises OSError if one exists and is refused, as by a sandbox: then no later error of it would
    be the platform's answer.
    """
    return [kind for name, kind in _KINDS.items() if hasattr(_here, name) and _works(kind)]


def _works(kind: type[_Poller]) -> bool:
    try:
        made = kind()
    except OSError as error:
        if isinstance(refusals.explain(error), Unsupported):
            return False
        raise
    with _make_pipe() as (reading, writing), contextlib.closing(made) as poller:
        os.write(writing, b"x")
        poller.add(reading)
        return poller.wait() == ["IN"]


@contextlib.contextmanager
def _open_poller() -> Iterator[_Poller]:
    """Yield an epoll or a kqueue; raise Unsupported if the system has neither."""
    kinds = _find_pollers()
    if not kinds:
        raise Unsupported(f"{libc.SYSTEM} has neither epoll nor kqueue")
    with contextlib.closing(kinds[0]()) as poller:
        yield poller


@contextlib.contextmanager
def _close_at_end(*descriptors: int) -> Iterator[Any]:
    """Yield the descriptors; at the end close those that are still open."""
    try:
        yield descriptors[0] if len(descriptors) == 1 else descriptors
    finally:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _make_pipe() -> AbstractContextManager[Any]:
    return _close_at_end(*os.pipe())


def _join(events: list[str]) -> str:
    return "|".join(events) or "nothing"


def _ask_poll(descriptor: int) -> str:
    return _join(blocking.poll(descriptor, "IN", "OUT", milliseconds=0))


def _ask_select(descriptor: int) -> str:
    try:
        readable, writable, _ = select.select([descriptor], [descriptor], [], 0)
    except OSError as error:
        return libc.name_error(error, "select")
    return _join(["IN"] * bool(readable) + ["OUT"] * bool(writable))


def _ask_poller(descriptor: int) -> str:
    with _open_poller() as poller:
        try:
            poller.add(descriptor)
        except OSError as error:
            # Not a refusal of epoll_ctl() or kevent(): a pipe was registered just now.
            return libc.name_errno(error.errno)
        return _join(poller.wait())


_ASK = {
    "poll": ("poll()", _ask_poll),
    "select": ("select()", _ask_select),
    "poller": ("epoll or kqueue", _ask_poller),
}


@dataclass(frozen=True)
class _Row:
    """A question to one interface about a descriptor in some state."""

    interface: str
    state: str
    open: Callable[[], AbstractContextManager[int]]
    documented: Documented

    def __str__(self) -> str:
        return f"{_ASK[self.interface][0]} report for {self.state}"

    def ask(self) -> str:
        with self.open() as descriptor:
            return _ASK[self.interface][1](descriptor)


def _make_rows(
    name: str,
    state: str,
    open: Callable[[], AbstractContextManager[int]],
    **documented: Documented,
) -> dict[str, _Row]:
    """Return a row for each interface that is named, with what is documented of it."""
    return {
        f"{interface}_{name}": _Row(interface, state, open, promises)
        for interface, promises in documented.items()
    }


@contextlib.contextmanager
def _open_once(name: str, flags: int) -> Iterator[int]:
    """Open a file and remove its name, because other probes work in this folder too."""
    try:
        descriptor = os.open(name, flags)
    finally:
        os.unlink(name)
    with _close_at_end(descriptor):
        yield descriptor


@contextlib.contextmanager
def _open_regular_file() -> Iterator[int]:
    with open("regular", "wb") as file:
        file.write(b"data")
    with _open_once("regular", os.O_RDWR) as descriptor:
        yield descriptor


@contextlib.contextmanager
def _open_terminal() -> Iterator[int]:
    with _close_at_end(*privileges.open_pty()) as (_, terminal):
        yield terminal


@contextlib.contextmanager
def _open_dev_null() -> Iterator[int]:
    with open(os.devnull, "r+b", buffering=0) as device:
        yield device.fileno()


@probe(
    each={
        **_make_rows(
            "regular_file",
            "a regular file",
            _open_regular_file,
            poll={"posix": "IN|OUT"},
            select={"posix": "IN|OUT"},
            # kqueue(2): EVFILT_READ of a vnode, not at the end of the file.
            poller={"linux": "EPERM", "freebsd": "IN"},
        ),
        **_make_rows("terminal", "an idle terminal", _open_terminal, poll={}, select={}, poller={}),
        **_make_rows("dev_null", "/dev/null", _open_dev_null, select={}, poller={}),
    },
    matters="A daemon whose standard input is a file or /dev/null fails at start, or spins.",
    advice="On EPERM or POLLNVAL take the descriptor as always ready; read it without waiting.",
    symptoms=[
        "epoll_ctl: EPERM, Operation not permitted, when standard input is a file: prog < file",
        "Epoll ADD failed: Operation not permitted, with output to /dev/null or a file",
        "macOS: poll() of a terminal, tty, has POLLNVAL in revents, kevent EINVAL: no input,"
        " busy loop",
    ],
    reference="POSIX XSH poll(), select(); epoll_ctl(2) Linux: EPERM; kqueue(2) FreeBSD; "
    "poll(2) BUGS macOS",
    documented=lambda row: row.documented,
    light=True,
)
def of_file(row: _Row) -> str:
    """What does {row}?"""
    return row.ask()


@contextlib.contextmanager
def _get_closed() -> Iterator[int]:
    # The lowest closed number is the next that is opened, so one that is not among the lowest.
    lower, made = os.pipe(), os.pipe()
    for descriptor in (*lower, *made):
        os.close(descriptor)
    yield max(made)


@probe(
    each={
        **_make_rows(
            "closed_descriptor",
            "a closed descriptor",
            _get_closed,
            poll=dict.fromkeys(("posix", "linux", "freebsd", "netbsd", "openbsd", "macos"), "NVAL"),
            select=dict.fromkeys(("posix", "freebsd", "netbsd", "openbsd"), "EBADF"),
            poller={"linux": "EBADF", "freebsd": "EBADF"},
        ),
        **_make_rows(
            "negative_descriptor",
            "descriptor -1",
            lambda: contextlib.nullcontext(-1),
            poll=dict.fromkeys(("posix", "linux", "freebsd", "netbsd"), "nothing"),
        ),
    },
    matters="An event loop spins at full speed on a descriptor that was closed behind its back.",
    advice="Drop a descriptor on POLLNVAL or EBADF, and remove it from the loop before close().",
    symptoms=[
        "event loop spins at 100 % CPU on POLLNVAL",
        "select: EBADF, Bad file descriptor, after a library closed it",
    ],
    reference="POSIX XSH poll(): POLLNVAL; select(2); epoll_ctl(2) Linux; kqueue(2) FreeBSD",
    documented=lambda row: row.documented,
    light=True,
)
def of_bad_descriptor(row: _Row) -> str:
    """What does {row}?"""
    return row.ask()


@contextlib.contextmanager
def _open_unwritten_fifo() -> Iterator[int]:
    try:
        os.mkfifo("unwritten")
    except PermissionError:
        raise Blocked("the scratch file system has no FIFOs: set TMPDIR to another") from None
    with _open_once("unwritten", os.O_RDONLY | os.O_NONBLOCK) as descriptor:
        yield descriptor


@contextlib.contextmanager
def _close_writer(unread: bytes = b"") -> Iterator[int]:
    with _make_pipe() as (reading, writing):
        os.write(writing, unread)
        os.close(writing)
        yield reading


@contextlib.contextmanager
def _close_reader() -> Iterator[int]:
    with _make_pipe() as (reading, writing):
        os.close(reading)
        yield writing


@probe(
    each={
        **_make_rows(
            "unwritten_fifo",
            "a FIFO that no process has opened for writing",
            _open_unwritten_fifo,
            poll={},
            select={},
            poller={},
        ),
        **_make_rows(
            "ended_pipe", "an empty pipe whose writer closed", _close_writer, select={}, poller={}
        ),
        **_make_rows(
            "unread_pipe",
            "a pipe with unread data whose writer closed",
            lambda: _close_writer(b"unread"),
            poll={},
            poller={},
        ),
        **_make_rows("readerless_pipe", "a pipe whose reader closed", _close_reader, poll={}),
    },
    matters="A loop that takes POLLHUP for the end loses the last data; one that ignores it spins.",
    advice="Read on POLLIN and POLLHUP until read() returns 0; keep a FIFO open for writing too.",
    symptoms=[
        "FIFO, named pipe: 100 % CPU on POLLHUP as soon as the last writer has exited",
        "last lines of a child's output are lost on POLLHUP",
        "POLLHUP though data are unread",
    ],
    reference="POSIX XSH poll(): POLLHUP; poll(2) Linux; kqueue(2) FreeBSD: EV_EOF",
    documented=lambda row: row.documented,
    light=True,
)
def of_pipe(row: _Row) -> str:
    """What does {row}?"""
    return row.ask()


def _settle(descriptor: int, *events: str) -> None:
    """Wait for events that a network stack with its own threads, as gVisor's, may report late."""
    if STRAGGLING:
        blocking.poll(descriptor, *events, milliseconds=int(1000 * STRAGGLING))


@contextlib.contextmanager
def _half_close_tcp() -> Iterator[int]:
    with sockets.fence_loopback() as fence, sockets.connect_pair() as (peer, ours):
        peer.shutdown(socket.SHUT_WR)
        fence()
        _settle(ours.fileno(), "IN")
        yield ours.fileno()


@contextlib.contextmanager
def _reset_tcp() -> Iterator[int]:
    with sockets.fence_loopback() as fence, sockets.connect_pair() as (peer, ours):
        sockets.reset_on_close(peer)
        peer.close()
        fence()
        _settle(ours.fileno(), "IN")
        yield ours.fileno()


@contextlib.contextmanager
def _shut_down_tcp() -> Iterator[int]:
    with sockets.fence_loopback() as fence, sockets.connect_pair() as (_, ours):
        ours.shutdown(socket.SHUT_RDWR)
        fence()
        yield ours.fileno()


@contextlib.contextmanager
def _open_unconnected_tcp() -> Iterator[int]:
    with socket.socket() as fresh:
        yield fresh.fileno()


@contextlib.contextmanager
def _refuse_tcp() -> Iterator[int]:
    """Yield a non-blocking socket whose connection was refused."""
    sockets.require_loopback()
    with sockets.fence_loopback() as fence, socket.socket() as client, socket.socket() as silent:
        silent.bind((sockets.get_loopback(), 0))  # It does not listen.
        client.setblocking(False)
        error = client.connect_ex(silent.getsockname())
        if error not in (errno.EINPROGRESS, errno.ECONNREFUSED):
            raise Unsupported(f"connect() to a closed port returns {libc.name_errno(error)}")
        fence()
        _settle(client.fileno(), "IN", "OUT")
        yield client.fileno()


@contextlib.contextmanager
def _drain_tcp() -> Iterator[int]:
    """Yield a non-blocking socket whose data was read after select() had reported it."""
    with sockets.connect_pair() as (peer, ours):
        ours.setblocking(False)
        peer.send(b"x")
        select.select([ours], [], [])
        ours.recv(1)
        yield ours.fileno()


@contextlib.contextmanager
def _reset_client() -> Iterator[int]:
    """Yield a listener whose only client, not yet accepted, has reset its connection."""
    with sockets.fence_loopback() as fence, sockets.listen() as listener:
        with socket.socket() as client:
            client.connect(listener.getsockname())
            fence()
            sockets.reset_on_close(client)
        fence()
        yield listener.fileno()


@probe(
    each={
        **_make_rows(
            "unconnected_tcp", "an unconnected TCP socket", _open_unconnected_tcp, poll={}
        ),
        **_make_rows(
            "refused_tcp",
            "a refused TCP connection",
            _refuse_tcp,
            poll={},
            select={"posix": "IN|OUT"},
        ),
        **_make_rows(
            "half_closed_tcp",
            "a TCP socket whose peer shut down writing",
            _half_close_tcp,
            poll={},
            poller={"freebsd": "IN|HUP"},
        ),
        **_make_rows(
            "reset_tcp",
            "a TCP socket whose peer reset the connection",
            _reset_tcp,
            poll={},
            poller={},
        ),
        **_make_rows(
            "shut_down_tcp",
            "a TCP socket after its own shutdown(SHUT_RDWR)",
            _shut_down_tcp,
            poll={},
        ),
        **_make_rows(
            "drained_tcp", "an open TCP socket whose data was read", _drain_tcp, select={}
        ),
        **_make_rows(
            "listener_of_reset", "a listener whose only client reset", _reset_client, select={}
        ),
    },
    matters="A loop written to one system's bits misses the peer's end, or blocks in accept().",
    advice="Decide by what read(), accept() or SO_ERROR returns, on a non-blocking socket.",
    symptoms=[
        "event loop at 100 % CPU on a half-closed connection: EPOLLHUP, EPOLLERR",
        "select() says readable, then accept() hangs",
        "non-blocking connect refused: POLLHUP or POLLERR instead of POLLOUT",
    ],
    reference="POSIX XSH poll(), select(); tcp_poll() in net/ipv4/tcp.c Linux; kqueue(2) FreeBSD",
    documented=lambda row: row.documented,
    light=True,
)
def of_tcp(row: _Row) -> str:
    """What does {row}?"""
    return row.ask()


@contextlib.contextmanager
def _leave_unix(leave: Callable[[socket.socket], Any]) -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        leave(theirs)
        yield ours.fileno()


@probe(
    each={
        **_make_rows(
            "closed_unix",
            "a Unix socket whose peer closed",
            lambda: _leave_unix(socket.socket.close),
            poll={},
        ),
        **_make_rows(
            "half_closed_unix",
            "a Unix socket whose peer shut down writing",
            lambda: _leave_unix(lambda theirs: theirs.shutdown(socket.SHUT_WR)),
            poll={},
        ),
    },
    matters="A helper process that has gone is noticed on one system, and never on another.",
    advice="Read on POLLIN and on POLLHUP; only 0 bytes read is the end.",
    symptoms=[
        "worker that crashed is noticed late or never on its socketpair: POLLHUP",
        "read event keeps triggering, but read returns nothing, after the child process crashes",
    ],
    reference="POSIX XSH poll(); unix_poll() in net/unix/af_unix.c Linux",
    documented=lambda row: row.documented,
    light=True,
)
def of_unix_socket(row: _Row) -> str:
    """What does {row}?"""
    return row.ask()


@probe(
    matters="A server that waits only for input does not learn that a client will send no more.",
    advice="Read until 0 bytes; use POLLRDHUP only where it is reported.",
    symptoms=[
        "POLLRDHUP, EPOLLRDHUP undeclared on macOS",
        "half-closed connection is not noticed: shutdown(SHUT_WR) by the peer",
    ],
    reference="poll(2) Linux: POLLRDHUP",
    documented={"linux": True},
    light=True,
)
def rdhup() -> bool:
    """Does POLLRDHUP report that a TCP peer shut down writing?"""
    asked = absent.get_constant(_here, "POLLRDHUP")
    with _half_close_tcp() as ours:
        entry = lens.pollfd()(ours, asked)
        libc.call("poll", ctypes.byref(entry), 1, 0)
        return bool(entry.revents & asked)


@dataclass(frozen=True)
class _Source:
    """A non-blocking descriptor from which nothing can be read."""

    state: str
    open: Callable[[], AbstractContextManager[int]]
    documented: Documented = field(default_factory=dict)

    def __str__(self) -> str:
        return self.state


@contextlib.contextmanager
def _open_idle_pipe() -> Iterator[int]:
    with _make_pipe() as (reading, _):
        yield reading


@probe(
    each={
        "read_empty_pipe": _Source("an empty pipe", _open_idle_pipe, {"posix": "EAGAIN"}),
        "read_ended_pipe": _Source(
            "an empty pipe whose writer closed", _close_writer, {"posix": "0 bytes"}
        ),
        "read_unwritten_fifo": _Source(
            "a FIFO that no process has opened for writing",
            _open_unwritten_fifo,
            {"posix": "0 bytes"},
        ),
        "read_drained_tcp": _Source(
            "an open TCP socket whose data was read", _drain_tcp, {"posix": "EAGAIN"}
        ),
    },
    matters="A reader that takes 'nothing yet' for the end stops; the other way round it spins.",
    advice="Take 0 bytes as the end and EAGAIN as nothing yet; hold a FIFO open for writing too.",
    symptoms=[
        "read of a FIFO without a writer returns 0: tight loop, busy reader",
        "read: EAGAIN, Resource temporarily unavailable, taken for the end of the pipe",
    ],
    reference="POSIX XSH read(): O_NONBLOCK; pipe(7), fifo(7) Linux",
    documented=lambda source: source.documented,
    light=True,
)
def read_nothing(source: _Source) -> str:
    """What does a non-blocking read() of {row} return?"""
    with source.open() as descriptor:
        os.set_blocking(descriptor, False)
        try:
            count = libc.call("read", descriptor, ctypes.create_string_buffer(8), 8)
        except OSError as error:
            return libc.name_errno(error.errno)
        return f"{count} bytes"


@dataclass(frozen=True)
class _Write:
    size: str
    count: Callable[[int], int]

    def __str__(self) -> str:
        return self.size


@probe(
    each={
        "writable_pipe_byte": _Write("one byte", lambda _: 1),
        "writable_pipe_pipe_buf": _Write(
            "PIPE_BUF bytes", lambda writing: os.fpathconf(writing, "PC_PIPE_BUF")
        ),
    },
    matters="A writer that waits for select() and then gets EAGAIN spins, or drops the message.",
    advice="Keep what was not written, and wait again; write at most PIPE_BUF bytes at once.",
    symptoms=[
        "write to a pipe: EAGAIN, Resource temporarily unavailable, though select says writable",
        "short, partial write to a non-blocking pipe: output is cut",
    ],
    reference="POSIX XSH select(), write(); pipe(7) Linux",
    light=True,
)
def write_when_writable(written: _Write) -> str:
    """What does a non-blocking write() of {row} return once select() says writable?"""
    with _make_pipe() as (reading, writing):
        blocking.fill(writing)
        os.set_blocking(writing, False)
        # So that a kernel that wants room for PIPE_BUF bytes is asked when it has just that.
        while not select.select([], [writing], [], 0)[1]:
            os.read(reading, 128)
        size = written.count(writing)
        try:
            taken = libc.call("write", writing, bytes(size), size)
        except OSError as error:
            return libc.name_errno(error.errno)
        return "all" if taken == size else "partial"


@probe(
    matters="A program written for epoll alone, or for kqueue, does not run on the other systems.",
    advice="Use a library that chooses (libevent, libuv, Python's selectors), or plain poll().",
    symptoms=[
        "epoll.h: No such file or directory, epoll_create1 undeclared on macOS or a BSD",
        "kqueue, struct kevent undeclared on Linux",
    ],
    reference="epoll(7) Linux; kqueue(2) FreeBSD, NetBSD, OpenBSD, macOS",
    documented={
        "linux": "epoll",
        "freebsd": "kqueue",
        "netbsd": "kqueue",
        "openbsd": "kqueue",
        "macos": "kqueue",
    },
    light=True,
)
def interface() -> str:
    """Which event interface works: epoll, kqueue, or none?"""
    return ", ".join(kind.name for kind in _find_pollers()) or "none"


def _make_timerfd() -> AbstractContextManager[int]:
    """Return a timerfd(2) that expires after a millisecond."""
    timer = libc.call("timerfd_create", time.CLOCK_MONOTONIC, 0)
    timespec = lens.timespec()
    period = (timespec.type * 2)(timespec(0), timespec(0.001))  # struct itimerspec
    libc.call("timerfd_settime", timer, 0, period, None)
    return _close_at_end(timer)


def _has_timerfd() -> bool:
    if not libc.has("timerfd_create"):
        return False
    with _make_timerfd() as timer, _open_poller() as poller:
        poller.add(timer)
        return poller.wait(LONG) == ["IN"]


def _has_kqueue_timer() -> bool:
    if not hasattr(_here, "kqueue"):
        return False
    with contextlib.closing(_here.kqueue()) as queue:
        flags = _here.KQ_EV_ADD | _here.KQ_EV_ONESHOT
        timer = _here.kevent(1, _here.KQ_FILTER_TIMER, flags, 0, 1)
        return bool(queue.control([timer], 1, LONG))


LONG = 3600
"""Seconds; longer than any probe waits."""


@probe(
    matters="A loop that keeps its timers in descriptors runs on one kind of system only.",
    advice="Keep timers in the program, and give the next one to the wait as its timeout.",
    symptoms=[
        "timerfd_create undefined, timerfd.h missing on macOS or a BSD",
    ],
    reference="timerfd_create(2) Linux; kqueue(2) FreeBSD: EVFILT_TIMER",
    light=True,
)
def timer_event() -> str:
    """Which kinds of timer can an event loop wait for together with descriptors?"""
    found = []
    for name, works in {"timerfd": _has_timerfd, "EVFILT_TIMER": _has_kqueue_timer}.items():
        with contextlib.suppress(Unsupported):
            found += [name] * works()
    if found:
        return ", ".join(found)
    raise Unsupported(f"{libc.SYSTEM} has neither timerfd nor EVFILT_TIMER")


@probe(
    matters="If an event loop is set up before fork(), workers share it, or have none.",
    advice="Create the epoll or kqueue in each process, after the last fork().",
    symptoms=[
        "kqueue is not inherited by fork(): EBADF, Bad file descriptor, after daemonize",
        "event loop of libevent, libuv, asyncio is broken in a child after fork",
        "daemon hangs in the background, works in the foreground (FreeBSD, macOS)",
    ],
    reference="epoll(7) Linux; kqueue(2) FreeBSD, macOS",
    documented={"freebsd": "EBADF"},
    light=True,
)
def in_child() -> str:
    """What does waiting on the parent's epoll or kqueue return in a child?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        poller.add(reading)
        os.write(writing, b"x")

        def child() -> str:
            poller.inherit()
            try:
                return _join(poller.wait())
            except OSError as error:
                return libc.name_errno(error.errno)

        return str(children.run_in_child(child))


@probe(
    matters="A worker that cleans up after fork() makes its parent deaf.",
    advice="In a child close the inherited epoll; remove nothing from it.",
    symptoms=[
        "parent gets no more events after a forked child closed or cleaned its event loop",
        "epoll instance shared between processes: EPOLL_CTL_DEL in a child",
    ],
    reference="epoll(7) Linux: an epoll instance is shared by the copies of its descriptor",
    light=True,
)
def child_removes_for_parent() -> bool:
    """Does removing a descriptor from an inherited epoll in a child end the parent's events?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        poller.add(reading)
        os.write(writing, b"x")

        def child() -> bool:
            poller.inherit()
            try:
                poller.remove(reading)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                raise Unsupported(f"a child does not inherit a {poller.name}") from None
            return True

        children.run_in_child(child)
        return poller.wait() == []


@probe(
    matters="Events of a closed descriptor go on, and the loop cannot remove it any more.",
    advice="Remove a descriptor from the epoll or kqueue before you close it.",
    symptoms=[
        "epoll reports events for a closed fd; EPOLL_CTL_DEL fails: EBADF, ENOENT",
        "busy loop: event for an unknown or stale fd after close(), dup or fork",
    ],
    reference="epoll(7) Linux: Questions and answers; kqueue(2) FreeBSD",
    documented={"linux": True, "freebsd": False},
    light=True,
)
def dup_keeps_registration() -> bool:
    """Does a closed descriptor still give events while a duplicate of it is open?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        poller.add(reading)
        with _close_at_end(os.dup(reading)):
            os.close(reading)
            os.write(writing, b"x")
            return poller.wait() == ["IN"]


def _try_add(poller: _Poller, descriptor: int) -> str:
    try:
        poller.add(descriptor)
    except OSError as error:
        return libc.name_errno(error.errno)
    return "ok"


@probe(
    matters="Code that registers a descriptor for a second event fails on one system only.",
    advice="Keep track of what is registered; with epoll change it by EPOLL_CTL_MOD.",
    symptoms=[
        "epoll_ctl EPOLL_CTL_ADD: EEXIST, File exists",
        "descriptor is already registered, though kqueue takes it again",
    ],
    reference="epoll_ctl(2) Linux: EEXIST; kqueue(2) FreeBSD: EV_ADD",
    documented={"linux": "EEXIST", "freebsd": "ok"},
    light=True,
)
def add_twice() -> str:
    """What does registering a descriptor a second time return?"""
    with _make_pipe() as (reading, _), _open_poller() as poller:
        poller.add(reading)
        return _try_add(poller, reading)


@probe(
    matters="A loop that registers again after a one-shot event fails, or never hears of it again.",
    advice="After a one-shot event use EPOLL_CTL_MOD with epoll, EV_ADD with kqueue.",
    symptoms=[
        "EPOLLONESHOT: event comes once and never again; re-arm: EEXIST, File exists",
    ],
    reference="epoll_ctl(2) Linux: EPOLLONESHOT; kqueue(2) FreeBSD: EV_ONESHOT",
    documented={"linux": "EEXIST", "freebsd": "ok"},
    light=True,
)
def add_after_one_shot() -> str:
    """What does registering a descriptor again after its one-shot event return?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        os.write(writing, b"x")
        poller.add(reading, "IN", "ONESHOT")
        if poller.wait() != ["IN"] or poller.wait():
            raise Unsupported("a one-shot event is reported here never, or more than once")
        return _try_add(poller, reading)


@probe(
    matters="A loop that reads a part and waits again stalls if the rest is not reported.",
    advice="Read until EAGAIN if a descriptor is edge-triggered; level-triggered is the default.",
    symptoms=[
        "epoll_wait returns at once again and again, 100 % CPU, while data are unread",
    ],
    reference="epoll(7) Linux: Level-triggered and edge-triggered; kqueue(2) FreeBSD",
    documented={"linux": True, "freebsd": True},
    light=True,
)
def level_repeats() -> bool:
    """By default, is unread data reported again by the next wait?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        poller.add(reading)
        os.write(writing, b"x")
        return [poller.wait(), poller.wait()] == [["IN"], ["IN"]]


@dataclass(frozen=True)
class _Edge:
    """What happens to a pipe before an edge-triggered wait."""

    before: str
    prepare: Callable[[_Poller, int, int], Any]
    documented: Documented

    def __str__(self) -> str:
        return self.before


def _write_before_adding(poller: _Poller, reading: int, writing: int) -> None:
    os.write(writing, b"x")
    poller.add(reading, "IN", "EDGE")


def _report_once(poller: _Poller, reading: int, writing: int) -> None:
    _write_before_adding(poller, reading, writing)
    if poller.wait() != ["IN"]:
        raise Unsupported("an edge-triggered descriptor does not report its data")


def _write_more(poller: _Poller, reading: int, writing: int) -> None:
    _report_once(poller, reading, writing)
    os.write(writing, b"more")


@probe(
    each={
        "edge_reports_earlier": _Edge(
            "data that came before it was registered", _write_before_adding, {"freebsd": True}
        ),
        "edge_repeats": _Edge(
            "data that was reported already and not read", _report_once, {"linux": False}
        ),
        "edge_reports_more": _Edge("more data behind unread data", _write_more, {"linux": True}),
    },
    matters="An edge-triggered loop that leaves data unread waits for an event that never comes.",
    advice="Read until EAGAIN after every edge-triggered event, and once after registering.",
    symptoms=[
        "EPOLLET: connection stalls, hangs with unread data",
        "edge-triggered epoll or EV_CLEAR: no event for data that are there already",
    ],
    reference="epoll(7) Linux: EPOLLET; kqueue(2) FreeBSD: EV_CLEAR",
    documented=lambda edge: edge.documented,
    light=True,
)
def edge(edge: _Edge) -> bool:
    """Does an edge-triggered pipe report {row}?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        edge.prepare(poller, reading, writing)
        return poller.wait() == ["IN"]


@probe(
    matters="A writer that waits for room in a full pipe sleeps for ever if it is not told of it.",
    advice="Use select() or poll() for pipes where the event interface does not report room.",
    symptoms=[
        "kqueue, EVFILT_WRITE: writer to a full pipe is never woken, hangs",
    ],
    reference="epoll(7) Linux; kqueue(2) FreeBSD: EVFILT_WRITE; libevent: working kqueue",
    light=True,
)
def drained_pipe_writable() -> bool:
    """Does epoll or kqueue report a full pipe writable once it has been drained?"""
    with _make_pipe() as (reading, writing), _open_poller() as poller:
        size = blocking.fill(writing)
        poller.add(writing, "OUT")
        if poller.wait():
            raise Unsupported("a full pipe is reported writable")
        while size > 0:
            size -= len(os.read(reading, 65536))
        return poller.wait() == ["OUT"]


Wait = Callable[[int], Blocking]
"""Prepares a call that waits for input of a descriptor; the call returns what it reports."""


def _wait_by_poll(descriptor: int) -> Blocking:
    lens.pollfd()  # Its proof makes pipes, so not while descriptors are counted or closed.
    return lambda: _join(blocking.poll(descriptor, "IN"))


def _wait_by_select(descriptor: int) -> Blocking:
    asked = lens.fd_set()(descriptor)
    return lambda: libc.call("select", descriptor + 1, asked, None, None, None) and "IN"


def _wait_by_poller(descriptor: int, *flags: str) -> Blocking:
    if not _find_pollers():
        raise Unsupported(f"{libc.SYSTEM} has neither epoll nor kqueue")
    poller = _find_pollers()[0]()
    poller.add(descriptor, "IN", *flags)
    return lambda: _join(poller.wait(-1))


@dataclass(frozen=True)
class _Waiter:
    call: str
    wait: Wait
    documented: Documented = field(default_factory=dict)

    def __str__(self) -> str:
        return self.call


ROUNDS = 3

_WAITERS = {
    "select": _Waiter("select()", _wait_by_select),
    "poll": _Waiter("poll()", _wait_by_poll),
    "poller": _Waiter("epoll_wait() or kevent()", _wait_by_poller),
}


@probe(
    each={f"closed_during_{name}": waiter for name, waiter in _WAITERS.items()},
    matters="A thread that closes a descriptor to stop its reader may leave it asleep for ever.",
    advice="Wake the other thread through a pipe, and let it close the descriptor itself.",
    symptoms=[
        "close() in another thread does not wake select, poll, epoll_wait: thread hangs, join"
        " blocks",
        "shutdown hangs on Linux, works on macOS: reader thread stays asleep after close",
    ],
    reference="select(2) Linux: Multithreaded applications; epoll(7) Linux; kqueue(2) FreeBSD",
    documented=lambda waiter: {"linux": "nothing"} if waiter.call == "select()" else {},
    light=True,
)
def closed_while_waiting(waiter: _Waiter) -> str:
    """What does a blocked {row} report when another thread closes the descriptor?"""
    with _make_pipe() as (go, starting), _make_pipe() as (done, closing):

        def begin() -> Blocking:
            reading, _ = os.pipe()
            call = waiter.wait(reading)

            def close() -> None:
                os.read(go, 1)
                os.close(reading)
                while True:
                    os.write(closing, b"x")
                    os.read(go, 1)

            # The thread gives the interpreter up first when it reads: from then on this one never
            # waits for the interpreter, and is asleep only in the call.
            sys.setswitchinterval(LONG)
            try:
                threading.Thread(target=close, daemon=True).start()
            except RuntimeError:
                raise Blocked(refusals.PROCESSES) from None
            return call

        with blocking.block_child(begin) as child:
            # A call that has ended may wait for the interpreter, which the other thread has: each
            # further round makes that thread give the interpreter up.
            for _ in range(ROUNDS):
                os.write(starting, b"x")
                if done in select.select([done, child.reading], [], [])[0]:
                    os.read(done, 1)
                if not children.wait_until_asleep(child):
                    return str(child.receive())
            return "nothing"


@probe(
    each={
        "woken_by_poll": _Waiter("poll()", _wait_by_poll),
        "woken_by_poller": _Waiter("their own epoll or kqueue", _wait_by_poller, {"linux": 2}),
        "woken_by_exclusive": _Waiter(
            "EPOLLEXCLUSIVE", lambda asked: _wait_by_poller(asked, "EXCLUSIVE")
        ),
    },
    matters="Every worker wakes for each new connection, and all but one find nothing.",
    advice="Use EPOLLEXCLUSIVE or a listener per worker, and take EAGAIN from accept() calmly.",
    symptoms=[
        "thundering herd: all worker processes wake for one connection, accept: EAGAIN",
        "EPOLLEXCLUSIVE: load is uneven, or every process wakes up",
    ],
    reference="epoll_ctl(2) Linux: EPOLLEXCLUSIVE",
    documented=lambda waiter: waiter.documented,
    light=True,
)
def woken(waiter: _Waiter) -> int:
    """How many of 2 processes that wait for a pipe by {row} does a byte wake?"""
    with _make_pipe() as (reading, writing), contextlib.ExitStack() as running:
        waiting = [
            running.enter_context(blocking.block_child(lambda: waiter.wait(reading)))
            for _ in range(2)
        ]
        os.write(writing, b"x")
        pending = [child.reading for child in waiting]
        first = select.select(pending, [], [])[0]
        if STRAGGLING:
            select.select([end for end in pending if end not in first], [], [], STRAGGLING)
        return sum(not children.wait_until_asleep(child) for child in waiting)


@probe(
    matters="FD_SET() of a larger descriptor writes past the set, and corrupts memory.",
    advice="Use poll(), or refuse descriptors from FD_SETSIZE on.",
    symptoms=[
        "filedescriptor out of range in select()",
        "buffer overflow detected, __fdelt_chk, FD_SET: crash when more than 1024 descriptors"
        " are open",
        "stack smashing with fd 1024 or larger",
    ],
    reference="select(2) Linux, FreeBSD, NetBSD, OpenBSD; POSIX XBD <sys/select.h>",
    documented={"linux": 1024, "freebsd": 1024, "netbsd": 256, "openbsd": 1024},
    light=True,
)
def fd_setsize() -> int:
    """How many descriptors does fd_set hold in the headers that Python was built with?"""

    def fits(descriptor: int) -> bool:
        try:
            select.select([descriptor], [], [], 0)
        except ValueError:  # Python's own: the descriptor is too large for its fd_set.
            return False
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        return True

    size = 64
    while fits(size) and size < 1 << 20:
        size *= 2
    if fits(size) or not fits(size - 1):
        raise Unsupported("this Python does not show the size of fd_set")
    return size


@probe(
    matters="A program that enlarged its fd_set gets EINVAL as soon as a descriptor is that large.",
    advice="Use poll() when the number of descriptors has no bound.",
    symptoms=[
        "select: EINVAL, Invalid argument, with a descriptor of 1024 or more, FD_SETSIZE",
    ],
    reference="POSIX XSH select(): EINVAL; select(2) Linux BUGS; select(2) OpenBSD BUGS",
    documented={"posix": "EINVAL", "linux": "ok", "openbsd": "ok"},
    light=True,
)
def select_over_fd_setsize() -> str:
    """What does select() return for more descriptors than FD_SETSIZE?"""
    most = fd_setsize()

    def ask() -> str:
        with _close_writer() as reading:
            asked = lens.fd_set()(reading, room=2 * most)
            return libc.try_call("select", most + 1, asked, None, None, None)

    try:
        return str(children.run_in_child(ask))
    except children.ChildDied as error:
        # As QEMU's user mode does, which writes past its own fd_set.
        raise Blocked(f"{error} in such a select(): run the lab outside an emulator") from None


@probe(
    matters="A loop that counts down select()'s result stops early, or looks for one too many.",
    advice="Look at each descriptor in the sets; take the result only for none, some or an error.",
    symptoms=[
        "result of select() is not the number of descriptors: loop ends early, event is missed",
    ],
    reference="POSIX XSH select(): RETURN VALUE; select(2) Linux, OpenBSD",
    documented={"posix": 2, "linux": 2, "freebsd": 2, "openbsd": 2},
    light=True,
)
def select_counts() -> int:
    """What does select() return for one descriptor that is ready to read and to write?"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        both = [lens.fd_set()(ours.fileno()) for _ in range(2)]
        return libc.call("select", ours.fileno() + 1, *both, None, None)


@probe(
    matters="A timeout of one second, given as 1000000 microseconds, fails on some systems.",
    advice="Put whole seconds into tv_sec, and less than 1000000 into tv_usec.",
    symptoms=[
        "select: EINVAL, Invalid argument, on macOS or a BSD: tv_usec of a second or more",
        "timeout of 1000 ms fails, 999 ms works",
    ],
    reference="POSIX XSH select(): EINVAL; select(2) FreeBSD, NetBSD, OpenBSD",
    documented=dict.fromkeys(("posix", "freebsd", "netbsd", "openbsd"), "EINVAL"),
    light=True,
)
def select_million_microseconds() -> str:
    """What does select() with a timeout of 1000000 microseconds return?"""
    timeout = lens.timeval().type(0, 1_000_000)
    with _close_writer() as reading:
        asked = lens.fd_set()(reading)
        return libc.try_call("select", reading + 1, asked, None, None, ctypes.byref(timeout))


@probe(
    matters="A negative time left, passed on as it is, waits for ever or fails with EINVAL.",
    advice="Pass -1 to wait for ever, and 0 when the time is over.",
    symptoms=[
        "poll: EINVAL, Invalid argument, on macOS or a BSD: negative timeout that is not -1,"
        " INFTIM",
    ],
    reference="POSIX XSH poll(); poll(2) Linux, FreeBSD, NetBSD, macOS",
    documented={
        "linux": "ok", **dict.fromkeys(("freebsd", "netbsd", "macos"), "EINVAL")
    },
    light=True,
)  # fmt: skip
def poll_minus_2() -> str:
    """What does poll() with a timeout of -2 return?"""
    with _close_writer() as reading:
        asked = lens.pollfd()(reading, select.POLLIN)
        return libc.try_call("poll", ctypes.byref(asked), 1, -2)


@dataclass(frozen=True)
class _Timeout:
    call: str
    wait: Callable[[int], Any]
    """Wait for nothing, for this many milliseconds."""

    def __str__(self) -> str:
        return self.call


def _time_out_poll(milliseconds: int) -> None:
    libc.call("poll", None, 0, milliseconds)


def _time_out_select(milliseconds: int) -> None:
    timeout = lens.timeval()(milliseconds / 1000)
    libc.call("select", 0, None, None, None, ctypes.byref(timeout))


def _time_out_poller(milliseconds: int) -> None:
    with _open_poller() as poller:
        poller.wait(milliseconds / 1000)


@probe(
    each={
        "poll_early": _Timeout("poll()", _time_out_poll),
        "select_early": _Timeout("select()", _time_out_select),
        "poller_early": _Timeout("epoll_wait() or kevent()", _time_out_poller),
    },
    matters="A timer that is not due yet at the wake-up is waited for again and again, or missed.",
    advice="Read CLOCK_MONOTONIC after every wait, and wait again for what is left.",
    symptoms=[
        "timer fires a millisecond too early: timeout elapsed before its time",
        "event loop spins until a timer is due: epoll_wait, poll return early",
    ],
    reference="POSIX XSH poll(), select(); epoll_wait(2), poll(2) Linux: rounded up",
    documented={"posix": False, "linux": False},
    light=True,
)
def early(timeout: _Timeout) -> Sample:
    """Can {row} return before its timeout is over?

    The raw sample is the least time, in microseconds, by which a wait was too long.
    """
    timeout.wait(0)
    least = 1 << 40
    for milliseconds in (1, 2, 3):
        started = time.monotonic_ns()
        timeout.wait(milliseconds)
        least = min(least, (time.monotonic_ns() - started) // 1000 - 1000 * milliseconds)
    return Sample(least < 0, least)


def _allow_no_files() -> str:
    """Set RLIMIT_NOFILE to 0; return ``ok``, ``EINVAL``, or ``ignored``."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    except ValueError as error:  # Python's for EINVAL and EPERM.
        if "not allowed" in str(error):
            # Lowering a limit needs no privilege.
            raise Blocked("setrlimit() is refused here: run the lab outside the sandbox") from None
        return "EINVAL"
    return "ok" if libc.get_errno("dup", 0) == errno.EMFILE else "ignored"


@probe(
    matters="A sandboxed process that gives up opening files fails at start.",
    advice="Where 0 is refused, set RLIMIT_NOFILE to the number of open descriptors.",
    symptoms=[
        "setrlimit RLIMIT_NOFILE 0: EINVAL, Invalid argument, in a sandbox (pledge, seccomp)",
        "sshd privilege separation sandbox: setrlimit fails",
    ],
    reference="POSIX XSH setrlimit(): RLIMIT_NOFILE; getrlimit(2) Linux",
    light=True,
)
def nofile_zero() -> str:
    """What does setting RLIMIT_NOFILE to 0 return?"""
    return str(children.run_in_child(_allow_no_files))


def _ask_without_files(ask: Callable[[int], str]) -> str:
    """Return what ``ask`` returns for a readable pipe in a process with RLIMIT_NOFILE 0."""
    with _make_pipe() as (reading, writing):
        os.write(writing, b"x")
        ask(reading)  # What proves the structures needs descriptors.

        def child() -> str:
            result = _allow_no_files()
            if result != "ok":
                raise Unsupported(f"setting RLIMIT_NOFILE to 0: {result}")
            return ask(reading)

        return str(children.run_in_child(child))


def _try_poll(descriptor: int) -> str:
    asked = lens.pollfd()(descriptor, select.POLLIN)
    return libc.try_call("poll", ctypes.byref(asked), 1, 0)


def _try_select(descriptor: int) -> str:
    asked, at_once = lens.fd_set()(descriptor), lens.timeval()(0)
    return libc.try_call("select", descriptor + 1, asked, None, None, ctypes.byref(at_once))


@dataclass(frozen=True)
class _Asked:
    call: str
    ask: Callable[[int], str]
    documented: Documented

    def __str__(self) -> str:
        return self.call


@probe(
    each={
        "nofile_zero_poll": _Asked("poll()", _try_poll, {"linux": "EINVAL"}),
        "nofile_zero_select": _Asked("select()", _try_select, {}),
    },
    matters="A process that gives up opening files can no longer wait for those it has.",
    advice="Set RLIMIT_NOFILE no lower than the number of descriptors that poll() gets.",
    symptoms=[
        "poll: EINVAL, Invalid argument, after ulimit -n 0 or RLIMIT_NOFILE in a sandbox",
        "program aborts at start with RLIMIT_NOFILE of 0",
    ],
    reference="poll(2) Linux ERRORS: EINVAL; POSIX XSH poll(): EINVAL",
    documented=lambda asked: asked.documented,
    light=True,
)
def with_nofile_zero(asked: _Asked) -> str:
    """With RLIMIT_NOFILE 0, what does {row} of an open descriptor return?"""
    return _ask_without_files(asked.ask)
