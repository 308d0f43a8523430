"""Check for and give up privileges, and use those that namespaces and mounts need."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from ctypes import c_ulong

from .. import lens, libc, run_program
from ..probe import Blocked, Unsupported


def require_root(what: str) -> None:
    """Raise Blocked unless the effective user is root."""
    if os.geteuid() != 0:
        raise Blocked(f"{what} needs root: run the lab as root to measure it")


def require_second_uid() -> int:
    """Return a user id that is neither root nor this user's, which a process can change to.

    Raises Blocked unless the effective user is root, and loses its rights with its user id.
    """
    require_root("a second user id")
    if _keeps_capabilities():
        raise Blocked(
            "the securebits let another user keep root's rights: run the lab without them"
        )
    return 65533


_PR_GET_SECUREBITS, _NO_SETUID_FIXUP = 27, 1 << 2  # Linux, include/uapi/linux/


def _keeps_capabilities() -> bool:
    """Return whether Linux takes no capabilities when the user id changes (capabilities(7))."""
    if not libc.LINUX:
        return False
    with contextlib.suppress(OSError, Unsupported, Blocked):
        bits = libc.call("prctl", _PR_GET_SECUREBITS, *map(c_ulong, (0, 0, 0, 0)))
        return bool(bits & _NO_SETUID_FIXUP)
    return False


def become_user(uid: int) -> None:
    """Change to this user, and the group of that number, for good, as a daemon drops root."""
    try:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    except OSError as error:
        # A user namespace without that id, or root without CAP_SETUID.
        raise Blocked(f"root may not become user {uid} here ({error.strerror})") from None


def open_pty() -> tuple[int, int]:
    """Return both ends of a new pseudo-terminal: the master's, then the terminal's."""
    if not hasattr(os, "openpty"):
        raise Blocked("this Python has no os.openpty(): run the lab with one that has it")
    try:
        return os.openpty()
    except OSError as error:
        raise Blocked(f"no pseudo-terminal ({error.strerror}): mount /dev/pts") from None


def open_terminal() -> int:
    """Return the terminal's end of a new pseudo-terminal; the other end stays open."""
    return open_pty()[1]


def find_terminal_name(terminal: int) -> str:
    """Return the path by which a terminal can be opened again; raise Blocked if it has none."""
    try:
        name = os.ttyname(terminal)
        os.close(os.open(name, os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise Blocked(
            f"a new terminal cannot be opened by name ({error.strerror}): mount /dev/pts"
        ) from None
    return name


def open_dev_tty() -> str:
    """Open /dev/tty; return ``ok`` or the name of the error.

    Raises Blocked if it is missing or refused, because that says nothing of the terminal.
    """
    result = libc.try_call("open", b"/dev/tty", os.O_RDWR | os.O_NOCTTY)
    if result in ("EACCES", "EPERM", "ENOENT"):
        raise Blocked(f"/dev/tty cannot be opened here ({result}): mount /dev outside a sandbox")
    return result


def unshare(namespaces: int) -> None:
    """Move this process to new Linux namespaces, in a new user namespace unless it is root."""
    uid, gid = os.geteuid(), os.getegid()
    libc.call("unshare", namespaces | (libc.CLONE_NEWUSER if uid else 0))
    if uid:
        # Without a map its ids are 65534, and its new files have no owner.
        if not lens.is_proc_ours():
            raise Blocked(
                "a user namespace needs /proc to map its user, and it is not here: mount /proc"
            )
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


@contextlib.contextmanager
def mount_small_filesystem(kilobytes: int) -> Iterator[str]:
    """Yield a folder on an empty file system of that size, which is gone afterwards.

    Linux: a tmpfs in a mount namespace of this process only, so nothing is left even if it is
    killed.  FreeBSD, NetBSD: a mounted tmpfs, unmounted at the end.
    """
    folder = os.path.join(os.getcwd(), "small")
    os.mkdir(folder)
    if libc.LINUX:
        try:
            unshare(libc.CLONE_NEWNS)
            libc.call("mount", b"none", b"/", None, libc.MS_REC | libc.MS_PRIVATE, None)
            options = f"size={kilobytes}k".encode()
            libc.call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options)
        except OSError as error:
            raise Blocked(
                f"a small file system needs root or user namespaces ({error.strerror})"
            ) from None
        yield folder
        return
    require_root("mounting a small file system")
    if libc.NETBSD:
        mount = ["mount_tmpfs", "-s", f"{kilobytes}k", "tmpfs", folder]
    else:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    try:
        status, output = run_program.run(mount, errors_too=True)
    except OSError as error:
        status, output = -1, str(error)
    if status:
        raise Blocked(f"{' '.join(mount[:3])} failed: {output.strip()}")
    try:
        yield folder
    finally:
        run_program.run(["umount", folder])
