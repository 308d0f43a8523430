"""Becoming a daemon: the terminal, the process id's file, root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import pwd
import stat
import sys
from collections.abc import Callable

from probes import libc
from probes.errors import CommandError


def detach(how: str) -> int:
    """Leave the terminal for good and go on in the background; ``how`` is the setting ``daemon``.

    The process that was started waits for what `tell` says, and exits with it.  Returns
    the descriptor for `tell`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    hearing, telling = os.pipe()
    if os.fork():
        os.close(telling)
        with open(hearing, "rb") as heard:
            said = heard.read() or b"it ended"
        if said != READY:
            os.write(2, b"papaya: " + said + b"\n")
        os._exit(0 if said == READY else 3)
    os.close(hearing)
    os.setsid()
    if how == "double fork" and os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return telling


READY = b"ready"
"""What the process that was started is told when clients may come."""


def tell(telling: int, said: bytes) -> None:
    """Let the process that was started end: `READY`, or the line that says why not."""
    os.write(telling, said)
    os.close(telling)


def write_pid(path: str) -> int:
    """Write our process id into a file and lock it as long as we live; its descriptor.

    Raises CommandError where another holds it.
    """
    try:
        while True:
            descriptor = _locked(path)
            # One that ended between the opening and the lock has removed what was opened.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    break
            os.close(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    return descriptor


def _locked(path: str) -> int:
    # As root, in a folder that may be another's: nobody is to have us write to what he points at.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError:
        if os.path.islink(path):
            raise CommandError(f"{path}: is a symbolic link", 3) from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise CommandError(f"{path}: no regular file, or one that has other names", 3)
        if found.st_uid != os.geteuid():
            raise CommandError(f"{path}: belongs to user {found.st_uid}; remove it", 3)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise CommandError(f"{path}: papaya is running already, as process {other}", 3) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_pid(path: str, descriptor: int) -> None:
    """At the end; if it cannot be removed by now, it is left empty."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.unlink(path)


def give_up_root(user: str, how: str) -> None:
    """Be ``user`` for good: groups, ids, and no way back; ``how`` is the setting ``privileges``.

    Raises CommandError where that cannot be, or did not hold.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise CommandError(
            f"user {user!r}: there is none; create it, or give another --user"
        ) from None
    if entry.pw_uid == 0:
        raise CommandError(f"user {user!r} is root: give one without privileges")
    ids = _user_ids()
    if ids == {entry.pw_uid}:
        return
    if 0 not in ids:
        raise CommandError(f"only root can become {user!r}: start as root, or leave --user out")
    try:
        os.seteuid(0)  # Where it is the real or the saved one alone, that is given up too.
        os.initgroups(user, entry.pw_gid)
        if how == "setresuid":
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        else:
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
    except OSError as error:
        raise CommandError(f"cannot become {user!r}: {error.strerror}", 3) from None
    _check_it_is_gone()
    no_new_privileges()


def _user_ids() -> set[int]:
    """The real, the effective and, where it can be asked for, the saved one."""
    asked: Callable[[], tuple[int, ...]] | None = getattr(os, "getresuid", None)
    return set(asked() if asked else (os.getuid(), os.geteuid()))


def _check_it_is_gone() -> None:
    for regain in (os.setuid, os.setgid, os.seteuid):
        with contextlib.suppress(OSError):
            regain(0)
            raise CommandError("root was not given up for good; refusing to serve", 3)


def no_new_privileges() -> bool:
    """No program this one becomes gains privileges (set-user-id).  Whether the platform can."""
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
