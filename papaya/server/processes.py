"""Forking: what every child of the service does first and last."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

from probes import libc

try:
    import _signal  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # Not CPython.
    import signal as _signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .event_log import EventLog

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
"""Every signal that the service handles; blocked around each fork."""

# The wrappers in the signal module make enums of the results, which costs each sender 12 us per
# line, and copies dozens of pages that a child would otherwise share with its parent.
pthread_sigmask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask
sigwait: Callable[[Iterable[int]], int] = _signal.sigwait
set_handler: Callable[[int, object], object] = _signal.signal
set_timer: Callable[..., tuple[float, float]] = _signal.setitimer


def fork_child(run: Callable[[], int], log_event: EventLog) -> int:
    """Fork a child that calls ``run`` and exits with its result; return the child's process id.

    The child begins with `HANDLED` blocked, and without its parent's wakeup descriptor.
    """
    before = pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        return fork_blocked(run, log_event)
    finally:
        pthread_sigmask(signal.SIG_SETMASK, before)


def fork_blocked(run: Callable[[], int], log_event: EventLog) -> int:
    """Do what `fork_child` does in a process that has `HANDLED` blocked already."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            code = run()
        except BaseException as error:
            log_event(f"a process failed: {type(error).__name__}: {error}")
        finally:
            os._exit(code)
    return pid


def close_inherited(*kept: int) -> None:
    """Close all descriptors from 3 on, apart from ``kept``.

    A child that kept a listening socket open would keep a restarted daemon from its port.
    """
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One system call on Linux and FreeBSD; a loop elsewhere, which must end.
    os.closerange(first, min(soft, 65536) if soft > 0 else 65536)


def make_death_request(how: str, signum: int) -> Callable[[int], None]:
    """Return a function that a child calls with its parent's process id.

    When the parent dies, the kernel then sends the child ``signum``.  ``how`` is the setting
    ``orphans``; with ``pipe`` the kernel is not asked.  Call this before the fork: the child
    would not share the memory that it takes.
    """
    ask = None if how == "pipe" else libc.prepare_death_signal(signum)

    def request_death_signal(parent: int) -> None:
        if ask and ask():
            raise OSError("the kernel refused to signal the parent's death")
        if os.getppid() != parent:
            # The parent died before the request.
            os.kill(os.getpid(), signum)

    return request_death_signal


def describe_exit(status: int) -> str:
    """Describe what waitpid() returned for a child, such as "exit status 1" or "SIGKILL"."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # A real-time signal has no name.
        return f"signal {-code}"
