"""Blocked calls and signals: which restart after a handler, which end with EINTR or early."""

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


def _make_path(name: str) -> str:
    """Return the path of a file for the process that will block; make its folder, once."""
    os.mkdir(_FOLDER, 0o700)
    return os.path.join(_FOLDER, name)


@contextlib.contextmanager
def _clean_up() -> Iterator[None]:
    """At the end, wait for the helpers of the process that blocked, and remove its files."""
    try:
        yield
    finally:
        # Orphans, if this process adopted them: each ends when it sees that the process is gone.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        remove(_FOLDER)


@dataclass(frozen=True)
class _Case:
    """A call that will block, and its documented result when a handler runs."""

    call: str
    begin: Callable[[], Blocking]
    """Prepare the call in the process that will block."""
    restarting: Documented
    """Documented results with SA_RESTART."""
    bare: Documented
    """Documented results without SA_RESTART."""

    def __str__(self) -> str:
        return self.call


# signal(7) Linux, "Interruption of system calls and library functions by signal handlers",
# has two lists: calls that restart with SA_RESTART, and calls that always end with EINTR.
# sigaction(2) of the BSDs and macOS has one, the same on all: open, read, write, sendto,
# recvfrom, sendmsg, recvmsg on a slow device or channel, wait.
# By POSIX XSH sigaction SA_RESTART restarts every function that may give EINTR, unless its
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
# src/signal/sigtimedwait.c of musl starts the wait again; that of glibc does not.
_GLIBC_NEVER = {"linux-glibc": "EINTR", "linux-musl": "restarts"}


MUCH = 1 << 22
"""Number of bytes that no call accepts at once; a pipe of 64 KiB pages accepts 1 MiB."""


def _read(descriptor: int) -> Blocking:
    room = ctypes.create_string_buffer(1)
    return lambda: libc.call("read", descriptor, room, 1)


def _write(descriptor: int, size: int = 1) -> Blocking:
    data = bytes(size)
    return lambda: _name_amount(libc.call("write", descriptor, data, size), size)


def _name_amount(count: int, size: int) -> str:
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
    # As Ctrl-S does.  Without it Linux passes on what was written when it likes to, and a full
    # terminal has room again.
    try:
        termios.tcflow(terminal, termios.TCOOFF)
    except termios.error as error:  # gVisor: ENOTTY.
        raise Unsupported(f"a terminal's output cannot be stopped here: {error.args[1]}") from None
    blocking.fill(terminal)
    return _write(terminal)


def _open_socket() -> int:
    """Return one end of a pair; the other end stays open and silent."""
    ours, theirs = socket.socketpair()
    theirs.detach()
    return ours.detach()


def _open_full_socket() -> int:
    descriptor = _open_socket()
    blocking.fill(descriptor)
    return descriptor


def _recv(descriptor: int) -> Blocking:
    room = ctypes.create_string_buffer(1)
    return lambda: libc.call("recv", descriptor, room, 1, 0)


def _send(descriptor: int, size: int = 1) -> Blocking:
    data = bytes(size)
    return lambda: _name_amount(libc.call("send", descriptor, data, size, 0), size)


SMALL = 1 << 14
"""Requested size in bytes of both buffers of a TCP connection, so that they fill quickly."""


