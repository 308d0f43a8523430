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

from .journal import Say

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


def die_with_parent(how: str, parent: int, signum: int) -> None:
    """Have ``signum`` sent to this process when ``parent`` ends, where the platform can.

    ``how`` is the setting ``orphans``; with ``pipe`` nothing is asked for.
    """
    if how != "pipe":
        libc.die_with_parent(signum)
    if os.getppid() != parent:
        # It ended before it could be asked.
        os.kill(os.getpid(), signum)
