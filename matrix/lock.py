"""One process at a time: flock() on a file or a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hold_lock(path: str, flags: int = os.O_RDONLY) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, opened with ``flags``; wait for another holder.

    Raise OSError if it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
