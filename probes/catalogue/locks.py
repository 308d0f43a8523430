"""File locks: flock, fcntl record locks, open file description locks, lockf."""

from __future__ import annotations

import ctypes
import fcntl
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN
from typing import Any, Callable

from .. import lens, libc
from ..fact import CONFIGURED
from ..harness import children
from ..harness.children import Channel, Child
from ..probe import Blocked, Unsupported, probe

# 32-bit glibc's fcntl() takes the small struct flock for some commands; fcntl64() never does.
_FCNTL = "fcntl64" if libc.has("fcntl64") else "fcntl"

# Python may have been built on an older Linux: include/uapi/asm-generic/fcntl.h.
_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37 if libc.LINUX else None)


def _open_file(flags: int = os.O_RDWR) -> int:
    """Return a new open file description of the file that all these locks are on."""
    return os.open("locked", flags | os.O_CREAT, 0o600)


def _is_granted(outcome: str) -> bool:
    if outcome in ("EAGAIN", "EWOULDBLOCK", "EACCES"):
        return False
    if outcome in ("ENOLCK", "EOPNOTSUPP", "ENOTSUP"):
        raise Blocked(
            f"the scratch file system has no such lock ({outcome}): set TMPDIR to another"
        )
    if outcome != "ok":
        raise OSError(f"a lock failed with {outcome}")
    return True


def _flock(descriptor: int, operation: int = LOCK_EX) -> bool:
    """Call flock(2) without waiting; return whether the lock was granted."""
    return _is_granted(libc.try_call("flock", descriptor, operation | LOCK_NB))


def _make_range(start: int = 0, length: int = 0) -> Any:
    """Return a struct flock for a write lock, by default on the whole file."""
    lock = lens.flock()(l_type=fcntl.F_WRLCK, l_whence=os.SEEK_SET, l_start=start, l_len=length)
    return ctypes.byref(lock)


def _lock_record(descriptor: int, start: int = 0, length: int = 0) -> bool:
    """Call F_SETLK; return whether this process was granted the record lock."""
    return _is_granted(libc.try_call(_FCNTL, descriptor, fcntl.F_SETLK, _make_range(start, length)))


def _lock_description(descriptor: int) -> bool:
    """Call F_OFD_SETLK; return whether the open file description was granted the lock."""
    outcome = (
        "EINVAL"
        if _OFD_SETLK is None
        else libc.try_call(_FCNTL, descriptor, _OFD_SETLK, _make_range())
    )
    if outcome == "EINVAL":
        raise Unsupported("this system has no open file description locks")
    return _is_granted(outcome)


def _lockf(descriptor: int) -> bool:
    return _is_granted(libc.try_call("lockf", descriptor, os.F_TLOCK, 0))


Lock = Callable[[int], bool]


def _is_free(lock: Lock) -> bool:
    """Return whether another process, with its own open(), is granted the lock now."""
    return bool(children.run_in_child(lambda: lock(_open_file())))


def _survives_exec(lock: Lock) -> bool:
    """Return whether a process still holds its lock after exec."""

    def holder() -> None:
        descriptor = _open_file()
        lock(descriptor)
        os.set_inheritable(descriptor, True)

    with children.start_shell("echo true; read end", holder) as child:
        child.receive()  # The shell prints, so exec is over.
        return not lock(_open_file())


# flock(2) of FreeBSD, NetBSD, OpenBSD and macOS in the same words, that of Linux in others:
# duplicates made by dup and fork refer to one lock.
_ONE_LOCK = {"linux": True, "freebsd": True, "netbsd": True, "openbsd": True, "macos": True}


@probe(
    matters="Children that inherit an open log never exclude one another: lines interleave.",
    advice="Open the file to be locked in every process, after the fork.",
    symptoms=[
        "flock does not exclude: parent and child, or all workers, hold the exclusive lock at once",
        "advisory lock inherited by a forked child, pre-fork server",
    ],
    reference="flock(2)",
    documented=_ONE_LOCK,
)
def flock_shared_by_fork() -> bool:
    """Does a child share the flock() lock its parent holds?"""
    descriptor = _open_file()
    _flock(descriptor)
    return bool(children.run_in_child(lambda: _flock(descriptor)))


