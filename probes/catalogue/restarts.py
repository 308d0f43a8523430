"""Blocked calls and signals: which go on after a handler, which end with EINTR, which cut short."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from .. import lens, libc
from ..harness import blocking, children, privileges, sockets
from ..harness.blocking import Blocking
from ..harness.children import Channel
from ..probe import Blocked, Documented, Unsupported, probe
from ..strays import QUEUE_NAME, remove
from .sockets import STRAGGLING

_FOLDER = "made-for-restarts"


def _path(name: str) -> str:
    """Where the process that is to block makes a file of this name, once."""
    os.mkdir(_FOLDER, 0o700)
    return os.path.join(_FOLDER, name)


@contextlib.contextmanager
def _nothing_left() -> Iterator[None]:
    """Have the helpers of the process that blocked ended, and its files removed, at the end."""
    try:
        yield
    finally:
        # Orphans, if they came here: each ends when it sees that the process is gone.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        remove(_FOLDER)


@dataclass(frozen=True)
class _Case:
    """A call that is to block, and the flag of the handler that interrupts it."""

    call: str
    begin: Callable[[], Blocking]
    """Make all that the call needs, in the process that is to block."""
    restarting: Documented
    """What is documented with SA_RESTART."""
    bare: Documented
    """What is documented without."""

    def __str__(self) -> str:
        return self.call


# signal(7) Linux, "Interruption of system calls and library functions by signal handlers",
# has two lists: calls that SA_RESTART restarts, and calls that always end with EINTR.
# sigaction(2) of the BSDs and macOS has one, the same on all: open, read, write, sendto,
# recvfrom, sendmsg, recvmsg on a slow device or channel, wait.
# POSIX XSH sigaction has SA_RESTART restart every function that may give EINTR, unless its
# own page says otherwise; each of these says EINTR.
_BSDS = ("freebsd", "netbsd", "openbsd", "macos")
_SLOW = dict.fromkeys(("posix", "linux", *_BSDS), "restarts")
_SLOW_BARE = dict.fromkeys(_SLOW, "EINTR")
_COMMITTED = dict.fromkeys(("linux", *_BSDS), "partial")
_WRITE_COMMITTED = {"posix": "partial", **_COMMITTED}
_RESTARTS = {"posix": "restarts", "linux": "restarts"}
_LINUX_RESTARTS = {"linux": "restarts"}
_NEVER = {"posix": "EINTR", "linux": "EINTR"}
_LINUX_NEVER = {"linux": "EINTR"}
# src/signal/sigtimedwait.c of musl begins the wait anew; that of glibc does not.
_GLIBC_NEVER = {"linux-glibc": "EINTR", "linux-musl": "restarts"}


MUCH = 1 << 22
"""More than any of these takes at once; a pipe of 64 KiB pages takes 1 MiB."""


def _read(descriptor: int) -> Blocking:
    room = ctypes.create_string_buffer(1)
    return lambda: libc.call("read", descriptor, room, 1)


def _write(descriptor: int, size: int = 1) -> Blocking:
    data = bytes(size)
    return lambda: _moved(libc.call("write", descriptor, data, size), size)


def _moved(count: int, size: int) -> str:
    return "partial" if count < size else "all"


def _write_pipe() -> Blocking:
    _, writing = os.pipe()
    blocking.fill(writing)
    return _write(writing)


def _write_pipe_begun() -> Blocking:
    _, writing = os.pipe()
    return _write(writing, MUCH)


def _write_terminal() -> Blocking:
    terminal = privileges.open_terminal()
    # As by Ctrl-S.  Without it Linux moves what was written on to the other side at a
    # time of its own, and a terminal that was full has room again.
    try:
        termios.tcflow(terminal, termios.TCOOFF)
    except termios.error as error:  # gVisor: ENOTTY.
        raise Unsupported(f"a terminal's output cannot be held here: {error.args[1]}") from None
    blocking.fill(terminal)
    return _write(terminal)


def _socket() -> int:
    """One end of a pair; the other end stays open and silent."""
    ours, theirs = socket.socketpair()
    theirs.detach()
    return ours.detach()


def _full_socket() -> int:
    descriptor = _socket()
    blocking.fill(descriptor)
    return descriptor


def _recv(descriptor: int) -> Blocking:
    room = ctypes.create_string_buffer(1)
    return lambda: libc.call("recv", descriptor, room, 1, 0)


def _send(descriptor: int, size: int = 1) -> Blocking:
    data = bytes(size)
    return lambda: _moved(libc.call("send", descriptor, data, size, 0), size)


SMALL = 1 << 14
"""Bytes asked for in each of a TCP connection's two buffers: little time to fill them."""


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection with small buffers."""
    with sockets.listen() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        ours.connect(listening.getsockname())
        theirs, _ = listening.accept()
    for end in (ours, theirs):
        # Both end with this process: no TIME_WAIT is to keep the port.
        sockets.reset_on_close(end)
    return ours, theirs


def _tcp() -> int:
    """One end of a TCP connection; the other end stays open and silent."""
    ours, theirs = _tcp_pair()
    theirs.detach()
    return ours.detach()


def _full_tcp() -> int:
    """One end of a TCP connection whose buffers are full: nobody reads at the other."""
    ours, theirs = _tcp_pair()
    with sockets.fence_loopback() as fence:
        idle = 0
        # What is acknowledged makes room again, and may be so only with the next thing that
        # the other end sends: it is full when that has made no room three times.
        while idle < 3:
            idle = 0 if blocking.fill(ours.fileno()) else idle + 1
            fence()
            theirs.send(b"x")
            ours.recv(1)
            if idle == 1:
                select.select([], [ours], [], STRAGGLING)
    theirs.detach()
    return ours.detach()


LONG = 3600
"""Seconds that are never over."""


def _with_timeout(asked: socket.socket) -> int:
    sockets.set_receive_timeout(asked, LONG)
    return asked.detach()


def _accept(descriptor: int) -> Blocking:
    return lambda: libc.call("accept", descriptor, None, None)


def _connect() -> Blocking:
    """A connect to a listener whose backlog is full."""
    listening = sockets.listen(backlog=0)
    with sockets.fence_loopback() as fence:
        for _ in range(16):
            with socket.socket() as client:
                client.setblocking(False)
                error = client.connect_ex(listening.getsockname())
                # Once the fence is back the request is answered, or is dropped for good.
                fence()
                waits = not select.select([], [client], [], 0)[1]
                if error in (0, errno.EINPROGRESS):
                    error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    why = libc.name_errno(error)
                    raise Unsupported(f"connect() does not block where a backlog is full: {why}")
                client.detach()
            if waits:
                break
    # The address as the C library has it: its layout differs by system.
    address, size = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    libc.call("getsockname", listening.detach(), address, ctypes.byref(size))
    descriptor = socket.socket().detach()
    return lambda: libc.call("connect", descriptor, address.raw, size.value)


def _held_by_another(name: str, *arguments: Any) -> int:
    """A descriptor of a file that another process holds a lock of, by a descriptor of its own.

    Two of this process would not be in each other's way where a lock is a process's.
    """
    path = _path("locked")

    def opened() -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def hold(subject: Channel) -> None:
        outcome = libc.try_call(name, opened(), *arguments)
        if outcome != "ok":
            raise Blocked(
                f"the scratch file system has no such lock ({outcome}): set TMPDIR elsewhere"
            )
        subject.send()
        subject.receive()  # Until the subject is gone.

    children.fork(hold).receive()
    return opened()


def _flock() -> Blocking:
    descriptor = _held_by_another("flock", fcntl.LOCK_EX)
    return lambda: libc.call("flock", descriptor, fcntl.LOCK_EX)


def _record_lock() -> Blocking:
    lock = ctypes.byref(lens.flock()(l_type=fcntl.F_WRLCK, l_whence=os.SEEK_SET))
    descriptor = _held_by_another(libc.FCNTL, fcntl.F_SETLK, lock)
    return lambda: libc.call(libc.FCNTL, descriptor, fcntl.F_SETLKW, lock)


def _waitpid() -> Blocking:
    child = children.fork(Channel.receive)  # Until this process is gone.
    return lambda: libc.call("waitpid", child.pid, None, 0)


def _open_fifo() -> Blocking:
    try:
        name = _path("fifo").encode()
        os.mkfifo(name)
    except PermissionError:
        raise Blocked("the scratch file system has no FIFOs: set TMPDIR elsewhere") from None
    return lambda: libc.call("open", name, os.O_RDONLY)


def _poll() -> Blocking:
    reading, _ = os.pipe()
    asked = ctypes.byref(lens.pollfd()(reading, select.POLLIN))
    return lambda: libc.call("poll", asked, 1, -1)


def _select() -> Blocking:
    return lambda: libc.call("select", 0, None, None, None, None)


def _poller() -> Blocking:
    here: Any = select  # Its names differ by system.
    events = ctypes.create_string_buffer(256)
    if hasattr(here, "epoll"):
        epoll = here.epoll()
        return lambda: libc.call("epoll_wait", epoll.fileno(), events, 1, -1)
    if not hasattr(here, "kqueue"):
        raise Unsupported(f"{libc.SYSTEM} has neither epoll nor kqueue")

    def wait() -> int:
        queue = here.kqueue()  # Not inherited over fork.
        return libc.call("kevent", queue.fileno(), None, 0, events, 1, None)

    return wait


def _nanosleep() -> Blocking:
    long = lens.timespec()(LONG)
    return lambda: libc.call("nanosleep", ctypes.byref(long), None)


def _sigsuspend() -> Blocking:
    nothing = lens.make_signal_set()
    return lambda: libc.call("sigsuspend", nothing)


def _another_signal() -> Any:
    """A set with a signal in it that is blocked, and never sent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    return lens.make_signal_set([signal.SIGUSR2])


