"""What probes share: a child that can be talked to, a child seen blocked, deliveries counted.

Nothing here sleeps to be "probably in time": a child says where it is through a
socket, or is seen asleep in the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from ctypes import c_void_p
from typing import Any, Callable, Optional

from . import lens, libc, refusals, run_program
from .probe import Blocked, Unsupported


class ChildDied(Exception):
    """A child ended without the word it owed.  The message says how it ended."""


class Channel:
    """One end of a conversation between two processes of this interpreter, by two pipes.

    A word is None, a bool, a number, a string, or lists and dicts of those.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing
        self.heard = b""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Both ends."""
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        return cls(reading, writing), cls(their_reading, their_writing)

    def say(self, word: Any = None) -> None:
        # Not JSON: marshal is done in C, and touches a quarter of the memory, which a
        # forked process copies page by page.
        text = marshal.dumps(word)
        text = len(text).to_bytes(4, "big") + text
        while text:
            text = text[os.write(self.writing, text) :]

    def hear(self) -> Any:
        """The next word.  Raises EOFError when the other side is gone without one."""
        return marshal.loads(self._take(int.from_bytes(self._take(4), "big")))

    def _take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        while len(self.heard) < count:
            self._read()
        taken, self.heard = self.heard[:count], self.heard[count:]
        return taken

    def _read(self) -> None:
        data = os.read(self.reading, 65536)
        if not data:
            raise EOFError("the other process ended without a word")
        self.heard += data

    def waiting(self, seconds: float = 0) -> bool:
        """Whether a word, or the end, can be heard within ``seconds``."""
        return bool(self.heard or select.select([self.reading], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Child(Channel):
    """A forked process; what it says is heard here, how it ended is told by `wait`.

    Used as a context manager it is killed and reaped at the end, however the
    probe ends.
    """

    def __init__(self, pid: int, end: Channel) -> None:
        super().__init__(end.reading, end.writing)
        self.pid = pid
        self.status: Optional[int] = None

    def _read(self) -> None:
        try:
            super()._read()
        except EOFError:
            raise ChildDied(f"a child of the probe {ending(self.wait())}") from None

    def hear(self) -> Any:
        word = super().hear()
        if isinstance(word, dict) and "raised" in word:
            raise _EXCEPTIONS.get(word["raised"], RuntimeError)(word["message"])
        return word

    def wait(self) -> int:
        """Reap; its wait status."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        return self.status

    def kill(self, signum: int = signal.SIGKILL) -> None:
        if self.status is None:
            os.kill(self.pid, signum)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.kill()
            # A stopped process is killed too; one that left a uid we may not signal is not ours.
        with contextlib.suppress(ChildProcessError):
            self.wait()
        self.close()


_EXCEPTIONS: dict[str, type[Exception]] = {"Unsupported": Unsupported, "Blocked": Blocked}


new_process = lens.new_process


def fork(function: Callable[[Channel], Any]) -> Child:
    """Run ``function`` in a child; what it returns is the last word it says.

    The child talks through the Channel it is given and never returns from here.
    Unsupported and Blocked that it raises are raised again where its word is heard.
    """
    ours, theirs = Channel.pair()
    pid = new_process()
    if pid:
        theirs.close()
        return Child(pid, ours)
    code = 1
    try:
        ours.close()
        try:
            theirs.say(function(theirs))
            code = 0
        except Exception as error:
            error = refusals.unexpected(error) or error
            theirs.say({"raised": type(error).__name__, "message": f"{error}" or repr(error)})
    finally:
        os._exit(code)


def answer(function: Callable[[], Any]) -> Any:
    """Ask ``function`` in a child of its own and give its answer."""
    with fork(lambda _: function()) as child:
        return child.hear()


class Shell(Child):
    """A child that is sh(1): each line it prints is a word, a string.  Its input is a pipe."""

    def hear(self) -> str:
        while b"\n" not in self.heard:
            self._read()
        line, _, self.heard = self.heard.partition(b"\n")
        return line.decode()

    def end_input(self) -> None:
        """Have it read the end of its input; whatever it says from here on is heard still."""
        os.close(self.writing)
        self.writing = run_program.open_nothing()


def shell(script: str, before: Callable[[], Any] = lambda: None) -> Shell:
    """A child that runs ``before`` and then becomes sh(1) with ``script``.

    An exception of ``before`` is raised here, as `fork` does.
    """
    if not os.access("/bin/sh", os.X_OK):
        raise Blocked("needs /bin/sh, which is not here: install a shell")
    ours, theirs = Channel.pair()
    # Closed when sh(1) runs; a word there tells why it does not.
    failure, failed = Channel.pair()
    os.set_inheritable(failed.writing, False)
    pid = new_process()
    if pid:
        theirs.close()
        failed.close()
        child = Shell(pid, ours)
        try:
            word = failure.hear()
        except EOFError:
            return child
        finally:
            failure.close()
        with child:
            raise _EXCEPTIONS.get(word["raised"], RuntimeError)(word["message"])
    try:
        before()
        os.dup2(theirs.reading, 0)
        os.dup2(theirs.writing, 1)
        os.execv("/bin/sh", ["sh", "-c", script])
    except Exception as error:
        error = refusals.unexpected(error) or error
        failed.say({"raised": type(error).__name__, "message": f"{error}" or repr(error)})
    finally:
        os._exit(127)