@probe(
    matters="One child that unlocks an inherited descriptor takes the lock from all others.",
    advice="Open the file to be locked in every process, after the fork.",
    symptoms=[
        "parent loses its lock when a child unlocks or exits",
        "advisory lock released by a child after fork",
    ],
    reference="flock(2)",
    documented=_ONE_LOCK,
)
def flock_child_unlock_drops() -> bool:
    """Does a child's LOCK_UN release its parent's flock() lock?"""
    descriptor = _open_file()
    _flock(descriptor)
    children.run_in_child(lambda: _flock(descriptor, LOCK_UN))
    return _is_free(_flock)


@probe(
    matters="A library that unlocks its duplicate drops the lock of the program around it.",
    advice="Unlock only the descriptor that was locked; open the file again instead of dup().",
    symptoms=[
        "lock is gone after unlocking a duplicate descriptor: dup, flock",
    ],
    reference="flock(2)",
    documented=_ONE_LOCK,
)
def flock_dup_unlock_drops() -> bool:
    """Does LOCK_UN on a duplicate release the flock() lock?"""
    descriptor = _open_file()
    _flock(descriptor)
    _flock(libc.call("dup", descriptor), LOCK_UN)
    return _is_free(_flock)


@probe(
    matters="A child that ends, closing what it inherited, drops its parent's lock.",
    advice="Keep the locked descriptor close-on-exec, and close it in children at once.",
    symptoms=[
        "lock file stays locked after close: a duplicate or a child still has it open",
        "Resource temporarily unavailable, EWOULDBLOCK: lock still held",
    ],
    reference="flock(2)",
    documented={"linux": True},
)
def flock_close_one_duplicate_keeps() -> bool:
    """Does a flock() lock stay when one of two duplicates is closed?"""
    descriptor = _open_file()
    _flock(descriptor)
    libc.call("close", libc.call("dup", descriptor))
    return not _is_free(_flock)


@probe(
    matters="A program started by the daemon keeps its log locked, for as long as it runs.",
    advice="Set FD_CLOEXEC on every descriptor that you lock.",
    symptoms=[
        "lock is still held after the daemon has ended: a program it started inherited the "
        "descriptor",
        "already running, lock held, after a restart",
    ],
    reference="flock(2)",
    documented={"linux": True},
)
def flock_survives_exec() -> bool:
    """Does a flock() lock survive exec?"""
    return _survives_exec(_flock)


@probe(
    matters="Two opens of a file in one process deadlock, or do not exclude each other.",
    advice="Open and lock a file in one place of the process.",
    symptoms=[
        "process deadlocks with itself: flock of a file that it has locked through another open",
        "two threads, two opens of one lock file",
    ],
    reference="flock(2)",
    documented={"linux": True},
)
def flock_second_open_conflicts() -> bool:
    """Do flock() locks on two opens in one process conflict?"""
    _flock(_open_file())
    return not _flock(_open_file())


@probe(
    matters="A reader whose upgrade fails goes on reading a file that is being rewritten.",
    advice="After a failed upgrade take the lock from the start, and read the data again.",
    symptoms=[
        "shared lock is lost when the upgrade to exclusive fails: LOCK_SH to LOCK_EX not atomic",
    ],
    reference="flock(2); kern_lockf.c BSD: lf_setlock",
    # Every manual says that the lock is released first.  The BSDs and macOS release it only
    # before they wait; with LOCK_NB they fail earlier.
    documented={
        "linux": "lost",
        "freebsd": "kept",
        "netbsd": "kept",
        "openbsd": "kept",
        "macos": "kept",
    },
)
def flock_failed_upgrade_keeps() -> str:
    """Does a failed upgrade to LOCK_EX keep or lose LOCK_SH?"""
    reader, other = _open_file(), _open_file()
    _flock(reader, LOCK_SH)
    _flock(other, LOCK_SH)
    if _flock(reader, LOCK_EX):
        return "upgraded"
    os.close(other)
    return "lost" if _is_free(_flock) else "kept"


@probe(
    matters="A process that may only read a file can lock out all writers, or cannot lock it.",
    advice="Open a file with O_RDWR before you lock it exclusively.",
    symptoms=[
        "flock: Bad file descriptor, EBADF, on NFS or a read-only descriptor",
        "exclusive lock on a file opened for reading",
    ],
    reference="flock(2), NFS details of Linux; flock(3C) illumos",
    documented={"linux": False},
    scope=CONFIGURED,
)
def flock_needs_write_access() -> bool:
    """Does LOCK_EX need a descriptor that is open for writing?"""
    os.close(_open_file())
    outcome = libc.try_call("flock", _open_file(os.O_RDONLY), LOCK_EX | LOCK_NB)
    return outcome == "EBADF" or not _is_granted(outcome)


