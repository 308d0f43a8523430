"""Block a child in a call, interrupt the call, and count the signals a handler gets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Iterator
from typing import Any, Callable, Optional

from .. import lens, libc
from ..probe import Unsupported
from . import children
from .children import Channel, Child


class Deliveries:
    """A handler in C, and a count of the signals that were delivered to it.

    It is the handler that Python itself installs: it only notes the signal and writes one byte,
    so it may run at any moment, unlike a ctypes callback.  Give `address` to the installer that
    is measured; every delivery then writes to `pipe`, which is made here unless it is given.

    SIGCHLD must be counted in a child, by a Deliveries made there: the probe's own process also
    gets it for orphans, if it is the reaper, and for every ps(1) that it runs.
    """

    def __init__(self, signum: int, pipe: Optional[tuple[int, int]] = None) -> None:
        # First, because its trials have children, whose ends must not be counted.
        lens.find_sigaction_layout()
        self.signum = signum
        self.pipe, self.writer = pipe or os.pipe()
        os.set_blocking(self.writer, False)
        os.set_blocking(self.pipe, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        signal.signal(signum, lambda *_: None)
        self.address: int = lens.sigaction(signum).handler

    def install(self, flags: int, mask: tuple[int, ...] = ()) -> None:
        """Install the handler again, through sigaction(2) and with exactly these flags."""
        lens.sigaction(self.signum, self.address, flags, mask)

    def count(self) -> int:
        """Return the number of deliveries since the last count."""
        try:
            return os.read(self.pipe, 65536).count(self.signum)
        except BlockingIOError:
            return 0


def make_handler(function: Callable[[int], None]) -> Any:
    """Return ``function`` as a C handler, for signals that the process sends itself by raise().

    Only then is the interpreter at a known place when it runs: in the call.  Keep the result
    alive while it is installed.
    """
    return ctypes.CFUNCTYPE(None, ctypes.c_int)(function)


def get_address(handler: Any) -> int:
    return int(ctypes.cast(handler, ctypes.c_void_p).value or 0)


Blocking = Callable[[], Any]
"""A call that blocks when it is made; it returns the name of an errno, or how far it came."""


@contextlib.contextmanager
def block_child(
    begin: Callable[[], Blocking], before: Callable[[], Any] = lambda: None
) -> Iterator[Child]:
    """Yield a child that sleeps in the call which ``begin`` returned, after it ran ``before``.

    Everything that the call needs is made in the child and ends with it.  The child's next
    message is the result of the call as text; an OSError counts as the name of its errno.
    Raises Unsupported if the call does not block.
    """

    def subject(parent: Channel) -> str:
        call = begin()
        before()
        parent.send("about to block")
        try:
            return str(call())
        except OSError as error:
            return libc.name_errno(error.errno)

    with children.fork(subject) as child:
        child.receive()
        # After that message the child sleeps nowhere but in the call.
        if not children.wait_until_asleep(child):
            raise Unsupported(f"the call does not block here: it returned {child.receive()}")
        yield child


def _await_outcome(child: Child) -> str:
    """Return ``restarts`` if the child is seen asleep again, otherwise what its call returned."""
    return "restarts" if children.wait_until_asleep(child) else str(child.receive())


def interrupt(begin: Callable[[], Blocking], install: Callable[[Deliveries], Any]) -> str:
    """Run a handler during a blocked call; return ``restarts`` or what the call returned.

    The child of `block_child` runs ``install`` on a Deliveries for SIGUSR1 before the call.
    """
    pipe = os.pipe()
    try:
        with block_child(begin, lambda: install(Deliveries(signal.SIGUSR1, pipe))) as child:
            child.kill(signal.SIGUSR1)
            # The handler writes its byte before the call goes on or returns: whatever is seen
            # of the child from here on happens after the interruption.
            select.select([pipe[0], child.reading], [], [])
            return _await_outcome(child)
    finally:
        for end in pipe:
            os.close(end)


def stop_and_continue(begin: Callable[[], Blocking]) -> str:
    """Stop and continue a process during a blocked call; return as `interrupt` does."""
    with block_child(begin) as child:
        child.kill(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        # The child has left the call's sleep and is stopped.  It is made runnable before it
        # is reported as continued: the next sleep that is seen is a new one.
        child.kill(signal.SIGCONT)
        os.waitpid(child.pid, os.WCONTINUED)
        return _await_outcome(child)


def prepare_endless_read() -> Callable[[], int]:
    """Return a read(2) that blocks for ever: that of an empty pipe."""
    reading, _ = os.pipe()
    byte = ctypes.create_string_buffer(1)
    return lambda: libc.call("read", reading, byte, 1)


def poll(descriptor: int, *asked: str, milliseconds: int = -1) -> list[str]:
    """Wait by poll(2) for events such as ``IN``, and for those that are always reported.

    Return their names; an empty list if none comes within ``milliseconds``.
    """
    pollfd = lens.pollfd()
    entry = pollfd(descriptor, sum(getattr(select, f"POLL{name}") for name in asked))
    libc.call("poll", ctypes.byref(entry), 1, milliseconds)
    names = ("IN", "PRI", "OUT", "ERR", "HUP", "NVAL")
    return [name for name in names if entry.revents & getattr(select, f"POLL{name}")]


def fill(descriptor: int, chunk: int = 65536) -> int:
    """Write until the descriptor would block, and make it blocking; return the bytes written."""
    os.set_blocking(descriptor, False)
    written = 0
    while chunk:
        try:
            written += os.write(descriptor, b"x" * chunk)
        except BlockingIOError:
            chunk //= 2
    os.set_blocking(descriptor, True)
    return written
