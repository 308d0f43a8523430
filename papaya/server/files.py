"""The files of the service: which of them it may write, and those that it holds while it runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping

from probes.errors import CommandError

from ..protocol import split_time, stamp_lines

_STAMP = stamp_lines([b""], 0)[:-1]
_HINTS = {
    errno.ENOENT: "create its folder",
    errno.EACCES: "give papaya's user access to its folder",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
}


def check_distinct(paths: Mapping[str, str]) -> None:
    """Raise CommandError if two of the paths, by option, are one file by any of its names.

    Links are followed; files that do not exist yet are compared by their resolved paths.  The
    path is empty if the option is not given.
    """
    options: dict[object, str] = {}
    for option, path in paths.items():
        for identity in _identify(path) if path else ():
            other = options.setdefault(identity, option)
            if other != option:
                raise CommandError(
                    f"{path}: {option} is the same file as {other}; choose another path"
                )


def _identify(path: str) -> Iterator[object]:
    yield os.path.realpath(path)
    with contextlib.suppress(OSError):
        found = os.stat(path)
        yield found.st_dev, found.st_ino


def check_log(path: str, most: int) -> None:
    """Raise CommandError if the file is not a log that papaya may append to.

    ``most`` is the length in bytes of the longest line.  A file that does not exist is a log, if
    its folder exists.  A log may be reached by a symbolic link, and may be readable or writable
    by its group, but only this user and root may own it or the link.  With a second hard link,
    two servers could write one log, each unaware of the other.
    """
    trusted = (os.geteuid(), 0)
    try:
        link = os.lstat(path)
        # Without O_CREAT and O_TRUNC, this changes nothing.
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            raise CommandError(f"{folder}: does not exist; create it or change --log", 3) from None
        return
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; change --log", 3) from None
    try:
        found = os.fstat(descriptor)
        problem = ""
        if not stat.S_ISREG(found.st_mode):
            problem = "not a regular file"
        elif stat.S_ISLNK(link.st_mode) and link.st_uid not in trusted:
            problem = f"is a symbolic link of user {link.st_uid}; remove it"
        elif found.st_uid not in trusted:
            problem = f"belongs to user {found.st_uid}; chown it to papaya's user"
        elif found.st_nlink > 1:
            problem = "has other hard links; remove them"
        elif found.st_mode & stat.S_IWOTH:
            problem = f"others can write it (mode {found.st_mode & 0o777:04o}); chmod o-w it"
        elif not _has_whole_end(descriptor, found.st_size, most):
            problem = (
                "the last line is unfinished and not papaya's; if this is a log, end it with a "
                "line feed"
            )
        if problem:
            separator = " or" if ";" in problem else ";"
            raise CommandError(f"{path}: {problem}{separator} change --log", 3)
    finally:
        os.close(descriptor)


def _has_whole_end(descriptor: int, size: int, most: int) -> bool:
    """Return whether the file ends with a line feed, or with a line that papaya began.

    The latter begins with a time, or, after another line of papaya's, with a part of one.
    """
    longest = len(_STAMP) + most
    start = max(0, size - 2 * (longest + 1))
    *_, before, torn = (None, *os.pread(descriptor, size - start, start).rsplit(b"\n", 2))
    if not torn or len(torn) > longest:
        return not torn
    if before is None:
        return _is_stamped(torn)
    complete = torn + _STAMP[len(torn) :]
    return len(before) <= longest and _is_stamped(before) and _is_stamped(complete)


def _is_stamped(line: bytes) -> bool:
    return split_time(line.decode(errors="replace"))[0] is not None


def get_lock_path(log: str) -> str:
    """Return the path of the file that papaya holds while it writes ``log``.

    The file is beside the log, so that the lock survives the log's rotation, and the path is
    the same by whichever path the log is given.
    """
    return os.path.realpath(log) + ".lock"


def hold_file(path: str, option: str) -> int:
    """Lock a file for this process alone, and write the process id to it; return its descriptor.

    The lock ends with the process, or with `release_file`.  Children do not inherit it
    (locks.fcntl_inherited_by_fork), so one that outlives the daemon does not keep it; but this
    process must not open the file again (locks.fcntl_dropped_by_any_close).  Raise CommandError,
    which advises to change ``option``, if another process has the lock, or the file is none that
    papaya may write.
    """
    try:
        while True:
            descriptor = _open_and_lock(path, option)
            # A process that ended between open() and the lock has removed the opened file.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    break
            os.close(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError:
            release_file(path, descriptor)
            raise
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)
        advice = f"{hint} or change {option}" if hint else f"change {option}"
        raise CommandError(f"{path}: {error.strerror}; {advice}", 3) from None
    return descriptor


def _open_and_lock(path: str, option: str) -> int:
    # papaya may be root here, and the folder another user's: that user must not be able to
    # redirect the write with a link.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError:
        if os.path.islink(path):
            raise CommandError(f"{path}: is a symbolic link; remove it", 3) from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise CommandError(f"{path}: not a regular file, or has other hard links", 3)
        if found.st_uid != os.geteuid():
            raise CommandError(f"{path}: belongs to user {found.st_uid}; remove it", 3)
        content = os.pread(descriptor, 32, 0)
        if found.st_size > 32 or not re.fullmatch(rb"(\s*\d+\s*)?", content):
            raise CommandError(
                f"{path}: has content that is not a process id; remove it or change {option}", 3
            )
        if not _lock(descriptor):
            holder = f" as process {content.decode().strip()}" if content.strip() else ""
            raise CommandError(
                f"{path}: papaya is already running{holder}; stop it or change {option}", 3
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int) -> bool:
    """Take the lock, and return whether no other process has it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):  # POSIX allows both for fcntl().
            return False
        raise
    return True


def release_file(path: str, descriptor: int) -> None:
    """Empty the file that `hold_file` returned, remove it if this process may, and close it."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        # The path may name a file of another papaya by now.
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            os.unlink(path)
    os.close(descriptor)