@probe(
    matters="Writers that count on waiting for the lock write without it.",
    advice="Check the result of every flock, and repeat it after EINTR.",
    symptoms=[
        "flock hangs: another process holds the lock",
        "waiting for lock",
    ],
    reference="flock(2)",
    documented={"linux": True, "freebsd": True, "netbsd": True, "openbsd": True, "macos": True},
)
def flock_blocks() -> bool:
    """Does flock() wait for a lock that another process holds?"""
    descriptor = _open_file()
    _flock(descriptor)

    def waiter(holder: Channel) -> str:
        os.close(descriptor)  # A duplicate, which would keep the lock.
        own = _open_file()
        holder.send("about to block")
        return libc.try_call("flock", own, LOCK_EX)

    with children.fork(waiter) as child:
        child.receive()
        if not children.wait_until_asleep(child):
            return False
        os.close(descriptor)
        return bool(child.receive() == "ok")


# By Linux's manual flock and fcntl locks are separate only on local file systems: NFS and CIFS
# turn the one into the other.
_APART = {"linux": False, "freebsd": True}


@probe(
    matters="Two programs that lock one file by different calls do not exclude each other.",
    advice="Use one kind of lock for a file in every program that touches it.",
    symptoms=[
        "two programs lock one file, one by flock and one by fcntl or lockf, and both go on",
        "mailbox locking, NFS: flock is emulated by fcntl",
    ],
    reference="flock(2), fcntl(2)",
    documented=_APART,
    scope=CONFIGURED,
)
def flock_conflicts_with_fcntl() -> bool:
    """Does another process's fcntl() lock exclude flock()?"""
    _lock_record(_open_file())
    return not _is_free(_flock)


@probe(
    matters="Two programs that lock one file by different calls do not exclude each other.",
    advice="Use one kind of lock for a file in every program that touches it.",
    symptoms=[
        "two programs lock one file, one by fcntl or lockf and one by flock, and both go on",
        "mailbox, dpkg or sqlite lock is ignored: NFS, BSD",
    ],
    reference="flock(2), fcntl(2)",
    documented=_APART,
    scope=CONFIGURED,
)
def fcntl_conflicts_with_flock() -> bool:
    """Does another process's flock() lock exclude fcntl()?"""
    _flock(_open_file())
    return not _is_free(_lock_record)


@probe(
    matters="A library that opens and closes the locked file drops the daemon's lock on it.",
    advice="Lock a separate file that nothing else opens, or use flock().",
    symptoms=[
        "POSIX lock vanishes when a library opens and closes the same file",
        "sqlite database corrupt: close() drops all fcntl locks of the process",
    ],
    reference="POSIX XSH fcntl; fcntl(2)",
    documented={"posix": True},
)
def fcntl_dropped_by_any_close() -> bool:
    """Does closing any descriptor of the file release the fcntl() lock?"""
    _lock_record(_open_file())
    libc.call("close", _open_file())
    return _is_free(_lock_record)


@probe(
    matters="A child believes that it holds the lock its parent took before the fork.",
    advice="Take fcntl locks in the process that needs them, after the fork.",
    symptoms=[
        "child has not got the lock after daemonize: fcntl or lockf lock is lost by fork",
        "pid file is not locked after the daemon went to the background",
    ],
    reference="POSIX XSH fork, fcntl; fcntl(2)",
    documented={"posix": False},
)
def fcntl_inherited_by_fork() -> bool:
    """Does a child share the fcntl() lock its parent holds?"""
    descriptor = _open_file()
    _lock_record(descriptor)
    return bool(children.run_in_child(lambda: _lock_record(descriptor)))


@probe(
    matters="A daemon that execs itself to restart loses its lock, or another keeps it.",
    advice="Take the lock again after exec, and close what the new program must not hold.",
    symptoms=[
        "record lock is kept or lost over exec, re-exec, upgrade of the binary",
    ],
    reference="fcntl(2)",
    documented={"linux": True, "freebsd": True},
)
def fcntl_survives_exec() -> bool:
    """Does an fcntl() lock survive exec?"""
    return _survives_exec(_lock_record)


@probe(
    matters="Two parts of one process, or two threads, both believe that they hold the lock.",
    advice="Exclude the threads of a process by a mutex, not by fcntl locks.",
    symptoms=[
        "two threads of one process both get the fcntl lock",
        "record lock does not exclude within a process",
    ],
    reference="POSIX XSH fcntl; fcntl(2)",
    documented={"posix": False},
)
def fcntl_second_open_conflicts() -> bool:
    """Do fcntl() locks on two opens in one process conflict?"""
    _lock_record(_open_file())
    return not _lock_record(_open_file())