def _open_tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection with small buffers."""
    with sockets.listen() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        ours.connect(listening.getsockname())
        theirs, _ = listening.accept()
    for end in (ours, theirs):
        # Both ends close with this process, and TIME_WAIT must not keep the port.
        sockets.reset_on_close(end)
    return ours, theirs


def _open_tcp() -> int:
    """Return one end of a TCP connection; the other end stays open and silent."""
    ours, theirs = _open_tcp_pair()
    theirs.detach()
    return ours.detach()


def _open_full_tcp() -> int:
    """Return one end of a TCP connection whose buffers are full; the other end does not read."""
    ours, theirs = _open_tcp_pair()
    with sockets.fence_loopback() as fence:
        idle = 0
        # Acknowledged bytes make room again, and the other end may acknowledge them only with
        # its next packet: the buffers are full when that has made no room three times.
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
"""Seconds; longer than any probe waits."""


def _set_timeout(asked: socket.socket) -> int:
    sockets.set_receive_timeout(asked, LONG)
    return asked.detach()


def _accept(descriptor: int) -> Blocking:
    return lambda: libc.call("accept", descriptor, None, None)


def _connect() -> Blocking:
    """Prepare a connect() to a listener whose backlog is full."""
    listening = sockets.listen(backlog=0)
    with sockets.fence_loopback() as fence:
        for _ in range(16):
            with socket.socket() as client:
                client.setblocking(False)
                error = client.connect_ex(listening.getsockname())
                # After the fence the request has been answered, or dropped for good.
                fence()
                waits = not select.select([], [client], [], 0)[1]
                if error in (0, errno.EINPROGRESS):
                    error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    why = libc.name_errno(error)
                    raise Unsupported(f"connect() does not block when the backlog is full: {why}")
                client.detach()
            if waits:
                break
    # Let the C library fill it, because its layout differs between systems.
    address, size = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    libc.call("getsockname", listening.detach(), address, ctypes.byref(size))
    descriptor = socket.socket().detach()
    return lambda: libc.call("connect", descriptor, address.raw, size.value)


def _lock_in_child(name: str, *arguments: Any) -> int:
    """Return a descriptor of a file that a child has locked through its own descriptor.

    Two locks of one process would not conflict if locks belong to processes.
    """
    path = _make_path("locked")

    def open_file() -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def hold(subject: Channel) -> None:
        outcome = libc.try_call(name, open_file(), *arguments)
        if outcome != "ok":
            raise Blocked(
                f"the scratch file system has no such lock ({outcome}): set TMPDIR to another"
            )
        subject.send()
        subject.receive()  # Returns when the subject has ended.

    children.fork(hold).receive()
    return open_file()


def _flock() -> Blocking:
    descriptor = _lock_in_child("flock", fcntl.LOCK_EX)
    return lambda: libc.call("flock", descriptor, fcntl.LOCK_EX)


def _record_lock() -> Blocking:
    lock = ctypes.byref(lens.flock()(l_type=fcntl.F_WRLCK, l_whence=os.SEEK_SET))
    descriptor = _lock_in_child(libc.FCNTL, fcntl.F_SETLK, lock)
    return lambda: libc.call(libc.FCNTL, descriptor, fcntl.F_SETLKW, lock)


def _waitpid() -> Blocking:
    child = children.fork(Channel.receive)  # Lives until this process has ended.
    return lambda: libc.call("waitpid", child.pid, None, 0)


def _open_fifo() -> Blocking:
    try:
        name = _make_path("fifo").encode()
        os.mkfifo(name)
    except PermissionError:
        raise Blocked("the scratch file system has no FIFOs: set TMPDIR to another") from None
    return lambda: libc.call("open", name, os.O_RDONLY)


def _poll() -> Blocking:
    reading, _ = os.pipe()
    asked = ctypes.byref(lens.pollfd()(reading, select.POLLIN))
    return lambda: libc.call("poll", asked, 1, -1)


def _select() -> Blocking:
    return lambda: libc.call("select", 0, None, None, None, None)


def _poller() -> Blocking:
    here: Any = select  # mypy does not know that its names differ between systems.
    events = ctypes.create_string_buffer(256)
    if hasattr(here, "epoll"):
        epoll = here.epoll()
        return lambda: libc.call("epoll_wait", epoll.fileno(), events, 1, -1)
    if not hasattr(here, "kqueue"):
        raise Unsupported(f"{libc.SYSTEM} has neither epoll nor kqueue")

    def wait() -> int:
        queue = here.kqueue()  # A child does not inherit it.
        return libc.call("kevent", queue.fileno(), None, 0, events, 1, None)

    return wait


def _nanosleep() -> Blocking:
    long = lens.timespec()(LONG)
    return lambda: libc.call("nanosleep", ctypes.byref(long), None)


def _sigsuspend() -> Blocking:
    nothing = lens.make_signal_set()
    return lambda: libc.call("sigsuspend", nothing)


def _block_unused_signal() -> Any:
    """Block a signal that is never sent, and return a set with it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    return lens.make_signal_set([signal.SIGUSR2])


def _sigwaitinfo() -> Blocking:
    wanted = _block_unused_signal()
    return lambda: libc.call("sigwaitinfo", wanted, None)


def _sigwait() -> Blocking:
    wanted = _block_unused_signal()
    taken = ctypes.byref(ctypes.c_int())
    # sigwait() returns its error.
    return lambda: libc.name_errno(libc.call("sigwait", wanted, taken))


def _make_semaphore() -> Any:
    """Return a semaphore at zero."""
    made = ctypes.create_string_buffer(256)  # sem_t has 32 bytes or less everywhere.
    try:
        libc.call("sem_init", made, 0, 0)
    except Unsupported:
        # macOS has only named ones.
        name = f"/probes-{os.getpid()}".encode()
        mode, value = ctypes.c_int(0o600), ctypes.c_uint(0)
        address = libc.call("sem_open", name, os.O_CREAT | os.O_EXCL, mode, value)
        libc.call("sem_unlink", name)
        return ctypes.c_void_p(address)
    return made


def _sem_wait() -> Blocking:
    semaphore = _make_semaphore()
    return lambda: libc.call("sem_wait", semaphore)


