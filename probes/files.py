"""Open files, and write to files and descriptors until everything is written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from typing import Optional, Union


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data`` to the descriptor, or raise OSError.

    One write(2) may write only a part, such as what fits on the disk or into a pipe.  If the
    descriptor would block, wait, because another program may have set O_NONBLOCK: it belongs to
    the pipe or terminal.
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
    """Write all of ``data`` to standard output, or raise OSError that names it.

    `sys.stdout.write` is not used, because with ``python -u`` it may write only a part.
    """
    if sys.stdout is None:  # It was closed when Python started.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        # The caller replaced it with an object in memory.
        sys.stdout.buffer.write(data)
        return
    try:
        write_all(descriptor, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def write_standard_error(text: str) -> None:
    """Write to standard error, and ignore errors: the exit status still tells of a failure."""
    stderr = sys.stderr
    if stderr is None:
        return
    try:
        own = stderr.fileno() == 2
    except (OSError, ValueError):  # io.StringIO has none.
        own = False
    with contextlib.suppress(OSError, ValueError):
        if not own:
            stderr.write(text)  # A caller has replaced it.
        stderr.flush()
    if own:
        with contextlib.suppress(OSError):
            write_all(2, text.encode("utf-8", "backslashreplace"))


def open_standard_descriptors() -> None:
    """Open descriptors 0, 1 and 2 if they are closed, or other files would get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = _open_replacement(number)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, mode, closefd=False))


def _open_replacement(number: int) -> int:
    """Open a descriptor that has no input; if it is standard output, writing to it fails."""
    with contextlib.suppress(OSError):
        # Read-only for standard output, so that a program that writes to it gets an error.
        return os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    # Without a null device, use a pipe whose other end is closed.
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


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a FIFO; without one the FIFO is empty."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(descriptor, True)
    return descriptor


def write_whole(path: Union[str, os.PathLike[str]], text: Union[str, bytes]) -> None:
    """Write ``text`` to ``path`` through a temporary file, so that no reader sees a part.

    If ``path`` is a symbolic link, write the file that it leads to.  If it is not a regular file
    (a terminal, a pipe, /dev/stdout), write to it directly.  Raises OSError that names ``path``,
    and leaves the old file as it was.
    """
    name = os.fspath(path)
    data = text.encode() if isinstance(text, str) else text
    try:
        _write_whole(name, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None


def _write_whole(name: str, data: bytes) -> None:
    mode, owner = 0o666 & ~_get_umask(), (-1, -1)
    with contextlib.suppress(FileNotFoundError):
        there = os.stat(name)
        descriptor = os.path.abspath(name).startswith(("/dev/std", "/dev/fd/", "/proc/"))
        if descriptor or not stat.S_ISREG(there.st_mode):
            # Unbuffered, because a buffer fails again on close if it could not be written.
            with open(name, "ab", buffering=0) as file:
                write_all(file.fileno(), data)
            return
        if not os.access(name, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mode, owner = stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid)
    target = os.path.realpath(name)
    folder, last = os.path.split(target)
    beside = os.path.join(folder, f".{last[:100]}.{os.urandom(4).hex()}")
    try:
        with open(beside, "xb", opener=_open_private) as file:
            file.write(data)
        with contextlib.suppress(PermissionError):
            os.chown(beside, *owner)
        os.chmod(beside, mode)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _get_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_output(path: Optional[str], text: str) -> None:
    """Write to the file ``path``, whole or not at all; to standard output if it is None or ``-``.

    Raises OSError if not everything can be written.
    """
    # Escape what cannot be encoded: no locale must keep a fact from being printed.
    data = text.encode("utf-8", "backslashreplace")
    if path is None or path == "-":
        sys.stdout.flush()
        write_standard_output(data)
    else:
        write_whole(path, data)
