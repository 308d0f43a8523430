"""Call the C library on each platform, with the structures that its calls take.

Python retries EINTR (PEP 475), installs handlers with its own flags and makes sockets
close-on-exec.  To measure the C behaviour, a probe calls through this module.

Sources of the layouts and numbers, each named where it is used:

    Linux    sysdeps/unix/sysv/linux/bits/sigaction.h, bits/types/__sigset_t.h (glibc);
             include/signal.h, arch/*/bits/signal.h (musl)
    FreeBSD  sys/sys/signal.h, sys/sys/_sigset.h, sys/sys/fcntl.h, sys/sys/procctl.h
    NetBSD   sys/sys/signal.h, sys/sys/sigtypes.h, sys/sys/fcntl.h
    OpenBSD  sys/sys/signal.h, sys/sys/fcntl.h
    macOS    bsd/sys/signal.h, bsd/sys/fcntl.h (xnu)
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
import time
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_short,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_ulong,
    c_void_p,
)
from typing import Any, Callable, Optional

from .probe import Blocked, Unsupported
from .refusals import LIMITS, explain, explain_errno

LINUX = sys.platform.startswith("linux")
# gVisor's kernel always reports this date (pkg/sentry/kernel/version.go).
GVISOR = "Sun Jan 10 15:06:54 PST 2016" in os.uname().version
FREEBSD = sys.platform.startswith("freebsd")
# DragonFly differs from FreeBSD in procctl(2), struct flock and the newer socket options.
DRAGONFLY = sys.platform.startswith("dragonfly")
NETBSD = sys.platform.startswith("netbsd")
OPENBSD = sys.platform.startswith("openbsd")
MACOS = sys.platform == "darwin"
ILLUMOS = sys.platform.startswith("sunos")
SYSTEM = next(
    (
        name
        for name, here in (
            ("Linux", LINUX),
            ("FreeBSD", FREEBSD),
            ("DragonFly", DRAGONFLY),
            ("NetBSD", NETBSD),
            ("OpenBSD", OPENBSD),
            ("macOS", MACOS),
        )
        if here
    ),
    sys.platform,
)

_library = ctypes.CDLL(None, use_errno=True)

# sendfile(2) of FreeBSD, DragonFly and macOS (fd, s, offset, …), and of Linux and illumos
# (out, in, …).
_SENDFILE: tuple[Any, list[Any]] = (
    (c_int, [c_int, c_int, c_int64, c_size_t, c_void_p, c_void_p, c_int])
    if FREEBSD or DRAGONFLY
    else (c_int, [c_int, c_int, c_int64, c_void_p, c_void_p, c_int])
    if MACOS
    else (c_ssize_t, [c_int, c_int, c_void_p, c_size_t])
)

# Results and arguments.  Only the fixed arguments of a variadic function are named: ctypes passes
# the rest as variadic ones, which arm64 macOS expects in other places.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "accept": (c_int, [c_int, c_void_p, c_void_p]),
    "accept4": (c_int, [c_int, c_void_p, c_void_p, c_int]),
    "bind": (c_int, [c_int, c_char_p, c_uint]),
    "bsd_signal": (c_void_p, [c_int, c_void_p]),
    "capget": (c_int, [c_void_p, c_void_p]),
    "chroot": (c_int, [c_char_p]),
    "clock_gettime": (c_int, [c_int, c_void_p]),
    "close": (c_int, [c_int]),
    "close_range": (c_int, [c_uint, c_uint, c_int]),
    "closefrom": (None, [c_int]),
    "connect": (c_int, [c_int, c_char_p, c_uint]),
    "daemon": (c_int, [c_int, c_int]),
    "dup": (c_int, [c_int]),
    "dup3": (c_int, [c_int, c_int, c_int]),
    "epoll_wait": (c_int, [c_int, c_void_p, c_int, c_int]),
    "fcntl": (c_int, [c_int, c_int]),
    "fcntl64": (c_int, [c_int, c_int]),
    "flock": (c_int, [c_int, c_int]),
    "getgroups": (c_int, [c_int, c_void_p]),
    "getpeereid": (c_int, [c_int, c_void_p, c_void_p]),
    "getpgid": (c_int, [c_int]),
    "getsockname": (c_int, [c_int, c_void_p, c_void_p]),
    "gettimeofday": (c_int, [c_void_p, c_void_p]),
    "gmtime": (c_void_p, [c_void_p]),
    "grantpt": (c_int, [c_int]),
    "initgroups": (c_int, [c_char_p, c_uint]),
    "kevent": (c_int, [c_int, c_void_p, c_int, c_void_p, c_int, c_void_p]),
    "kill": (c_int, [c_int, c_int]),
    "killpg": (c_int, [c_int, c_int]),
    "localeconv": (c_void_p, []),
    "lockf": (c_int, [c_int, c_int, c_int64]),
    # 64 bits; abi.off_t_bits asks how a library with a 32-bit off_t takes such a call.
    "lseek": (c_int64, [c_int, c_int64, c_int]),
    "lseek64": (c_int64, [c_int, c_int64, c_int]),
    "mount": (c_int, [c_char_p, c_char_p, c_char_p, c_ulong, c_char_p]),
    "msgctl": (c_int, [c_int, c_int, c_void_p]),
    "msgget": (c_int, [c_long, c_int]),
    "msgrcv": (c_ssize_t, [c_int, c_void_p, c_size_t, c_long, c_int]),
    "nanosleep": (c_int, [c_void_p, c_void_p]),
    "open": (c_int, [c_char_p, c_int]),
    "pause": (c_int, []),
    "pipe2": (c_int, [c_void_p, c_int]),
    "poll": (c_int, [c_void_p, c_ulong if LINUX else c_uint, c_int]),
    "posix_openpt": (c_int, [c_int]),
    "posix_spawnattr_destroy": (c_int, [c_void_p]),
    "posix_spawnattr_getsigmask": (c_int, [c_void_p, c_void_p]),
    "posix_spawnattr_init": (c_int, [c_void_p]),
    "prctl": (c_int, [c_int]),
    "procctl": (c_int, [c_int, c_int64, c_int, c_void_p]),
    "ptsname": (c_void_p, [c_int]),
    "pwrite": (c_ssize_t, [c_int, c_char_p, c_size_t, c_int64]),
    "raise": (c_int, [c_int]),
    "read": (c_ssize_t, [c_int, c_void_p, c_size_t]),
    "recv": (c_ssize_t, [c_int, c_void_p, c_size_t, c_int]),
    "sched_getaffinity": (c_int, [c_int, c_size_t, c_void_p]),
    "sched_setaffinity": (c_int, [c_int, c_size_t, c_void_p]),
    "select": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p]),
    "sem_init": (c_int, [c_void_p, c_int, c_uint]),
    "sem_open": (c_void_p, [c_char_p, c_int]),
    "sem_unlink": (c_int, [c_char_p]),
    "sem_wait": (c_int, [c_void_p]),
    "send": (c_ssize_t, [c_int, c_char_p, c_size_t, c_int]),
    "sendfile": _SENDFILE,
    "sendfile64": _SENDFILE,
    "setegid": (c_int, [c_uint]),
    "seteuid": (c_int, [c_uint]),
    "setgid": (c_int, [c_uint]),
    "setgroups": (c_int, [c_size_t if LINUX else c_int, c_void_p]),
    "setpgid": (c_int, [c_int, c_int]),
    "setregid": (c_int, [c_uint, c_uint]),
    "setresgid": (c_int, [c_uint, c_uint, c_uint]),
    "setresuid": (c_int, [c_uint, c_uint, c_uint]),
    "setreuid": (c_int, [c_uint, c_uint]),
    "setsid": (c_int, []),
    "setuid": (c_int, [c_uint]),
    "sigaction": (c_int, [c_int, c_void_p, c_void_p]),
    "sigaddset": (c_int, [c_void_p, c_int]),
    "sigaltstack": (c_int, [c_void_p, c_void_p]),
    "sigemptyset": (c_int, [c_void_p]),
    "sigfillset": (c_int, [c_void_p]),
    "siginterrupt": (c_int, [c_int, c_int]),
    "sigismember": (c_int, [c_void_p, c_int]),
    "signal": (c_void_p, [c_int, c_void_p]),
    "signalfd": (c_int, [c_int, c_void_p, c_int]),
    "sigprocmask": (c_int, [c_int, c_void_p, c_void_p]),
    "sigqueue": (c_int, [c_int, c_int, c_void_p]),
    "sigsuspend": (c_int, [c_void_p]),
    "sigtimedwait": (c_int, [c_void_p, c_void_p, c_void_p]),
    "sigwait": (c_int, [c_void_p, POINTER(c_int)]),
    "sigwaitinfo": (c_int, [c_void_p, c_void_p]),
    "snprintf": (c_int, [c_void_p, c_size_t, c_char_p]),
    "syscall": (c_long, [c_long]),
    "sysconf": (c_long, [c_int]),
    "sysctl": (c_int, [c_void_p, c_uint, c_void_p, c_void_p, c_void_p, c_size_t]),
    "sysv_signal": (c_void_p, [c_int, c_void_p]),
    "time": (c_long, [c_void_p]),
    "timerfd_create": (c_int, [c_int, c_int]),
    "timerfd_settime": (c_int, [c_int, c_int, c_void_p, c_void_p]),
    "unlockpt": (c_int, [c_int]),
    "unshare": (c_int, [c_int]),
    "waitpid": (c_int, [c_int, c_void_p, c_int]),
    "wmemset": (c_void_p, [c_void_p, c_int, c_size_t]),
    "write": (c_ssize_t, [c_int, c_char_p, c_size_t]),
}

# NetBSD's headers rename a call whose types changed (__RENAME in its <signal.h>, <time.h>,
# <poll.h>, …); the old name exists only for old programs.
_NETBSD_NAMES = {
    "clock_gettime": "__clock_gettime50",
    "gettimeofday": "__gettimeofday50",
    "gmtime": "__gmtime50",
    "kevent": "__kevent50",
    "msgctl": "__msgctl50",
    "nanosleep": "__nanosleep50",
    "select": "__select50",
    "sigaction": "__sigaction14",
    "sigaddset": "__sigaddset14",
    "sigaltstack": "__sigaltstack14",
    "sigemptyset": "__sigemptyset14",
    "sigfillset": "__sigfillset14",
    "sigismember": "__sigismember14",
    "sigprocmask": "__sigprocmask14",
    "sigsuspend": "__sigsuspend14",
    "sigtimedwait": "__sigtimedwait50",
    "time": "__time50",
}


# If a program built for a 32-bit platform gets a 64-bit time_t, its headers rename these calls:
# __time64 of glibc (bits/types/…, __REDIRECT) and of musl, __select_time64 of musl (include/*.h,
# __REDIR).  The old symbol exists only for old programs, and takes the old time_t.
_TIME_CALLS = (
    "clock_gettime",
    "gettimeofday",
    "gmtime",
    "nanosleep",
    "select",
    "sigtimedwait",
    "time",
    "timerfd_settime",
)
# In glibc these take a 64-bit off_t whatever the program's own is; musl has only one off_t.
_OFFSET_CALLS = ("lockf", "pwrite")


def _time_t_is_64_bit() -> bool:
    """Return whether the interpreter, a program built for this platform, has a 64-bit time_t."""
    try:
        time.gmtime(1 << 40)
    except (OverflowError, OSError, ValueError):
        return False
    return True


TIME_T_BITS = 64 if _time_t_is_64_bit() else 32
"""The width of time_t in programs built as the interpreter was."""


def _list_symbols(name: str) -> list[str]:
    """Return the symbols that a call of ``name`` may be linked to; the first that exists counts."""
    if NETBSD and name in _NETBSD_NAMES:
        return [_NETBSD_NAMES[name]]
    found = [name]
    bits = 8 * ctypes.sizeof(c_void_p)
    if bits == 32 and name in _OFFSET_CALLS:
        found.insert(0, f"{name}64")
    if bits < TIME_T_BITS:
        if name in _TIME_CALLS:
            found[:0] = [f"__{name}64", f"__{name}_time64"]
        elif name == "lseek":
            # glibc has _TIME_BITS=64 only with _FILE_OFFSET_BITS=64 (features-time64.h).
            found.insert(0, "lseek64")
    return found


def _find_functions() -> dict[str, Any]:
    """Return the functions of _PROTOTYPES that the C library has.

    They are looked up early and all at once: a probe's process, a fork, would copy the pages that
    a look-up touches.
    """
    found = {}
    for name, (result, arguments) in _PROTOTYPES.items():
        symbols = (getattr(_library, symbol, None) for symbol in _list_symbols(name))
        function = next(filter(None, symbols), None)
        if function is not None:
            function.restype, function.argtypes = result, arguments
            found[name] = function
    return found


_FUNCTIONS = _find_functions()


def has(name: str) -> bool:
    """Return whether the C library has the function, one of _PROTOTYPES."""
    return name in _FUNCTIONS


def get_function(name: str) -> Any:
    """Return the foreign function with typed arguments; raise Unsupported if it is missing."""
    if not has(name):
        raise Unsupported(f"the C library has no {name}()")
    return _FUNCTIONS[name]


def call(name: str, *arguments: Any) -> int:
    """Call a function once, without a retry on EINTR, and release the interpreter's lock.

    Returns what the function returns.  Raises OSError with its errno for -1, Unsupported if the
    library or the kernel has no such call, and Blocked if a sandbox refuses it (see `refusals`).
    """
    called = get_function(name)
    ctypes.set_errno(0)
    result = called(*arguments)
    if called.restype is c_void_p:
        result = 0 if result is None else result
        failed = result == c_void_p(-1).value
    else:
        failed = result == -1
    if failed:
        number = ctypes.get_errno()
        refused = explain_errno(number, name)
        if refused:
            raise refused
        raise OSError(number, os.strerror(number), name)
    return int(result)


def name_errno(number: Optional[int]) -> str:
    """Return ``EINTR`` for 4: the numbers differ between platforms, the names do not."""
    for name in ("EAGAIN", "EDEADLK", "EOPNOTSUPP"):
        # If a number has two names, prefer the name in POSIX, or the one distinct on other systems.
        if number == getattr(errno, name):
            return name
    return errno.errorcode.get(number or 0, f"errno {number}")


def name_error(error: OSError, call: str) -> str:
    """Return the name of the error that ``call`` raised through Python, as a probe's answer.

    Raises Blocked or Unsupported if the error is not the platform's answer.
    """
    refused = explain(error) if error.errno in LIMITS else explain_errno(error.errno, call)
    if refused:
        raise refused from None
    return name_errno(error.errno)


def get_errno(name: str, *arguments: Any) -> int:
    """Call a function; return the number of its error, 0 if it succeeds."""
    try:
        call(name, *arguments)
    except OSError as error:
        return error.errno or 0
    return 0


def try_call(name: str, *arguments: Any) -> str:
    """Call a function; return ``ok`` or the name of its error."""
    try:
        call(name, *arguments)
    except OSError as error:
        return name_errno(error.errno)
    return "ok"


# 32-bit glibc's fcntl() takes the small struct flock for some commands; fcntl64() never does.
FCNTL = "fcntl64" if has("fcntl64") else "fcntl"


def _make_flock(*fields: tuple[str, Any]) -> type[Structure]:
    return type("Flock", (Structure,), {"_fields_": fields})


_TYPE = (("l_type", c_short), ("l_whence", c_short))
_RANGE = (("l_start", c_int64), ("l_len", c_int64))
FLOCKS = {
    # bits/fcntl.h of glibc and musl, with the 64-bit off_t that Python is built with.
    "Linux": _make_flock(*_TYPE, *_RANGE, ("l_pid", c_int)),
    # sys/sys/fcntl.h; only FreeBSD has l_sysid.
    "BSD": _make_flock(*_RANGE, ("l_pid", c_int), *_TYPE, ("l_sysid", c_int)),
    # usr/src/uts/common/sys/fcntl.h.
    "illumos": _make_flock(
        *_TYPE, *_RANGE, ("l_sysid", c_int), ("l_pid", c_int), ("l_pad", c_long * 4)
    ),
}
"""The known forms of struct flock; `lens` finds out which one this platform has."""
Flock: Any = FLOCKS["Linux" if LINUX else "illumos" if ILLUMOS else "BSD"]
"""The form to expect on this platform."""


SIG_DFL, SIG_IGN = 0, 1  # The same on every system.
PR_SET_PDEATHSIG = 1  # Linux, include/uapi/linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PROC_REAP_ACQUIRE = 1 if DRAGONFLY else 2  # sys/sys/procctl.h of both; 2 releases on DragonFly
PROC_REAP_KILL = 6  # This and the following exist only on FreeBSD.
PROC_PDEATHSIG_CTL = 11
PROC_NO_NEW_PRIVS_CTL = 19
PROC_NO_NEW_PRIVS_STATUS = 20
PROC_NO_NEW_PRIVS_ENABLE = 1
P_PID_FREEBSD = 0  # FreeBSD, sys/sys/wait.h, and DragonFly, sys/sys/procctl.h: enum idtype
CLONE_NEWNS = 0x00020000  # Linux, include/uapi/linux/sched.h
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0  # the same in every sys/ipc.h
MS_REC, MS_PRIVATE = 0x4000, 1 << 18  # Linux, include/uapi/linux/mount.h


def request_death_signal(signum: int) -> bool:
    """Ask for ``signum`` when the parent ends; return whether the platform has such a call."""
    if LINUX:
        call("prctl", PR_SET_PDEATHSIG, c_ulong(signum))
    elif FREEBSD:
        requested = ctypes.byref(c_int(signum))
        call("procctl", P_PID_FREEBSD, 0, PROC_PDEATHSIG_CTL, requested)
    else:
        return False
    return True


def prepare_death_signal(signum: int) -> Optional[Callable[[], int]]:
    """Return a call that asks for ``signum`` when the parent ends; the call returns 0 or -1.

    Returns None if the platform has no such call.  Made in a new child, it writes to few pages.
    """
    if LINUX:
        return functools.partial(get_function("prctl"), PR_SET_PDEATHSIG, c_ulong(signum))
    if FREEBSD:
        procctl, requested = get_function("procctl"), ctypes.byref(c_int(signum))
        return functools.partial(procctl, P_PID_FREEBSD, 0, PROC_PDEATHSIG_CTL, requested)
    return None


def become_reaper() -> bool:
    """Become the parent of orphaned descendants; return whether the platform has such a call."""
    try:
        if LINUX:
            call("prctl", PR_SET_CHILD_SUBREAPER, c_ulong(1))
        elif FREEBSD or DRAGONFLY:
            call("procctl", P_PID_FREEBSD, os.getpid(), PROC_REAP_ACQUIRE, None)
        else:
            return False
    except OSError as error:
        # FreeBSD: EBUSY if it is a reaper already.  gVisor, old kernels: EINVAL, no such call.
        return error.errno == errno.EBUSY
    except (Unsupported, Blocked):
        return False
    return True


class _ProcctlReaperKill(Structure):
    """struct procctl_reaper_kill of FreeBSD's sys/sys/procctl.h."""

    _fields_ = (
        ("rk_sig", c_int),
        ("rk_flags", c_uint),
        ("rk_subtree", c_int),
        ("rk_killed", c_uint),
        ("rk_fpid", c_int),
        ("rk_pad0", c_uint * 15),
    )


def kill_descendants(signum: int, child: int) -> None:
    """Signal every descendant that comes from ``child``, even an orphan (only on FreeBSD)."""
    request = _ProcctlReaperKill(rk_sig=signum, rk_flags=0x2, rk_subtree=child)
    try:
        call("procctl", P_PID_FREEBSD, os.getpid(), PROC_REAP_KILL, ctypes.byref(request))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def measure_extent(fill: Callable[[Any], Any], size: int = 512) -> int:
    """Return how far into a buffer of ``size`` bytes the function ``fill`` writes.

    Padding at the end that ``fill`` does not write is not counted.
    """
    # A written byte may equal one of the two patterns, but not both.
    last = 0
    for pattern in (0xAA, 0x55):
        buffer = ctypes.create_string_buffer(bytes([pattern]) * size, size)
        fill(buffer)
        last = max(last, len(buffer.raw.rstrip(bytes([pattern]))))
    return last
