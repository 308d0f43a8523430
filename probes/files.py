"""Write to a descriptor, standard output or standard error until everything is written."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data`` to the descriptor; raise OSError if that fails.

    One write(2) may take only a part, on a full disk or into a non-blocking pipe.  Wait for a
    descriptor that would block, because O_NONBLOCK belongs to the pipe or terminal, and another
    program may have set it.
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
    """Write all of ``data`` to standard output; raise an OSError that names it if that fails.

    Not by `sys.stdout`, whose write with ``python -u`` may silently take only a part.
    """
    if sys.stdout is None:  # It was closed when Python started.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        # The caller replaced it by a buffer in memory.
        sys.stdout.buffer.write(data)
        return
    try:
        write_all(descriptor, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def write_standard_error(text: str) -> None:
    """Write to standard error; ignore a failure, as only the exit status could report it."""
    stderr = sys.stderr
    if stderr is None:
        return
    try:
        own = stderr.fileno() == 2
    except (OSError, ValueError):  # io.StringIO has none.
        own = False
    with contextlib.suppress(OSError, ValueError):
        if not own:
            stderr.write(text)  # A caller, such as papaya, collects it.
        stderr.flush()
    if own:
        with contextlib.suppress(OSError):
            write_all(2, text.encode("utf-8", "backslashreplace"))


def open_standard_descriptors() -> None:
    """Open descriptors 0, 1 and 2 if they are closed, so that no other file gets the number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = _open_in_place_of(number)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, mode, closefd=False))


def _open_in_place_of(number: int) -> int:
    """Open a descriptor that reads end of file; in place of standard output, writing fails."""
    with contextlib.suppress(OSError):
        # Read-only in place of standard output, so that a program that writes gets an error.
        return os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    # There is no null device: a pipe without its other end reads and takes nothing.
    reading, writing = os.pipe()
    kept, other = (writing, reading) if number == 2 else (reading, writing)
    os.close(other)
    return kept


def _wait_until_writable(descriptor: int) -> None:
    try:
        import select
    except ImportError:
        time.sleep(0.01)
        return
    select.select([], [descriptor], [])
