"""The C library's own calls, and the struct layouts they take, on each platform.

Python retries EINTR (PEP 475), installs handlers with flags of its own and makes
sockets close-on-exec; where the C behaviour is asked, a probe calls through here.

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
from collections.abc import Iterable
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
    c_uint32,
    c_ulong,
    c_void_p,
)
from typing import Any, Callable, Optional

from .probe import Unsupported

LINUX = sys.platform.startswith("linux")
# gVisor's kernel says so of itself in pkg/sentry/kernel/version.go: this very date.
GVISOR = "Sun Jan 10 15:06:54 PST 2016" in os.uname().version
FREEBSD = sys.platform.startswith("freebsd")
# Much of it is still FreeBSD's, but not procctl(2), struct flock and the newer socket options.
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

# What a call takes.  Only the fixed arguments of a variadic function are named:
# ctypes passes the rest as variadic ones, which on arm64 macOS go elsewhere.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "accept": (c_int, [c_int, c_void_p, c_void_p]),
    "accept4": (c_int, [c_int, c_void_p, c_void_p, c_int]),
    "bind": (c_int, [c_int, c_char_p, c_uint]),
    "bsd_signal": (c_void_p, [c_int, c_void_p]),
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
    "getpeereid": (c_int, [c_int, c_void_p, c_void_p]),
    "getpgid": (c_int, [c_int]),
    "getsockname": (c_int, [c_int, c_void_p, c_void_p]),
    "gmtime": (c_void_p, [c_void_p]),
    "kevent": (c_int, [c_int, c_void_p, c_int, c_void_p, c_int, c_void_p]),
    "kill": (c_int, [c_int, c_int]),
    "killpg": (c_int, [c_int, c_int]),
    "localeconv": (c_void_p, []),
    "lockf": (c_int, [c_int, c_int, c_int64]),
    # An off_t of 64 bits: what a library whose off_t has 32 makes of it is abi.off_t_bits.
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
    "prctl": (c_int, [c_int]),
    "procctl": (c_int, [c_int, c_int64, c_int, c_void_p]),
    "pwrite": (c_ssize_t, [c_int, c_char_p, c_size_t, c_int64]),
    "raise": (c_int, [c_int]),
    "read": (c_ssize_t, [c_int, c_void_p, c_size_t]),
    "recv": (c_ssize_t, [c_int, c_void_p, c_size_t, c_int]),
    "select": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p]),
    "sem_init": (c_int, [c_void_p, c_int, c_uint]),
    "sem_open": (c_void_p, [c_char_p, c_int]),
    "sem_unlink": (c_int, [c_char_p]),
    "sem_wait": (c_int, [c_void_p]),
    "send": (c_ssize_t, [c_int, c_char_p, c_size_t, c_int]),
    "sendfile": _SENDFILE,
    "sendfile64": _SENDFILE,
    "setpgid": (c_int, [c_int, c_int]),
    "setresuid": (c_int, [c_uint, c_uint, c_uint]),
    "setsid": (c_int, []),
    "setuid": (c_int, [c_uint]),
    "sigaction": (c_int, [c_int, c_void_p, c_void_p]),
    "sigfillset": (c_int, [c_void_p]),
    "siginterrupt": (c_int, [c_int, c_int]),
    "signal": (c_void_p, [c_int, c_void_p]),
    "signalfd": (c_int, [c_int, c_void_p, c_int]),
    "sigprocmask": (c_int, [c_int, c_void_p, c_void_p]),
    "sigqueue": (c_int, [c_int, c_int, c_void_p]),
    "sigsuspend": (c_int, [c_void_p]),
    "sigtimedwait": (c_int, [c_void_p, c_void_p, c_void_p]),
    "sigwait": (c_int, [c_void_p, POINTER(c_int)]),
    "sigwaitinfo": (c_int, [c_void_p, c_void_p]),
    "snprintf": (c_int, [c_void_p, c_size_t, c_char_p]),
    "sysconf": (c_long, [c_int]),
    "sysv_signal": (c_void_p, [c_int, c_void_p]),
    "time": (c_long, [c_void_p]),
    "unshare": (c_int, [c_int]),
    "waitpid": (c_int, [c_int, c_void_p, c_int]),
    "wmemset": (c_void_p, [c_void_p, c_int, c_size_t]),
    "write": (c_ssize_t, [c_int, c_char_p, c_size_t]),
}

# NetBSD's headers rename a call whose types changed (__RENAME in its <signal.h>,
# <time.h>, <poll.h>, …); the old name is kept for old programs alone.
_NETBSD_NAMES = {
    "gmtime": "__gmtime50",
    "kevent": "__kevent50",
    "msgctl": "__msgctl50",
    "nanosleep": "__nanosleep50",
    "select": "__select50",
    "sigaction": "__sigaction14",
    "sigprocmask": "__sigprocmask14",
    "sigsuspend": "__sigsuspend14",
    "sigtimedwait": "__sigtimedwait50",
    "time": "__time50",
}


def _functions() -> dict[str, Any]:
    """What the C library offers of _PROTOTYPES.

    All at once and early: a probe's process would copy the pages that each look-up touches.
    """
    found = {}
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(_library, _NETBSD_NAMES.get(name, name) if NETBSD else name, None)
        if function is not None:
            function.restype, function.argtypes = result, arguments
            found[name] = function
    return found


_FUNCTIONS = _functions()


def has(name: str) -> bool:
    """Whether the C library offers the function, which is one of _PROTOTYPES."""
    return name in _FUNCTIONS


def function(name: str) -> Any:
    """The foreign function, its arguments typed.  Raises Unsupported where there is none."""
    if not has(name):
        raise Unsupported(f"the C library has no {name}()")
    return _FUNCTIONS[name]


def call(name: str, *arguments: Any) -> int:
    """Call once: no retry on EINTR, the lock of the interpreter released meanwhile.

    Returns what the function returns; raises OSError with its errno for -1, and
    Unsupported where the library has no such function.
    """
    called = function(name)
    ctypes.set_errno(0)
    result = called(*arguments)
    if called.restype is c_void_p:
        result = 0 if result is None else result
        failed = result == c_void_p(-1).value
    else:
        failed = result == -1
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return int(result)


def errno_name(number: Optional[int]) -> str:
    """``EINTR`` for 4; numbers differ between platforms, names do not."""
    for name in ("EAGAIN", "EDEADLK", "EOPNOTSUPP"):
        # Of two names for one number, POSIX's own, or the one that is told apart elsewhere.
        if number == getattr(errno, name):
            return name
    return errno.errorcode.get(number or 0, f"errno {number}")


def outcome(name: str, *arguments: Any) -> str:
    """``ok``, or the name of the error the call gave."""
    try:
        call(name, *arguments)
    except OSError as error:
        return errno_name(error.errno)
    return "ok"


# Signals --------------------------------------------------------------------

SIG_DFL, SIG_IGN = 0, 1

# The four BSDs agree on the numbers; Linux's are of asm-generic/signal-defs.h.
if LINUX:
    SA_FLAGS = {
        "SA_NOCLDSTOP": 0x1,
        "SA_NOCLDWAIT": 0x2,
        "SA_SIGINFO": 0x4,
        "SA_ONSTACK": 0x08000000,
        "SA_RESTART": 0x10000000,
        "SA_NODEFER": 0x40000000,
        "SA_RESETHAND": 0x80000000,
    }
else:
    SA_FLAGS = {
        "SA_ONSTACK": 0x1,
        "SA_RESTART": 0x2,
        "SA_RESETHAND": 0x4,
        "SA_NOCLDSTOP": 0x8,
        "SA_NODEFER": 0x10,
        "SA_NOCLDWAIT": 0x20,
        "SA_SIGINFO": 0x40,
    }
SA_RESTART = SA_FLAGS["SA_RESTART"]
SA_RESETHAND = SA_FLAGS["SA_RESETHAND"]
SA_NODEFER = SA_FLAGS["SA_NODEFER"]
SA_NOCLDSTOP = SA_FLAGS["SA_NOCLDSTOP"]
SA_NOCLDWAIT = SA_FLAGS["SA_NOCLDWAIT"]
SA_SIGINFO = SA_FLAGS["SA_SIGINFO"]

# Words of a sigset_t: 1024 bits in longs on Linux (glibc, musl), 128 bits in
# uint32_t on FreeBSD and NetBSD, one 32-bit word on OpenBSD and macOS.
_word: Any = c_ulong if LINUX else c_uint32
_words = 1024 // (8 * ctypes.sizeof(c_ulong)) if LINUX else 1 if OPENBSD or MACOS else 4
SignalSet: Any = _word * _words


class SigactionHandlerMaskFlags(Structure):
    """Linux (glibc, musl), NetBSD, OpenBSD, macOS; sa_restorer is Linux's alone."""

    _fields_ = (
        ("handler", c_void_p),
        ("mask", SignalSet),
        ("flags", c_int),
        *([("restorer", c_void_p)] if LINUX else []),
    )


