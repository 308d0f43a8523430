"""Forking: what every child of the service does first and last."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterable

from probes import libc

try:
    import _signal  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # Not CPython.
    import signal as _signal

from .event_log import Say

HANDLED = frozenset(
    map(
        int,
        (
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
        ),
    )
)
"""Every signal the service knows what to do with; blocked around each fork."""

# What the signal module wraps these in makes enums of what they return: 12 us a line and sender,
# and dozens of pages that a child would else share with its parent.
pthread_sigmask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask
sigwait: Callable[[Iterable[int]], int] = _signal.sigwait


def fork(child: Callable[[], int], say: Say) -> int:
    """A child that runs ``child`` and exits with what it returns; its process id.

    It begins with `HANDLED` blocked, and no handler of its parent's is told of anything.
    """
    before = pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                signal.set_wakeup_fd(-1)
                code = child()
            except BaseException as error:
                say(f"a process failed: {type(error).__name__}: {error}")
            finally:
                os._exit(code)
    finally:
        pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def close_all_but(*kept: int) -> None:
    """Close what was inherited: a listener kept open by a child keeps its port from a restart."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One system call on Linux and FreeBSD; elsewhere a loop that must end.
    os.closerange(first, min(soft, 65536) if soft > 0 else 65536)


def dying_with_parent(how: str, signum: int) -> Callable[[int], None]:
    """What a child calls with its parent's process id, to be sent ``signum`` when that ends.

    ``how`` is the setting ``orphans``; with ``pipe`` the platform is not asked.  Made before
    the fork: what a child has to make itself is memory that it does not share.
    """
    ask = None if how == "pipe" else libc.prepare_death_signal(signum)

    def die_with(parent: int) -> None:
        if ask and ask():
            raise OSError("the platform does not tell of a parent's end")
        if os.getppid() != parent:
            # It ended before it could be asked.
            os.kill(os.getpid(), signum)

    return die_with
