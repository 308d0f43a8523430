"""Becoming a daemon: leave the terminal, write the pid file, drop root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import pwd
import stat
import sys
from typing import TYPE_CHECKING

from probes import libc
from probes.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable


def detach(how: str) -> int:
    """Leave the terminal and continue in the background; ``how`` is the setting ``daemon``.

    The original process waits until the daemon calls `report_start`, and exits accordingly.
    Return the descriptor for `report_start`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with open(reading, "rb") as file:
            result = file.read() or b"the daemon ended unexpectedly"
        if result != READY:
            os.write(2, b"papaya: " + result + b"\n")
        os._exit(0 if result == READY else 3)
    os.close(reading)
    os.setsid()
    if how == "double fork" and os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return writing


READY = b"ready"
"""The daemon's report to the original process when clients can connect."""


def report_start(descriptor: int, result: bytes) -> None:
    """Let the original process exit: ``result`` is `READY` or an error line."""
    os.write(descriptor, result)
    os.close(descriptor)


def write_pid(path: str) -> int:
    """Write the process id to a file, and keep the file locked; return its descriptor.

    Raise CommandError if another process has the lock.
    """
    try:
        while True:
            descriptor = _open_and_lock(path)
            # A process that ended between open() and flock() has removed the opened file.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    break
            os.close(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    return descriptor


def _open_and_lock(path: str) -> int:
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
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise CommandError(f"{path}: papaya is already running as process {other}", 3) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_pid(path: str, descriptor: int) -> None:
    """Empty the pid file, and remove it if the daemon still may."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.unlink(path)


def drop_root(user: str, how: str) -> None:
    """Become ``user`` permanently: groups and all ids; ``how`` is the setting ``privileges``.

    Raise CommandError if that fails, or if root can be regained.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise CommandError(f"user {user!r}: does not exist; create it or change --user") from None
    if entry.pw_uid == 0:
        raise CommandError(f"user {user!r}: is root; choose a user without privileges")
    ids = _get_user_ids()
    if ids == {entry.pw_uid}:
        return
    if 0 not in ids:
        raise CommandError(f"user {user!r}: only root can become it; start as root or omit --user")
    try:
        os.seteuid(0)  # If only the real or the saved id is root, this makes it droppable.
        os.initgroups(user, entry.pw_gid)
        if how == "setresuid":
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        else:
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
    except OSError as error:
        raise CommandError(f"cannot become {user!r}: {error.strerror}", 3) from None
    _check_root_is_gone()
    forbid_new_privileges()


def _get_user_ids() -> set[int]:
    """Return the real and effective user ids and, if the platform tells it, the saved one."""
    getresuid: Callable[[], tuple[int, ...]] | None = getattr(os, "getresuid", None)
    return set(getresuid() if getresuid else (os.getuid(), os.geteuid()))


def _check_root_is_gone() -> None:
    for regain in (os.setuid, os.setgid, os.seteuid):
        with contextlib.suppress(OSError):
            regain(0)
            raise CommandError("root could be regained; refusing to serve", 3)


def forbid_new_privileges() -> bool:
    """Keep programs that this process executes from gaining privileges (set-user-id).

    Return whether the platform supports that.
    """
    try:
        if libc.LINUX:
            libc.call("prctl", libc.PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
        elif libc.FREEBSD:
            enable = ctypes.byref(ctypes.c_int(libc.PROC_NO_NEW_PRIVS_ENABLE))
            libc.call(
                "procctl", libc.P_PID_FREEBSD, os.getpid(), libc.PROC_NO_NEW_PRIVS_CTL, enable
            )
        else:
            return False
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise CommandError(f"no_new_privs: {error.strerror}", 3) from None
        return False
    return True
