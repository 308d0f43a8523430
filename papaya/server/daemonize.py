"""Becoming a daemon: leave the terminal, drop root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
from typing import TYPE_CHECKING

from probes import libc
from probes.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def detach(how: str) -> int:
    """Leave the terminal and continue in the background; ``how`` is the setting ``daemon``.

    The original process waits until the daemon calls `report_start` or `report_failure`, prints
    what it reports, and exits accordingly.  Return the descriptor for that report.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with open(reading, "rb") as file:
            result = file.read() or b"the daemon ended unexpectedly"
        os._exit(_show_result(result))
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


_READY = b"ready\n"


def _show_result(result: bytes) -> int:
    """Print what the daemon reported; return the exit status of the original process."""
    ready = result.startswith(_READY)
    text = result.removeprefix(_READY) if ready else b"papaya: " + result + b"\n"
    try:
        os.write(1 if ready else 2, text)
    except OSError as error:  # The daemon runs nevertheless.
        with contextlib.suppress(OSError):
            os.write(2, f"papaya: cannot print the addresses: {error.strerror}\n".encode())
    return 0 if ready else 3


def report_start(descriptor: int, lines: list[str]) -> None:
    """Let the original process print ``lines`` and exit, because clients can connect."""
    os.write(descriptor, _READY + "".join(f"{line}\n" for line in lines).encode())
    os.close(descriptor)


def report_failure(descriptor: int, error: str) -> None:
    """Let the original process print ``error`` and exit with status 3."""
    os.write(descriptor, error.encode())
    os.close(descriptor)


def find_user(name: str) -> pwd.struct_passwd:
    """Return the entry of the user to run as.  Raise CommandError if it is missing or root."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CommandError(f"user {name!r}: does not exist; create it or change --user") from None
    if entry.pw_uid == 0:
        raise CommandError(f"user {name!r}: is root; choose a user without privileges")
    return entry


@contextlib.contextmanager
def act_as(user: str) -> Iterator[None]:
    """Act as ``user`` for the duration of a ``with`` block, if this process is root.

    The files of the block are opened with that user's rights, and belong to it.  The
    supplementary groups stay the user's: root does not need any.
    """
    if not user or os.geteuid() != 0:
        yield
        return
    entry, group = find_user(user), os.getegid()
    try:
        os.initgroups(user, entry.pw_gid)
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
    except OSError as error:
        raise CommandError(f"cannot become {user!r}: {error.strerror}", 3) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def drop_root(user: str, how: str) -> None:
    """Become ``user`` permanently: groups and all ids; ``how`` is the setting ``privileges``.

    Raise CommandError if that fails, or if root can be regained.
    """
    entry = find_user(user)
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