def _sigwaitinfo() -> Blocking:
    wanted = _another_signal()
    return lambda: libc.call("sigwaitinfo", wanted, None)


def _sigwait() -> Blocking:
    wanted = _another_signal()
    taken = ctypes.byref(ctypes.c_int())
    # It returns its error.
    return lambda: libc.name_errno(libc.call("sigwait", wanted, taken))


def _semaphore() -> Any:
    """A semaphore at zero."""
    made = ctypes.create_string_buffer(256)  # sem_t has 32 bytes or less everywhere.
    try:
        libc.call("sem_init", made, 0, 0)
    except Unsupported:
        # macOS has named ones alone.
        name = f"/probes-{os.getpid()}".encode()
        mode, value = ctypes.c_int(0o600), ctypes.c_uint(0)
        address = libc.call("sem_open", name, os.O_CREAT | os.O_EXCL, mode, value)
        libc.call("sem_unlink", name)
        return ctypes.c_void_p(address)
    return made


def _sem_wait() -> Blocking:
    semaphore = _semaphore()
    return lambda: libc.call("sem_wait", semaphore)


def _msgrcv() -> Blocking:
    # A key that nobody else has, of a key_t's 31 bits.
    key = int.from_bytes(os.urandom(4), "big") >> 1 | 1
    # The queue outlives every process: by this file it is found and removed with the scratch
    # folder.  First the file, as this process may be killed between any two of its calls.
    with open(_path(f"{QUEUE_NAME}{key}"), "x"):
        pass
    try:
        queue = libc.call("msgget", key, libc.IPC_CREAT | libc.IPC_EXCL | 0o600)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Blocked("every message queue is in use: see ipcs -q, remove some") from None
        raise
    room = ctypes.create_string_buffer(64)
    return lambda: libc.call("msgrcv", queue, room, 1, 0, 0)


