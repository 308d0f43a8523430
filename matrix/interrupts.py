"""Hold back the signals that would stop a process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def block_stopping() -> Iterator[Callable[[], None]]:
    """Block the signals that would stop this process until the block is left.

    Yield a function for ``preexec_fn``, because a new process would inherit the blocked signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield restore
    finally:
        restore()