class SigactionHandlerFlagsMask(Structure):
    """FreeBSD, DragonFly: sys/sys/signal.h puts sa_flags before sa_mask."""

    _fields_ = (("handler", c_void_p), ("flags", c_int), ("mask", SignalSet))


Sigaction: Any = SigactionHandlerFlagsMask if FREEBSD or DRAGONFLY else SigactionHandlerMaskFlags


def signal_set(signals: Iterable[int] = ()) -> Any:
    """A sigset_t that holds ``signals``."""
    made = SignalSet()
    bits = 8 * ctypes.sizeof(_word)
    for number in signals:
        made[(number - 1) // bits] |= 1 << (number - 1) % bits
    return made


def members(signals: Any) -> set[int]:
    """The signal numbers in a sigset_t."""
    bits = 8 * ctypes.sizeof(_word)
    return {
        word * bits + bit + 1
        for word in range(_words)
        for bit in range(bits)
        if signals[word] >> bit & 1
    }


_MIPS = os.uname().machine.startswith("mips")


def sigaction(signum: int, handler: Any = None, flags: int = 0, mask: Iterable[int] = ()) -> Any:
    """sigaction(2).  With no handler it only asks.  Returns the old Sigaction.

    ``handler`` is an address, SIG_DFL, SIG_IGN or a ctypes callback (which the
    caller keeps alive).
    """
    if _MIPS or sys.platform == SYSTEM:
        here = "MIPS" if _MIPS else SYSTEM
        raise Unsupported(f"the layout of {here}'s struct sigaction is not written down here")
    old = Sigaction()
    new = None
    if handler is not None:
        address = handler if isinstance(handler, int) else ctypes.cast(handler, c_void_p).value
        new = Sigaction(handler=address, mask=signal_set(mask))
        new.flags = c_int(flags).value
    call("sigaction", signum, None if new is None else ctypes.byref(new), ctypes.byref(old))
    return old


def flag_names(flags: int) -> str:
    """``SA_RESTART|SA_NODEFER`` in the order of the names, ``none`` for no flag.

    Bits that are not POSIX's (Linux's SA_RESTORER) are left out.
    """
    return "|".join(sorted(name for name, bit in SA_FLAGS.items() if flags & bit)) or "none"


# Record locks ---------------------------------------------------------------

# 32-bit glibc's fcntl() takes the small struct flock for some commands; fcntl64() never does.
FCNTL = "fcntl64" if has("fcntl64") else "fcntl"

if LINUX:

    class Flock(Structure):
        """struct flock with a 64-bit off_t, as Python itself is built (bits/fcntl.h)."""

        _fields_ = (
            ("l_type", c_short),
            ("l_whence", c_short),
            ("l_start", c_int64),
            ("l_len", c_int64),
            ("l_pid", c_int),
        )
elif ILLUMOS:

    class Flock(Structure):  # type: ignore[no-redef]
        """struct flock of usr/src/uts/common/sys/fcntl.h, with a 64-bit off_t."""

        _fields_ = (
            ("l_type", c_short),
            ("l_whence", c_short),
            ("l_start", c_int64),
            ("l_len", c_int64),
            ("l_sysid", c_int),
            ("l_pid", c_int),
            ("l_pad", c_long * 4),
        )
else:

    class Flock(Structure):  # type: ignore[no-redef]
        """struct flock of sys/sys/fcntl.h of the BSDs and macOS; l_sysid is FreeBSD's alone."""

        _fields_ = (
            ("l_start", c_int64),
            ("l_len", c_int64),
            ("l_pid", c_int),
            ("l_type", c_short),
            ("l_whence", c_short),
            *([("l_sysid", c_int)] if FREEBSD else []),
        )


# Numbers that Python's modules do not have ------------------------------------

PR_SET_PDEATHSIG = 1  # Linux, include/uapi/linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PROC_REAP_ACQUIRE = 1 if DRAGONFLY else 2  # sys/sys/procctl.h of both; 2 releases on DragonFly
PROC_REAP_KILL = 6  # This and the following are FreeBSD's alone.
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


def die_with_parent(signum: int) -> bool:
    """Ask for ``signum`` when the parent ends.  Whether the platform can (prctl, procctl)."""
    ask = death_signal(signum)
    if ask and ask():
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ask is not None


def death_signal(signum: int) -> Optional[Callable[[], int]]:
    """The call that asks for ``signum`` when the parent ends, ready to be made: 0 or -1.

    None where the platform cannot.  A fresh child that makes it writes to few pages.
    """
    if LINUX:
        return functools.partial(function("prctl"), PR_SET_PDEATHSIG, c_ulong(signum))
    if FREEBSD:
        wished = ctypes.byref(c_int(signum))
        return functools.partial(function("procctl"), P_PID_FREEBSD, 0, PROC_PDEATHSIG_CTL, wished)
    return None


def become_reaper() -> bool:
    """Become the parent of orphaned descendants.  Whether the platform can."""
    try:
        if LINUX:
            call("prctl", PR_SET_CHILD_SUBREAPER, c_ulong(1))
        elif FREEBSD or DRAGONFLY:
            call("procctl", P_PID_FREEBSD, os.getpid(), PROC_REAP_ACQUIRE, None)
        else:
            return False
    except OSError as error:
        # FreeBSD: EBUSY, it is one already.  gVisor and old kernels: EINVAL, there is none.
        return error.errno == errno.EBUSY
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


def reaper_kill(signum: int, child: int) -> None:
    """FreeBSD: signal every descendant that came of ``child``, however it was orphaned."""
    request = _ProcctlReaperKill(rk_sig=signum, rk_flags=0x2, rk_subtree=child)
    try:
        call("procctl", P_PID_FREEBSD, os.getpid(), PROC_REAP_KILL, ctypes.byref(request))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def timespec(seconds: float) -> Any:
    """struct timespec: time_t and long; time_t is a long on all but 32-bit BSDs and musl."""
    whole = int(seconds)
    return (time_t() * 2)(whole, int((seconds - whole) * 1e9))


def time_t() -> Any:
    """The C library's time_t, told by how many bytes time() writes."""
    return {4: ctypes.c_int32, 8: c_int64}[extent(lambda now: call("time", now))]


def extent(fill: Callable[[Any], Any], size: int = 512) -> int:
    """How far into a buffer of ``size`` bytes the function ``fill`` writes.

    Padding at the end that it leaves alone is not counted.
    """
    # A byte that was written may be equal to one pattern, not to both.
    last = 0
    for pattern in (0xAA, 0x55):
        buffer = ctypes.create_string_buffer(bytes([pattern]) * size, size)
        fill(buffer)
        last = max(last, len(buffer.raw.rstrip(bytes([pattern]))))
    return last