_CASES = {
    "read_pipe": _Case("read() from a pipe", blocking.prepare_endless_read, _SLOW, _SLOW_BARE),
    "write_pipe": _Case("write() to a full pipe", _write_pipe, _SLOW, _SLOW_BARE),
    "write_pipe_begun": _Case(
        "half-done write() to a pipe", _write_pipe_begun, _WRITE_COMMITTED, _WRITE_COMMITTED
    ),
    "read_terminal": _Case(
        "read() from a terminal", lambda: _read(privileges.open_terminal()), _SLOW, _SLOW_BARE
    ),
    "write_terminal": _Case(
        "write() to a terminal with output stopped", _write_terminal, _SLOW, _SLOW_BARE
    ),
    "read_socket": _Case("read() from a Unix socket", lambda: _read(_socket()), _SLOW, _SLOW_BARE),
    "read_tcp": _Case("read() from a TCP socket", lambda: _read(_tcp()), _SLOW, _SLOW_BARE),
    "write_socket": _Case(
        "write() to a full Unix socket", lambda: _write(_full_socket()), _SLOW, _SLOW_BARE
    ),
    "write_tcp": _Case(
        "write() to a full TCP socket", lambda: _write(_full_tcp()), _SLOW, _SLOW_BARE
    ),
    "recv": _Case("recv() from a Unix socket", lambda: _recv(_socket()), _SLOW, _SLOW_BARE),
    "recv_tcp": _Case("recv() from a TCP socket", lambda: _recv(_tcp()), _SLOW, _SLOW_BARE),
    "recv_rcvtimeo": _Case(
        "recv() from a Unix socket with SO_RCVTIMEO",
        lambda: _recv(_with_timeout(socket.socket(fileno=_socket()))),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    "recv_rcvtimeo_tcp": _Case(
        "recv() from a TCP socket with SO_RCVTIMEO",
        lambda: _recv(_with_timeout(socket.socket(fileno=_tcp()))),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    "send": _Case("send() to a full Unix socket", lambda: _send(_full_socket()), _SLOW, _SLOW_BARE),
    "send_tcp": _Case("send() to a full TCP socket", lambda: _send(_full_tcp()), _SLOW, _SLOW_BARE),
    "send_begun": _Case(
        "half-done send() to a Unix socket", lambda: _send(_socket(), MUCH), _COMMITTED, _COMMITTED
    ),
    "send_begun_tcp": _Case(
        "half-done send() to a TCP socket", lambda: _send(_tcp(), MUCH), _COMMITTED, _COMMITTED
    ),
    "accept": _Case("accept()", lambda: _accept(sockets.listen().detach()), _RESTARTS, _NEVER),
    "accept_rcvtimeo": _Case(
        "accept() with SO_RCVTIMEO",
        lambda: _accept(_with_timeout(sockets.listen())),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    # POSIX has it end with EINTR and go on connecting; whether that is "otherwise" is open.
    "connect": _Case("connect()", _connect, _LINUX_RESTARTS, _NEVER),
    "flock": _Case("flock()", _flock, _LINUX_RESTARTS, _LINUX_NEVER),
    # fcntl(2) FreeBSD: restarted if SA_RESTART was set.
    "fcntl_setlkw": _Case(
        "fcntl(F_SETLKW)",
        _record_lock,
        {**_RESTARTS, "freebsd": "restarts"},
        {**_NEVER, "freebsd": "EINTR"},
    ),
    "waitpid": _Case("waitpid()", _waitpid, _SLOW, _SLOW_BARE),
    "open_fifo": _Case("open() of a FIFO", _open_fifo, _SLOW, _SLOW_BARE),
    # POSIX leaves select, and by the letter poll, to the system when SA_RESTART is set.
    "poll": _Case("poll()", _poll, _LINUX_NEVER, _NEVER),
    "select": _Case("select()", _select, _LINUX_NEVER, _NEVER),
    "poller": _Case("epoll_wait() or kevent()", _poller, _LINUX_NEVER, _LINUX_NEVER),
    "nanosleep": _Case("nanosleep()", _nanosleep, _NEVER, _NEVER),
    "pause": _Case("pause()", lambda: lambda: libc.call("pause"), _NEVER, _NEVER),
    "sigsuspend": _Case("sigsuspend()", _sigsuspend, _NEVER, _NEVER),
    # POSIX says "may fail" of these two.
    "sem_wait": _Case("sem_wait()", _sem_wait, _LINUX_RESTARTS, _LINUX_NEVER),
    "sigwaitinfo": _Case("sigwaitinfo()", _sigwaitinfo, _GLIBC_NEVER, _GLIBC_NEVER),
    # sigwait(2) FreeBSD: it never gives EINTR.
    "sigwait": _Case("sigwait()", _sigwait, {"freebsd": "restarts"}, {"freebsd": "restarts"}),
    "msgrcv": _Case("msgrcv()", _msgrcv, _LINUX_NEVER, _NEVER),
}


_MATTERS = "A loop without a retry ends on EINTR; a loop that needs EINTR to end never does."
_ADVICE = "Pass SA_RESTART or 0 to sigaction(), and retry on EINTR and on a short count anyway."
_REFERENCE = "signal(7) Linux: Interruption of system calls; sigaction(2) FreeBSD; POSIX XSH 2.4"


@probe(
    each=_CASES,
    matters=_MATTERS,
    advice=_ADVICE,
    reference=_REFERENCE,
    documented=lambda case: case.restarting,
    light=True,
)
def after_restarting_handler(case: _Case) -> str:
    """With SA_RESTART, what happens to a blocked {row} when a handler runs?"""
    return _after_handler(case, lens.get_flag("SA_RESTART"))


@probe(
    each={f"{name}_flags_0": case for name, case in _CASES.items()},
    matters=_MATTERS,
    advice=_ADVICE,
    reference=_REFERENCE,
    documented=lambda case: case.bare,
    light=True,
)
def after_bare_handler(case: _Case) -> str:
    """Without SA_RESTART, what happens to a blocked {row} when a handler runs?"""
    return _after_handler(case, 0)


def _after_handler(case: _Case, flags: int) -> str:
    with _nothing_left():
        # TCP may find room in what was full, at a time of its own: a call whose bytes then all
        # went through was not interrupted.
        for _ in range(20):
            outcome = _interrupted(case, flags)
            if outcome != "all":
                return outcome
    raise Unsupported("the call does not block here: it moves all its bytes again and again")


def _interrupted(case: _Case, flags: int) -> str:
    try:
        return blocking.interrupt(case.begin, lambda handler: handler.install(flags))
    except Unsupported as at_once:
        if str(at_once).endswith("it returned all"):
            return "all"
        raise


@dataclass(frozen=True)
class _Stopped:
    """A call whose process is stopped and continued while it blocks."""

    case: _Case
    documented: Documented

    def __str__(self) -> str:
        return self.case.call


# signal(7) Linux, "Interruption of system calls and library functions by stop signals":
# two of these on Linux, and on no other system.
_ELSEWHERE = {"posix": "restarts"}


@probe(
    each={
        "read_pipe_stopped": _Stopped(_CASES["read_pipe"], _ELSEWHERE),
        "recv_rcvtimeo_stopped": _Stopped(
            _CASES["recv_rcvtimeo"], {**_ELSEWHERE, "linux": "EINTR"}
        ),
        "poller_stopped": _Stopped(_CASES["poller"], {**_ELSEWHERE, "linux": "EINTR"}),
        "nanosleep_stopped": _Stopped(_CASES["nanosleep"], _ELSEWHERE),
        "sem_wait_stopped": _Stopped(_CASES["sem_wait"], _ELSEWHERE),
    },
    matters="A daemon that installs no handler fails with EINTR when it is stopped and continued.",
    advice="Retry on EINTR even where the program installs no handler.",
    reference="signal(7) Linux: Interruption of system calls … by stop signals",
    documented=lambda row: row.documented,
    light=True,
)
def after_stop(row: _Stopped) -> str:
    """What happens to a blocked {row} when the process is stopped and continued?"""
    with _nothing_left():
        return blocking.stop_and_continue(row.case.begin)
