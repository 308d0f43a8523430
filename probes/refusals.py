"""Tell apart the platform's answer, a limit of this machine, and a sandbox's refusal.

A fact is the platform's answer.  An error from a limit (ulimit, a full disk) or a sandbox (a
seccomp filter, a security module, a jail) says nothing of the platform: it makes the fact
`blocked`, and the reason names the limit or the sandbox.  Only this module tells them apart.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Optional, Union

from .probe import Blocked, Unsupported

_FULL = "the scratch file system is full: make room, or set TMPDIR to another"
LIMITS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "the scratch file system is read-only: set TMPDIR to another",
    errno.EMFILE: "too few open files are allowed: raise ulimit -n",
    errno.ENFILE: "the system has too many open files: close some, or raise its limit",
    errno.EFBIG: "only short files are allowed: raise ulimit -f",
    errno.ENOMEM: "too little memory is allowed or left: raise ulimit -v, or end other programs",
}
"""Errors that only a limit causes unless the probe expects them, and what to do about each."""
PROCESSES = "too few processes are allowed or left: raise ulimit -u, or the container's limit"
"""For EAGAIN of fork(): RLIMIT_NPROC, a cgroup's pids.max, or the system's own limit."""

PROCESSOR_TIME = "too little processor time is allowed: raise ulimit -t"
"""For a process that SIGXCPU killed."""

# Refusals that POSIX or the manual documents for a call, and that a probe may measure.
_DOCUMENTED = {
    "bind": (errno.EACCES,),
    "chroot": (errno.EPERM,),
    "connect": (errno.EACCES, errno.EPERM),
    "fchmod": (errno.EPERM,),
    "fcntl": (errno.EACCES,),
    "fcntl64": (errno.EACCES,),
    "initgroups": (errno.EPERM,),
    "kill": (errno.EPERM,),
    "killpg": (errno.EPERM,),
    "lockf": (errno.EACCES,),
    "mount": (errno.EPERM, errno.EACCES),
    "msgget": (errno.EACCES,),
    "open": (errno.EACCES, errno.EPERM),
    "setegid": (errno.EPERM,),
    "seteuid": (errno.EPERM,),
    "setgid": (errno.EPERM,),
    "setgroups": (errno.EPERM,),
    "setpgid": (errno.EACCES, errno.EPERM),
    "setregid": (errno.EPERM,),
    "setresgid": (errno.EPERM,),
    "setresuid": (errno.EPERM,),
    "setreuid": (errno.EPERM,),
    "setsid": (errno.EPERM,),
    "setuid": (errno.EPERM,),
    "unshare": (errno.EPERM,),
}
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def has_seccomp_filter() -> bool:
    """Return whether a seccomp filter decides which calls reach the kernel (seccomp(2) Linux)."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return _ask_prctl()
        with open("/proc/self/status", "rb") as status:
            return any(line.split() == [b"Seccomp:", b"2"] for line in status)
    except OSError:
        return _ask_prctl()


def _ask_prctl() -> bool:
    """Return whether prctl() reports a filter or is itself refused, for when there is no /proc."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None:
        return False
    mode = prctl(_PR_GET_SECCOMP, *map(ctypes.c_ulong, (0, 0, 0, 0)))
    return mode == 2 or (mode == -1 and ctypes.get_errno() in _REFUSALS)


_PR_GET_SECCOMP = 21  # include/uapi/linux/prctl.h


def explain_errno(number: Optional[int], call: str) -> Union[Blocked, Unsupported, None]:
    """Return why the error ``number`` of ``call`` is not the platform's answer; None if it is."""
    if number not in (*_REFUSALS, errno.EAFNOSUPPORT) or number in _DOCUMENTED.get(call, ()):
        return None
    if number in (errno.ENOSYS, errno.EAFNOSUPPORT) and not has_seccomp_filter():
        return Unsupported(f"the kernel has no {call}()") if number == errno.ENOSYS else None
    return Blocked(f"{call}() is refused with {errno.errorcode[number]} {_name_sandbox()}")


def explain(error: BaseException) -> Union[Blocked, Unsupported, None]:
    """Return why a probe that did not expect ``error`` has no answer; None if it is a fault."""
    if isinstance(error, (Blocked, Unsupported)):
        return error
    if isinstance(error, MemoryError):
        return Blocked(LIMITS[errno.ENOMEM])
    if not isinstance(error, OSError):
        return None
    if error.errno in LIMITS:
        return Blocked(LIMITS[error.errno])
    if error.errno == errno.ENOENT and error.filename == os.devnull:
        return Blocked(f"needs {os.devnull}, which is not here: mount /dev")
    if error.errno == errno.EAFNOSUPPORT and not has_seccomp_filter():
        return Unsupported("the kernel has no sockets of this family")
    if error.errno == errno.ENOSYS and not has_seccomp_filter():
        return Unsupported("the kernel lacks a call that this needs")
    if error.errno in (*_REFUSALS, errno.EAFNOSUPPORT):
        of = f" of {os.fsdecode(error.filename)}" if error.filename else ""
        return Blocked(f"{errno.errorcode[error.errno]}{of} {_name_sandbox()}")
    return None


def _name_sandbox() -> str:
    name = "the seccomp filter in force" if has_seccomp_filter() else "a sandbox or security module"
    return f"by {name}: run the lab outside it to measure this"