@probe(
    matters="Two processes that lock two records in opposite orders wait for ever.",
    advice="Lock records in one order everywhere; take EDEADLK as: release all, start again.",
    symptoms=[
        "Resource deadlock avoided, EDEADLK, from fcntl F_SETLKW",
        "two processes wait for each other's lock for ever",
    ],
    reference="POSIX XSH fcntl; fcntl(2)",
    documented={"linux": True, "freebsd": True},
)
def fcntl_detects_deadlock() -> bool:
    """Does F_SETLKW return EDEADLK for a deadlock of two processes?"""

    def process(mine: int, other: int) -> Child:
        def subject(asker: Channel) -> str:
            descriptor = _open_file()
            _lock_record(descriptor, mine, 1)
            asker.send("has its own record")
            asker.receive()
            asker.send("about to block")
            return libc.try_call(_FCNTL, descriptor, fcntl.F_SETLKW, _make_range(other, 1))

        child = children.fork(subject)
        child.receive()
        return child

    with process(0, 1) as first, process(1, 0) as second:
        for waits in (first, second):
            waits.send("wait for the other record")
            waits.receive()
            if not children.wait_until_asleep(waits):
                return bool(waits.receive() == "EDEADLK")
        return False


@probe(
    matters="A program built for description locks fails with EINVAL, or locks nothing.",
    advice="Try F_OFD_SETLK once at the start, and use flock() if it returns EINVAL.",
    symptoms=[
        "F_OFD_SETLK: EINVAL, Invalid argument, undeclared",
        "open file description locks in older kernels, macOS, BSD",
    ],
    reference="fcntl(2) Linux; POSIX.1-2024 XSH fcntl",
    documented={"linux": True},
)
def ofd_exists() -> bool:
    """Does fcntl() have open file description (OFD) locks?"""
    try:
        return _lock_description(_open_file())
    except Unsupported:
        return False


@probe(
    matters="Threads that each open the file do not exclude one another.",
    advice="Let each thread open the file, and lock with F_OFD_SETLK or flock().",
    symptoms=[
        "locks between threads of one process: F_OFD_SETLK",
    ],
    reference="fcntl(2) Linux",
    documented={"linux": True},
)
def ofd_second_open_conflicts() -> bool:
    """Do OFD locks on two opens in one process conflict?"""
    _lock_description(_open_file())
    return not _lock_description(_open_file())


@probe(
    matters="A library that opens and closes the locked file drops the daemon's lock on it.",
    advice="Use F_OFD_SETLK or flock where other code may open the same file.",
    symptoms=[
        "lock that stays when a library closes the same file: F_OFD_SETLK",
    ],
    reference="fcntl(2) Linux",
    documented={"linux": False},
)
def ofd_dropped_by_other_close() -> bool:
    """Does closing another descriptor of the file release the OFD lock?"""
    _lock_description(_open_file())
    libc.call("close", _open_file())
    return _is_free(_lock_description)


@probe(
    matters="Children that inherit the descriptor never exclude one another.",
    advice="Open the file to be locked in every process, after the fork.",
    symptoms=[
        "open file description lock is shared with forked children",
    ],
    reference="fcntl(2) Linux",
    documented={"linux": True},
)
def ofd_shared_by_fork() -> bool:
    """Does a child share the OFD lock its parent holds?"""
    descriptor = _open_file()
    _lock_description(descriptor)
    return bool(children.run_in_child(lambda: _lock_description(descriptor)))


@probe(
    matters="A program that mixes lockf() with another lock excludes no other program, or itself.",
    advice="Do not use lockf(): call fcntl() or flock(), whichever you mean.",
    symptoms=[
        "lockf, and Python's fcntl.lockf or shell's flock, do not see each other",
        "which lock does lockf take",
    ],
    reference="lockf(3)",
    documented={"linux": "fcntl"},
)
def lockf_is() -> str:
    """Which kind of lock does lockf() take?"""
    descriptor = _open_file()
    _lockf(descriptor)
    kinds: dict[str, Lock] = {"fcntl": _lock_record, "flock": _flock}
    excludes = [name for name, lock in kinds.items() if not _is_free(lock)]
    if len(excludes) == 2:
        # The two exclude each other here.  Only a flock() lock is shared with a child.
        return "flock" if children.run_in_child(lambda: _lockf(descriptor)) else "fcntl"
    return excludes[0] if excludes else "its own"