def _msgrcv() -> Blocking:
    # A random key (31 bits of a key_t), which no other program is likely to use.
    key = int.from_bytes(os.urandom(4), "big") >> 1 | 1
    # The queue outlives every process: by this file the lab finds it and removes it with the
    # scratch folder.  The file comes first, because this process may be killed at any time.
    with open(_make_path(f"{QUEUE_NAME}{key}"), "x"):
        pass
    try:
        queue = libc.call("msgget", key, libc.IPC_CREAT | libc.IPC_EXCL | 0o600)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Blocked("every message queue is in use: remove some (ipcs -q, ipcrm)") from None
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
    "read_socket": _Case(
        "read() from a Unix socket", lambda: _read(_open_socket()), _SLOW, _SLOW_BARE
    ),
    "read_tcp": _Case("read() from a TCP socket", lambda: _read(_open_tcp()), _SLOW, _SLOW_BARE),
    "write_socket": _Case(
        "write() to a full Unix socket", lambda: _write(_open_full_socket()), _SLOW, _SLOW_BARE
    ),
    "write_tcp": _Case(
        "write() to a full TCP socket", lambda: _write(_open_full_tcp()), _SLOW, _SLOW_BARE
    ),
    "recv": _Case("recv() from a Unix socket", lambda: _recv(_open_socket()), _SLOW, _SLOW_BARE),
    "recv_tcp": _Case("recv() from a TCP socket", lambda: _recv(_open_tcp()), _SLOW, _SLOW_BARE),
    "recv_rcvtimeo": _Case(
        "recv() from a Unix socket with SO_RCVTIMEO",
        lambda: _recv(_set_timeout(socket.socket(fileno=_open_socket()))),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    "recv_rcvtimeo_tcp": _Case(
        "recv() from a TCP socket with SO_RCVTIMEO",
        lambda: _recv(_set_timeout(socket.socket(fileno=_open_tcp()))),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    "send": _Case(
        "send() to a full Unix socket", lambda: _send(_open_full_socket()), _SLOW, _SLOW_BARE
    ),
    "send_tcp": _Case(
        "send() to a full TCP socket", lambda: _send(_open_full_tcp()), _SLOW, _SLOW_BARE
    ),
    "send_begun": _Case(
        "half-done send() to a Unix socket",
        lambda: _send(_open_socket(), MUCH),
        _COMMITTED,
        _COMMITTED,
    ),
    "send_begun_tcp": _Case(
        "half-done send() to a TCP socket", lambda: _send(_open_tcp(), MUCH), _COMMITTED, _COMMITTED
    ),
    "accept": _Case("accept()", lambda: _accept(sockets.listen().detach()), _RESTARTS, _NEVER),
    "accept_rcvtimeo": _Case(
        "accept() with SO_RCVTIMEO",
        lambda: _accept(_set_timeout(sockets.listen())),
        _LINUX_NEVER,
        _LINUX_NEVER,
    ),
    # By POSIX it ends with EINTR and goes on connecting; whether that is "otherwise" is open.
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
    # sigwait(2) FreeBSD: it never returns EINTR.
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
    symptoms=[
        "Interrupted system call in spite of SA_RESTART",
    ],
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
    symptoms=[
        "Interrupted system call, EINTR: fails when a signal or timer comes",
        "fails as soon as a child ends: SIGCHLD",
    ],
    reference=_REFERENCE,
    documented=lambda case: case.bare,
    light=True,
)
def after_bare_handler(case: _Case) -> str:
    """Without SA_RESTART, what happens to a blocked {row} when a handler runs?"""
    return _after_handler(case, 0)


def _after_handler(case: _Case, flags: int) -> str:
    with _clean_up():
        # TCP may find room in a full buffer at any time: a call that then moved all its bytes
        # was not interrupted.
        for _ in range(20):
            outcome = _interrupt(case, flags)
            if outcome != "all":
                return outcome
    raise Unsupported("the call does not block here: it moves all its bytes again and again")


def _interrupt(case: _Case, flags: int) -> str:
    try:
        return blocking.interrupt(case.begin, lambda handler: handler.install(flags))
    except Unsupported as at_once:
        if str(at_once).endswith("it returned all"):
            return "all"
        raise


@dataclass(frozen=True)
class _StoppedCall:
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
        "read_pipe_stopped": _StoppedCall(_CASES["read_pipe"], _ELSEWHERE),
        "recv_rcvtimeo_stopped": _StoppedCall(
            _CASES["recv_rcvtimeo"], {**_ELSEWHERE, "linux": "EINTR"}
        ),
        "poller_stopped": _StoppedCall(_CASES["poller"], {**_ELSEWHERE, "linux": "EINTR"}),
        "nanosleep_stopped": _StoppedCall(_CASES["nanosleep"], _ELSEWHERE),
        "sem_wait_stopped": _StoppedCall(_CASES["sem_wait"], _ELSEWHERE),
    },
    matters="A daemon that installs no handler fails with EINTR when it is stopped and continued.",
    advice="Retry on EINTR even if the program installs no handler.",
    symptoms=[
        "Interrupted system call after Ctrl-Z and fg, after suspend, or when a debugger, "
        "strace or gdb attaches",
        "EINTR after SIGSTOP and SIGCONT without a handler",
    ],
    reference="signal(7) Linux: Interruption of system calls … by stop signals",
    documented=lambda row: row.documented,
    light=True,
)
def after_stop(row: _StoppedCall) -> str:
    """What happens to a blocked {row} when the process is stopped and continued?"""
    with _clean_up():
        return blocking.stop_and_continue(row.case.begin)
