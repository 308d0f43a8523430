"""Write to a descriptor, or to standard output, until everything is written."""

from __future__ import annotations

import errno
import os
import sys
import time


def write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` to the descriptor, whole.  Raise OSError if not all of it can be written.

    One write(2) may take a part: of what fits on a disk, or into a pipe that does not
    block.  A descriptor that would block is waited for, because O_NONBLOCK belongs to
    the pipe or terminal, and perhaps another program set it.
    """
    left = memoryview(data)
    while left:
        try:
            written = os.write(descriptor, left)
        except BlockingIOError:
            _wait_until_writable(descriptor)
            continue
        if not written:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left = left[written:]


def write_standard_output(data: bytes) -> None:
    """Write ``data`` to standard output, whole.  Raise OSError that names it.

    Not by `sys.stdout`: with ``python -u`` its write may take a part and not say so.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        # The caller put something else in its place, in memory.
        sys.stdout.buffer.write(data)
        return
    try:
        write_all(descriptor, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _wait_until_writable(descriptor: int) -> None:
    try:
        import select
    except ImportError:
        time.sleep(0.01)
        return
    select.select([], [descriptor], [])