def ending(status: int) -> str:
    """``was killed by SIGSEGV`` or ``exited with 3``, for a wait status."""
    if os.WIFSIGNALED(status):
        return f"was killed by {signal_name(os.WTERMSIG(status))}"
    if os.WIFSTOPPED(status):
        return f"was stopped by {signal_name(os.WSTOPSIG(status))}"
    return f"exited with {os.WEXITSTATUS(status)}"


def signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


# Seeing where a process is ------------------------------------------------------


state = lens.state


def wait_state(pid: int, wanted: str, unless: Callable[[], bool] = lambda: False) -> bool:
    """Wait until the process is seen in one of the states ``wanted``.

    False when ``unless`` came true first.  There is no time limit but the probe's own.
    """
    lens.watch()  # Blocked where it cannot be seen, even if it came to nothing to see.
    pause = 0.00002
    while not unless():  # Asked first, as the state may cost a ps(1).
        seen = state(pid)
        # And after the state was seen: a child that has spoken and then sleeps has spoken.
        if unless():
            break
        if seen and seen in wanted:
            return True
        if not seen or (seen == "Z" and "Z" not in wanted):
            raise ChildDied("a child of the probe ended while it was to be seen waiting")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.005)
    return False


def wait_ended(pid: int) -> None:
    """Wait until a child has ended and its SIGCHLD has been sent; it is not reaped."""
    if hasattr(os, "waitid"):  # Not in Python for macOS before 3.13, nor in PyPy.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return
    wait_state(pid, ENDED)
    # Linux shows state Z a moment before it sends the signal, under a lock that every waitpid()
    # takes for a process that exists, even if it is no child.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(os.getpid(), os.WNOHANG)


ASLEEP = "SI"
STOPPED = "T"
ENDED = "Z"


def wait_asleep(child: Child) -> bool:
    """Wait until the child sleeps in a call.  False when it spoke instead."""
    return wait_state(child.pid, ASLEEP, unless=child.waiting)


# Handlers -------------------------------------------------------------------------


class Deliveries:
    """A handler in C, and a count of the signals it was given.

    It is the handler Python itself installs: it does nothing but note the signal
    and write one byte, so it may run at any moment, unlike a ctypes callback.
    `address` is handed to whatever installer is to be measured; every delivery
    then comes out of `pipe`, which is made here unless it is given.

    SIGCHLD must be counted in a child, by a Deliveries made there: the probe's own process is told
    of orphans too, where it is the reaper, and of every ps(1) that it runs.
    """

    def __init__(self, signum: int, pipe: Optional[tuple[int, int]] = None) -> None:
        lens.layout_of_sigaction()  # Whose trials have children: before their ends are counted.
        self.signum = signum
        self.pipe, self.writer = pipe or os.pipe()
        os.set_blocking(self.writer, False)
        os.set_blocking(self.pipe, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        signal.signal(signum, lambda *_: None)
        self.address: int = lens.sigaction(signum).handler

    def install(self, flags: int, mask: tuple[int, ...] = ()) -> None:
        """Install it again through sigaction(2) with exactly these flags."""
        lens.sigaction(self.signum, self.address, flags, mask)

    def count(self) -> int:
        """Deliveries since the last count."""
        try:
            return os.read(self.pipe, 65536).count(self.signum)
        except BlockingIOError:
            return 0


Blocking = Callable[[], Any]
"""A call that blocks when it is made; what it gives is an errno's name, or how far it came."""


@contextlib.contextmanager
def asleep_in(
    begin: Callable[[], Blocking], before: Callable[[], Any] = lambda: None
) -> Iterator[Child]:
    """A child asleep in the call that ``begin`` gave it, after it has run ``before``.

    All that the call needs is made in the child and goes with it.  The word it owes is
    the call's result as text; an OSError counts as its errno's name.  Raises
    Unsupported where the call comes back at once.
    """

    def subject(parent: Channel) -> str:
        call = begin()
        before()
        parent.say("about to block")
        try:
            return str(call())
        except OSError as error:
            return libc.errno_name(error.errno)

    with fork(subject) as child:
        child.hear()
        # From that word on the child sleeps nowhere but in the call.
        if not wait_asleep(child):
            raise Unsupported(f"the call does not block here: it gave {child.hear()}")
        yield child


def _went_on(child: Child) -> str:
    """``restarts`` if the child is seen asleep again, else what its call came back with."""
    return "restarts" if wait_asleep(child) else str(child.hear())


def interrupted(begin: Callable[[], Blocking], install: Callable[[Deliveries], Any]) -> str:
    """What a blocked call does when a handler runs: ``restarts`` or what it came back with.

    The child of `asleep_in` runs ``install`` on a Deliveries for SIGUSR1 before the call.
    """
    pipe = os.pipe()
    try:
        with asleep_in(begin, lambda: install(Deliveries(signal.SIGUSR1, pipe))) as child:
            child.kill(signal.SIGUSR1)
            # The handler's byte comes before the call goes on or comes back: what is seen
            # of the child from here on is seen after the interruption.
            select.select([pipe[0], child.reading], [], [])
            return _went_on(child)
    finally:
        for end in pipe:
            os.close(end)


def stopped(begin: Callable[[], Blocking]) -> str:
    """What a blocked call does when its process is stopped and continued, as `interrupted`."""
    with asleep_in(begin) as child:
        child.kill(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        # It is in the stop now, out of the call's sleep, and it is made runnable before
        # it is reported as continued: the next sleep that is seen is a new one.
        child.kill(signal.SIGCONT)
        os.waitpid(child.pid, os.WCONTINUED)
        return _went_on(child)


def endless_read() -> Callable[[], int]:
    """A read(2) that blocks for ever: of an empty pipe."""
    reading, _ = os.pipe()
    byte = ctypes.create_string_buffer(1)
    return lambda: libc.call("read", reading, byte, 1)


def callback(function: Callable[[int], None]) -> Any:
    """``function`` as a C handler, for signals the process sends itself with raise().

    Only then is the interpreter at a known place, in the call, when it runs.  Keep
    the result alive while it is installed.
    """
    return ctypes.CFUNCTYPE(None, ctypes.c_int)(function)


def address(handler: Any) -> int:
    return int(ctypes.cast(handler, c_void_p).value or 0)


# Files, sockets, privileges -----------------------------------------------------------


def loopback(family: int = socket.AF_INET) -> str:
    return "127.0.0.1" if family == socket.AF_INET else "::1"


def need_loopback(family: int = socket.AF_INET) -> None:
    """Raise Blocked unless this machine has the loopback address and can reach it."""
    host = loopback(family)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.bind((host, 0))
            asked.connect(asked.getsockname())
    except OSError as error:
        raise Blocked(f"no {host} on this machine ({error.strerror}): bring lo up") from None


def listener(family: int = socket.AF_INET, backlog: int = 8) -> socket.socket:
    """A listening TCP socket on the loopback address, its port picked by the kernel."""
    need_loopback(family)
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind((loopback(family), 0))
    made.listen(backlog)
    return made


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connected pair over loopback: the client's end, the server's end."""
    with listener() as listening, socket.socket() as client:
        client.connect(listening.getsockname())
        server, _ = listening.accept()
        with server:
            try:
                yield client, server
            finally:
                for end in (server, client):
                    with contextlib.suppress(OSError):  # Perhaps it is closed already.
                        reset_on_close(end)


def reset_on_close(connected: socket.socket) -> None:
    """Have close() send a reset: the connection ends at once, and no TIME_WAIT keeps its port."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def set_receive_timeout(asked: socket.socket, seconds: int) -> None:
    """SO_RCVTIMEO.  A struct timeval is two numbers of either width: see how wide it is here."""
    width = len(asked.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 64)) // 2
    timeval = seconds.to_bytes(width, sys.byteorder) + bytes(width)
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


@contextlib.contextmanager
def loopback_fence() -> Iterator[Callable[[], None]]:
    """Keep this process's packets in one queue; call what it gives to see the queue worked off.

    When the call is back, every packet sent before it has been dealt with, and so have
    the answers to it, and the answers to those: two round trips have followed them
    through the loopback interface's queue.  Linux has one queue a processor, so the
    process keeps to one; elsewhere there is one in all.
    """
    with contextlib.ExitStack() as undo:
        if libc.LINUX:
            undo.callback(_keep_to_one_processor())
        near, far = undo.enter_context(tcp_pair())
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def fence() -> None:
            for sender, receiver in 2 * [(near, far), (far, near)]:
                sender.send(b"x")
                receiver.recv(1)

        yield fence


_Processors = ctypes.c_ulong * 128
"""A cpu_set_t for more processors than any kernel is built for (sched_setaffinity(2) Linux)."""


def _keep_to_one_processor() -> Callable[[], object]:
    """Keep this process to one of its processors; return what lets it use the others again.

    Raises Blocked where that is refused and there is more than one.
    """
    # Not by os.sched_setaffinity(), which PyPy lacks.
    size = ctypes.sizeof(_Processors)
    allowed, one = _Processors(), _Processors()
    try:
        libc.call("sched_getaffinity", 0, size, allowed)
        usable = [
            (at, 1 << bit)
            for at, word in enumerate(allowed)
            for bit in range(word.bit_length())
            if word >> bit & 1
        ]
        at, bit = usable[os.getpid() % len(usable)]
        one[at] = bit
        libc.call("sched_setaffinity", 0, size, one)
    except (OSError, Unsupported, Blocked) as error:
        if os.cpu_count() == 1:
            return lambda: None
        raise Blocked(
            f"packets may overtake each other here, as the lab cannot keep to one processor "
            f"({error}): allow sched_setaffinity()"
        ) from None
    return lambda: libc.call("sched_setaffinity", 0, size, allowed)


def pseudo_terminal() -> int:
    """Return the terminal's end of a pair; the other end stays open."""
    if not hasattr(os, "openpty"):
        raise Blocked("this Python has no os.openpty(): run the lab with one that has it")
    try:
        _, terminal = os.openpty()
    except OSError as error:
        raise Blocked(f"no pseudo-terminal ({error.strerror}): mount /dev/pts") from None
    return terminal


def polled(descriptor: int, *asked: str, milliseconds: int = -1) -> list[str]:
    """Wait by poll(2) for events such as ``IN``, and for those that need no asking.

    Return the names of those that came; none if there are none within ``milliseconds``.
    """
    pollfd = lens.pollfd()
    entry = pollfd(descriptor, sum(getattr(select, f"POLL{name}") for name in asked))
    libc.call("poll", ctypes.byref(entry), 1, milliseconds)
    names = ("IN", "PRI", "OUT", "ERR", "HUP", "NVAL")
    return [name for name in names if entry.revents & getattr(select, f"POLL{name}")]


def fill(descriptor: int, chunk: int = 65536) -> int:
    """Write until the descriptor would block; how many bytes it took.  It is blocking after."""
    os.set_blocking(descriptor, False)
    written = 0
    while chunk:
        try:
            written += os.write(descriptor, b"x" * chunk)
        except BlockingIOError:
            chunk //= 2
    os.set_blocking(descriptor, True)
    return written


def need_root(what: str) -> None:
    """Raise Blocked unless the effective user is root."""
    if os.geteuid() != 0:
        raise Blocked(f"{what} needs root: run the lab as root to measure it")


def second_uid() -> int:
    """A user id that is neither root nor this one, for a process to become."""
    need_root("a second user id")
    return 65533


def become(uid: int) -> None:
    """Be this user, and its namesake group, for good: what a daemon that drops root does."""
    try:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    except OSError as error:
        # A user namespace without that id, or root without CAP_SETUID.
        raise Blocked(f"root may not become user {uid} here ({error.strerror})") from None


def unshare(namespaces: int) -> None:
    """New Linux namespaces for this process; unless it is root, in a user namespace of its own."""
    uid, gid = os.geteuid(), os.getegid()
    libc.call("unshare", namespaces | (libc.CLONE_NEWUSER if uid else 0))
    if uid:
        # Without a map its ids are nobody's there, and the files it makes would have no owner.
        if not lens.proc_is_ours():
            raise Blocked("a user namespace gets its user by /proc, which is not here: mount /proc")
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


@contextlib.contextmanager
def small_filesystem(kilobytes: int) -> Iterator[str]:
    """A folder on an empty file system of that size, gone afterwards.

    Linux: a tmpfs in a mount namespace of this process alone, so nothing is left
    even after a kill.  FreeBSD, NetBSD: a mounted tmpfs, unmounted at the end.
    """
    folder = os.path.join(os.getcwd(), "small")
    os.mkdir(folder)
    if libc.LINUX:
        try:
            unshare(libc.CLONE_NEWNS)
            libc.call("mount", b"none", b"/", None, libc.MS_REC | libc.MS_PRIVATE, None)
            options = f"size={kilobytes}k".encode()
            libc.call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options)
        except OSError as error:
            raise Blocked(
                f"a small file system needs root or user namespaces ({error.strerror})"
            ) from None
        yield folder
        return
    need_root("mounting a small file system")
    if libc.NETBSD:
        mount = ["mount_tmpfs", "-s", f"{kilobytes}k", "tmpfs", folder]
    else:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    try:
        status, said = run_program.run(mount, errors_too=True)
    except OSError as error:
        status, said = -1, str(error)
    if status:
        raise Blocked(f"{' '.join(mount[:3])} failed: {said.strip()}")
    try:
        yield folder
    finally:
        run_program.run(["umount", folder])
