"""What the lab looks through, proven on this host before the first probe.

A fact is worth no more than the layout, the constant or the tool it was read with.  So nothing
here is taken from a table of platforms: a structure's fields are where a call whose effect is
known shows them to be, and the flags are the bits that do what their names say.  What cannot be
proven raises `Blocked` wherever it is needed, always with the same reason, so that a fact is
either measured through something proven or not measured at all.

A trial that could end the process, as one with a wrong layout might, is made in a child.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from ctypes import byref, c_int, c_int64, c_long, c_short, c_size_t, c_uint, c_void_p
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional, Union

from . import command, libc
from .probe import Blocked


class Unproven(Exception):
    """Something is not as expected.  The message says what was found and what was expected."""


_LOOKS: dict[str, Callable[[], Any]] = {}
_seen: dict[str, Union[Any, Blocked]] = {}


def _look(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register what finds and proves the thing called ``name``, once in the life of the process."""

    def register(find: Callable[[], Any]) -> Callable[[], Any]:
        _LOOKS[name] = find

        def seen() -> Any:
            if name not in _seen:
                try:
                    _seen[name] = find()
                except Unproven as why:
                    _seen[name] = Blocked(f"{name} cannot be trusted here: {why}")
                except Blocked as why:
                    _seen[name] = why
            if isinstance(_seen[name], Blocked):
                # A new one each time: an exception that is raised again grows its traceback.
                raise Blocked(str(_seen[name]))
            return _seen[name]

        seen.__doc__ = find.__doc__
        return seen

    return register


def look() -> dict[str, str]:
    """Prove everything now.  Return what was found, for the report's environment."""
    found = {}
    for name, look in _ALL.items():
        try:
            found[name] = str(look())
        except Blocked as why:
            found[name] = f"unproven: {why}"
    return found


def _in_child(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``trial`` returns in a child.  Raise Unproven if the child ends without it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            signal.set_wakeup_fd(-1)
            signal.alarm(10)  # Whatever a wrong layout does, the child ends.
            try:
                answer = trial()
            except Unproven as why:
                answer = {"unproven": str(why)}
            os.write(writing, marshal.dumps(answer))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        said = answers.read()
    _, status = os.waitpid(pid, 0)
    if not said:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "an error"
        raise Unproven(f"the trial of it was ended by {how}")
    told: dict[str, Any] = marshal.loads(said)
    if "unproven" in told:
        raise Unproven(told["unproven"])
    return told


# Numbers ------------------------------------------------------------------------------


@_look("the numbers of errors, signals and options")
def numbers() -> str:
    """Do Python's modules number errors, signals and options as the C library does?"""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    room = ctypes.create_string_buffer(1)
    try:
        failing = (
            ("EBADF", "close", (-1,)),
            ("ENOENT", "open", (b"/no such folder/file", os.O_RDONLY)),
            ("EAGAIN", "read", (reading, room, 1)),
            ("EINVAL", "kill", (os.getpid(), 1 << 16)),
            ("EACCES" if os.geteuid() else "EISDIR", "open", (b"/", os.O_WRONLY)),
        )
        for name, call, arguments in failing:
            got = libc.number_of(call, *arguments)
            if got not in (getattr(errno, name), errno.EISDIR if name == "EACCES" else None):
                raise Unproven(
                    f"{call}() failed with {got}, and errno.{name} is {getattr(errno, name)}"
                )
        if libc.call("fcntl", reading, fcntl.F_GETFD) != fcntl.FD_CLOEXEC:
            raise Unproven("F_GETFD does not tell FD_CLOEXEC of a pipe made by Python")
        flags = libc.call("fcntl", reading, fcntl.F_GETFL)
        if not flags & os.O_NONBLOCK or flags & (os.O_WRONLY | os.O_RDWR):
            raise Unproven(f"F_GETFL gives {flags:#x} for the reading end of a non-blocking pipe")
    finally:
        os.close(reading)
        os.close(writing)
    _check_signal_numbers()
    with socket.socket() as tcp:
        kind = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if kind != socket.SOCK_STREAM:
        raise Unproven(f"SO_TYPE of a SOCK_STREAM socket is {kind}")
    return "as in Python's modules"


def _check_signal_numbers() -> None:
    """Raise Unproven unless a broken pipe gives the number of SIGPIPE, and raise() its own."""
    held = {signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2}

    def trial() -> dict[str, Any]:
        for signum in held:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        reading, writing = os.pipe()
        os.close(reading)
        with contextlib.suppress(BrokenPipeError):
            os.write(writing, b"x")
        libc.call("raise", signal.SIGUSR2)
        return {"pending": [int(signum) for signum in signal.sigpending()]}

    expected = {int(signal.SIGPIPE), int(signal.SIGUSR2)}
    pending = set(_in_child(trial)["pending"])
    if pending != expected:
        raise Unproven(f"a broken pipe and SIGUSR2 left {pending} pending, not {expected}")


# Signal sets and struct sigaction -------------------------------------------------------

ROOM = 256
"""Bytes: more than any structure here has, anywhere."""


_SET = libc.extent(lambda buffer: libc.call("sigfillset", buffer))
"""Bytes of a sigset_t that the C library uses; it may have more."""


def signal_set(signals: Iterable[int] = ()) -> Any:
    """Return a buffer with a sigset_t that holds ``signals``, made by the C library."""
    made = ctypes.create_string_buffer(ROOM)
    libc.call("sigemptyset", made)
    for signum in signals:
        libc.call("sigaddset", made, signum)
    return made


@dataclass(frozen=True)
class Sigaction:
    """Where the fields of struct sigaction lie, in bytes from its start, and its flags' bits."""

    handler: int
    flags: int
    mask: int
    bits: dict[str, int] = field(default_factory=dict)
    added: int = 0
    """Flags that the C library or the kernel sets unasked, such as Linux's SA_RESTORER."""

    def __str__(self) -> str:
        bits = " ".join(f"{name}={bit:#x}" for name, bit in sorted(self.bits.items()))
        return f"handler at {self.handler}, flags at {self.flags}, mask at {self.mask}; {bits}"


@dataclass(frozen=True)
class Disposition:
    """What sigaction() told of a signal."""

    handler: int
    flags: int


_SIGNAL = signal.SIGUSR2
"""The signal that the trials are made with."""
_POINTER = ctypes.sizeof(c_void_p)


def _raw(signum: int = _SIGNAL) -> bytes:
    """Return struct sigaction as sigaction() fills it."""
    buffer = ctypes.create_string_buffer(ROOM)
    libc.call("sigaction", signum, None, buffer)
    return buffer.raw


def _word(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], sys.byteorder)


def _put(buffer: Any, at: int, size: int, value: int) -> None:
    ctypes.memmove(
        ctypes.addressof(buffer) + at, (value % (1 << 8 * size)).to_bytes(size, sys.byteorder), size
    )


@contextlib.contextmanager
def _disposition_kept() -> Iterator[None]:
    """Give the signal of the trials its disposition back."""
    before = signal.getsignal(_SIGNAL)
    try:
        yield
    finally:
        signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)


@_look("struct sigaction")
def layout_of_sigaction() -> Sigaction:
    """Where are the fields of struct sigaction, and which bits are its flags?"""
    with _disposition_kept():
        handler = _handler_at()
        flags, bits = _flags_at(handler)
    found = _in_child(lambda: _try_sigaction(Sigaction(handler, flags, -1, bits)))
    return Sigaction(handler, flags, found["mask"], found["bits"], found["added"])


def _handler_at() -> int:
    """Return where sa_handler lies: only there do SIG_DFL and SIG_IGN differ."""
    seen = []
    for handler in (signal.SIG_IGN, signal.SIG_DFL, signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(_SIGNAL, handler)
        seen.append(_raw())
    where = [
        at
        for at in range(0, ROOM, _POINTER)
        if [_word(raw, at, _POINTER) for raw in seen] == [1, 0, 1, 0]
    ]
    if len(where) != 1:
        raise Unproven(f"SIG_IGN and SIG_DFL differ at {where or 'no place'}, expected one")
    return where[0]


_INT = ctypes.sizeof(c_int)


def _flags_at(handler: int) -> tuple[int, dict[str, int]]:
    """Return where sa_flags lies, and the bits that calls of known effect set there."""
    bits = _flags_of_faulthandler(handler)
    by_siginterrupt = _flags_of_siginterrupt(handler)
    if not bits:
        if not by_siginterrupt:
            raise Unproven("neither faulthandler nor siginterrupt() changes one word of it")
        return by_siginterrupt
    # A siginterrupt() that does nothing says nothing; one that does something must agree.
    if by_siginterrupt and by_siginterrupt[0] != bits[0]:
        raise Unproven(
            f"sa_flags is at {bits[0]} by faulthandler, at {by_siginterrupt[0]} by siginterrupt()"
        )
    if by_siginterrupt and by_siginterrupt[1]["SA_RESTART"] != bits[1]["SA_RESTART"]:
        raise Unproven(
            f"SA_RESTART is {bits[1]['SA_RESTART']:#x} by faulthandler, "
            f"{by_siginterrupt[1]['SA_RESTART']:#x} by siginterrupt()"
        )
    return bits


def _changing_words(seen: list[bytes], handler: int) -> list[tuple[int, int, int]]:
    """Return place, first and second value of each int that changes back and forth.

    What glibc leaves of its stack in the part of the mask that has no signals may change too,
    but not back and forth with what was asked for.
    """
    found = []
    for at in range(0, ROOM, _INT):
        if handler <= at < handler + _POINTER:
            continue
        first, second, *rest = (_word(raw, at, _INT) for raw in seen)
        if first != second and rest == [first, second]:
            found.append((at, first, second))
    return found


def _flags_of_faulthandler(handler: int) -> Optional[tuple[int, dict[str, int]]]:
    """Return what faulthandler.register() shows: SA_NODEFER if it chains, else SA_RESTART.

    See faulthandler_register() in CPython's Modules/faulthandler.c, which is compiled with the
    platform's own headers.  None if this Python has no such function.
    """
    try:
        import faulthandler

        register, unregister = faulthandler.register, faulthandler.unregister
    except (ImportError, AttributeError):
        return None
    seen = []
    for chain in (False, True, False, True):
        try:
            register(_SIGNAL, file=2, chain=chain)
        except (OSError, RuntimeError, ValueError):
            return None
        seen.append(_raw())
        unregister(_SIGNAL)
    words = [
        (at, plain & ~chained, chained & ~plain)
        for at, plain, chained in _changing_words(seen, handler)
        if _is_one_bit(plain & ~chained) and _is_one_bit(chained & ~plain)
    ]
    if len(words) > 1:
        raise Unproven(f"faulthandler changes {len(words)} words of it by two bits, expected 1")
    if not words:  # PyPy's gives the same flags always.
        return None
    at, restart, nodefer = words[0]
    return at, {"SA_RESTART": restart, "SA_NODEFER": nodefer}


def _flags_of_siginterrupt(handler: int) -> Optional[tuple[int, dict[str, int]]]:
    """Return what siginterrupt() shows: it takes SA_RESTART away and gives it back.

    None if it changes nothing.
    """
    signal.signal(_SIGNAL, lambda *_: None)
    seen = []
    for interrupts in (False, True, False, True):
        with contextlib.suppress(OSError):
            signal.siginterrupt(_SIGNAL, interrupts)
        seen.append(_raw())
    words = [
        (at, {"SA_RESTART": restarting & ~plain})
        for at, restarting, plain in _changing_words(seen, handler)
        if _is_one_bit(restarting & ~plain) and not plain & ~restarting
    ]
    return words[0] if len(words) == 1 else None


def _is_one_bit(number: int) -> bool:
    return number > 0 and not number & (number - 1)


def _install(layout: Sigaction, signum: int, handler: int, flags: int, mask: Iterable[int]) -> None:
    made = ctypes.create_string_buffer(_raw(signum), ROOM)
    made[layout.mask : layout.mask + _SET] = signal_set(mask).raw[:_SET]
    # After the mask: where that is still looked for, it may cover them.
    _put(made, layout.handler, _POINTER, handler)
    _put(made, layout.flags, _INT, flags)
    libc.call("sigaction", signum, made, None)


# Where SA_RESETHAND is on Linux, on the BSDs, and on Alpha: to be tried first, not to be believed.
_LIKELY_RESETHAND = (0x80000000, 0x4, 0x10)
# Linux's SA_RESTORER: the handler would return through a field that is not set.
_LAST = 0x04000000


def _bits_to_try(likely: Iterable[int], known: Iterable[int]) -> list[int]:
    order = [*likely, *(1 << n for n in range(32) if 1 << n != _LAST), _LAST]
    return [bit for bit in dict.fromkeys(order) if bit not in known]


def _try_sigaction(layout: Sigaction) -> dict[str, Any]:
    """In a child: see that the fields found do what they are for.  Return the flags' bits.

    Signals that the process raises itself run the handler before raise() returns (POSIX XSH
    raise), so nothing here depends on time.
    """
    blocked: list[set[int]] = []

    def note(_: int) -> None:
        blocked.append({int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())})

    callback = ctypes.CFUNCTYPE(None, c_int)(note)
    address = int(ctypes.cast(callback, c_void_p).value or 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    this, other = int(_SIGNAL), int(signal.SIGUSR1)

    def seen(flags: int, *mask: int) -> set[int]:
        """Return which of the two signals are blocked in a handler with these flags and mask."""
        blocked.clear()
        _install(layout, this, address, flags, mask)
        libc.call("raise", this)
        if not blocked:
            raise Unproven("a handler that was put into sa_handler does not run")
        return blocked[0] & {this, other}

    def remains() -> bool:
        return _word(_raw(), layout.handler, _POINTER) == address

    where = []
    for at in range(0, ROOM // 2, _INT):
        layout = replace(layout, mask=at)
        signal.signal(_SIGNAL, signal.SIG_DFL)  # With an empty mask.
        if other in seen(0, other):
            where.append(at)
    if len(where) != 1:
        raise Unproven(
            f"a signal put into a mask at {where or 'no place'} is blocked in the handler, "
            "expected one place"
        )
    layout = replace(layout, mask=where[0])
    bits = dict(layout.bits)
    for mask, expected in (((), {this}), ((other,), {this, other}), ((), {this})):
        if seen(0, *mask) != expected:
            raise Unproven(
                f"a handler with mask {set(mask) or '{}'} at byte {layout.mask} and no flags runs "
                f"with {blocked[0] & {this, other}} blocked, expected {expected}"
            )
    if not remains():
        raise Unproven("a handler with no flags is gone after a signal")
    added = _word(_raw(), layout.flags, _INT)
    if "SA_NODEFER" not in bits:
        bits["SA_NODEFER"] = _found(
            "SA_NODEFER", bits, (0x40000000, 0x10, 0x20, 0x8), lambda bit: not seen(bit)
        )
    for name, expected in (("SA_RESTART", {this}), ("SA_NODEFER", set())):
        if seen(bits[name]) != expected:
            raise Unproven(
                f"with {name} ({bits[name]:#x}) a handler runs with {blocked[0]} blocked, "
                f"expected {expected or '{}'}"
            )
    bits["SA_RESETHAND"] = _found(
        "SA_RESETHAND", bits, _LIKELY_RESETHAND, lambda bit: bool(seen(bit)) and not remains()
    )
    return {"mask": layout.mask, "bits": bits, "added": added & ~sum(bits.values())}


def _found(
    name: str, known: dict[str, int], likely: Iterable[int], works: Callable[[int], bool]
) -> int:
    """Return the bit that does what ``name`` is for.  Raise Unproven if none does."""
    for bit in _bits_to_try(likely, known.values()):
        with contextlib.suppress(OSError):  # EINVAL: there is no such flag.
            if works(bit):
                return bit
    raise Unproven(f"no bit of sa_flags does what {name} does")


def flag(name: str) -> int:
    """Return the bit of SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK or SA_NOCLDWAIT.

    Raises Blocked where struct sigaction is not proven, or no bit does what the flag is for.
    """
    layout = layout_of_sigaction()
    if name in layout.bits:
        return int(layout.bits[name])
    return int({"SA_ONSTACK": _onstack, "SA_NOCLDWAIT": _nocldwait}[name]())


@_look("SA_ONSTACK")
def _onstack() -> int:
    """Which bit has a handler run on the alternate stack?"""
    layout = layout_of_sigaction()

    def trial() -> dict[str, Any]:
        stack = ctypes.create_string_buffer(1 << 18)
        base, size = ctypes.addressof(stack), len(stack)
        # stack_t is {ss_sp, ss_flags, ss_size}, or {ss_sp, ss_size, ss_flags} on the BSDs and
        # MIPS; a kernel that is given the one for the other finds a size of 0, or wrong flags.
        for fields in ((base, 0, size), (base, size, 0)):
            if libc.outcome("sigaltstack", (c_size_t * 3)(*fields), None) == "ok":
                break
        else:
            raise Unproven("sigaltstack() takes neither form of stack_t")
        outside = ctypes.create_string_buffer(64)
        libc.call("sigaltstack", None, outside)
        inside = ctypes.create_string_buffer(outside.raw, 64)
        callback = ctypes.CFUNCTYPE(None, c_int)(
            # While it is in use, ss_flags has SS_ONSTACK (POSIX XSH sigaltstack).
            lambda _: libc.call("sigaltstack", None, inside) and None
        )
        address = int(ctypes.cast(callback, c_void_p).value or 0)

        def works(bit: int) -> bool:
            _install(layout, int(_SIGNAL), address, bit, ())
            libc.call("raise", _SIGNAL)
            return inside.raw != outside.raw

        return {"bit": _found("SA_ONSTACK", layout.bits, (0x08000000, 0x1), works)}

    return int(_in_child(trial)["bit"])


@_look("SA_NOCLDWAIT")
def _nocldwait() -> int:
    """Which bit has children that end leave no zombie?"""
    layout = layout_of_sigaction()

    def trial() -> dict[str, Any]:
        # A handler that never runs: with a wrong bit it might not return.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, lambda *_: None)
        address = _word(_raw(signal.SIGCHLD), layout.handler, _POINTER)

        def works(bit: int) -> bool:
            _install(layout, int(signal.SIGCHLD), address, bit, ())
            pid = os.fork()
            if not pid:
                os._exit(0)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                return True
            return False

        # Linux, the BSDs, Linux on MIPS, SPARC and PA-RISC.
        likely = (0x2, 0x20, 0x10000, 0x100, 0x80)
        return {"bit": _found("SA_NOCLDWAIT", layout.bits, likely, works)}

    return int(_in_child(trial)["bit"])


def sigaction(
    signum: int, handler: Any = None, flags: int = 0, mask: Iterable[int] = ()
) -> Disposition:
    """sigaction(2).  With no handler it only asks.  Return the disposition before.

    ``handler`` is an address, SIG_DFL, SIG_IGN or a ctypes callback (which the caller keeps
    alive).  Raises OSError as the call fails, Blocked where the structure is not proven.
    """
    layout = layout_of_sigaction()
    before = _raw(signum)
    if handler is not None:
        address = handler if isinstance(handler, int) else ctypes.cast(handler, c_void_p).value
        _install(layout, signum, int(address or 0), flags, mask)
    return Disposition(
        _word(before, layout.handler, _POINTER),
        _word(before, layout.flags, _INT) & ~layout.added,
    )


def flag_names(flags: int) -> str:
    """Return ``SA_NODEFER|SA_RESTART`` in the order of the names, ``none`` for no flag.

    A bit that is none of those the lab can prove by what it does is shown as a number.
    """
    names = []
    left = flags
    for name in ("SA_RESTART", "SA_NODEFER", "SA_RESETHAND", "SA_ONSTACK", "SA_NOCLDWAIT"):
        # What takes a trial of its own is asked only if there is a bit to explain.
        if left and flags & flag(name):
            names.append(name)
            left &= ~flag(name)
    return "|".join(sorted(names) + ([f"{left:#x}"] if left else [])) or "none"


@_look("sigset_t")
def sigset_t_bytes() -> int:
    """How many bytes is a sigset_t, as the C library copies one?"""
    attributes = ctypes.create_string_buffer(2 * ROOM)
    libc.call("posix_spawnattr_init", attributes)
    try:
        return libc.extent(
            lambda buffer: libc.call("posix_spawnattr_getsigmask", attributes, buffer)
        )
    finally:
        libc.call("posix_spawnattr_destroy", attributes)


# Times --------------------------------------------------------------------------------


@_look("time_t")
def time_t() -> Any:
    """How wide is time_t in a program built for this platform?

    The interpreter is such a program; time(), linked as its own call is, must agree.
    """
    writes = libc.extent(lambda now: libc.call("time", now))
    if 8 * writes != libc.TIME_T_BITS:
        raise Unproven(
            f"the interpreter's has {libc.TIME_T_BITS} bits, and time() writes {8 * writes}"
        )
    return {4: ctypes.c_int32, 8: c_int64}[writes]


class _Pair:
    """struct timespec or struct timeval: seconds, and a fraction of some width."""

    def __init__(self, seconds: Any, fraction: Any, units: int) -> None:
        self.units = units
        self.type = type(
            "Time", (ctypes.Structure,), {"_fields_": (("seconds", seconds), ("part", fraction))}
        )

    def __call__(self, seconds: float) -> Any:
        whole = int(seconds)
        return self.type(whole, int((seconds - whole) * self.units))

    def __str__(self) -> str:
        parts = (getattr(self.type, name) for name in ("seconds", "part"))
        return " and ".join(f"{part.size} bytes at {part.offset}" for part in parts)


def _pair_filled_by(fill: Callable[[Any], Any], units: int) -> _Pair:
    """Return the structure in which ``fill`` writes the time it is now."""
    tried = []
    for fraction in dict.fromkeys((time_t(), c_long, c_int)):
        pair = _Pair(time_t(), fraction, units)
        made = pair(0)
        buffer = ctypes.create_string_buffer(b"\xaa" * ROOM, ROOM)
        # Padding behind the fraction is left alone by some.
        ctypes.memset(buffer, 0, ctypes.sizeof(made))
        before = time.time()
        fill(buffer)
        after = time.time()
        ctypes.memmove(byref(made), buffer, ctypes.sizeof(made))
        tried.append(f"{made.seconds}.{made.part}")
        told = made.seconds + made.part / units
        overrun = buffer.raw[ctypes.sizeof(made) :].strip(b"\xaa")
        if before - 0.001 <= told <= after + 0.001 and 0 <= made.part < units and not overrun:
            return pair
    raise Unproven(f"it tells the time as {' or '.join(tried)}, expected about {time.time():.0f}")


@_look("struct timespec")
def timespec() -> Any:
    """How is struct timespec laid out: time_t, then a long, or as much as a time_t?"""
    return _pair_filled_by(
        lambda buffer: libc.call("clock_gettime", time.CLOCK_REALTIME, buffer), 1_000_000_000
    )


@_look("struct timeval")
def timeval() -> Any:
    """How is struct timeval laid out?"""
    return _pair_filled_by(lambda buffer: libc.call("gettimeofday", buffer, None), 1_000_000)


# Other structures ---------------------------------------------------------------------


class _Pollfd(ctypes.Structure):
    """struct pollfd (POSIX XBD <poll.h>)."""

    _fields_ = (("fd", c_int), ("events", c_short), ("revents", c_short))

    def __str__(self) -> str:
        return "an int and two shorts"


@_look("struct pollfd")
def pollfd() -> Any:
    """Is struct pollfd an int and two shorts, with POLLIN and POLLOUT as Python has them?"""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"x")
        for descriptor, events in ((reading, select.POLLIN), (writing, select.POLLOUT)):
            entry = _Pollfd(descriptor, events, 0)
            libc.call("poll", byref(entry), 1, 0)
            # Not what it asked: gVisor adds POLLERR and POLLHUP to that.
            if (entry.fd, entry.revents) != (descriptor, events):
                raise Unproven(
                    f"poll() for {events:#x} gives {entry.revents:#x}, expected the same"
                )
    finally:
        os.close(reading)
        os.close(writing)
    return _Found(_Pollfd, "an int and two shorts")


@dataclass(frozen=True)
class _Found:
    """A type, and what is said of it in the report."""

    type: Any
    text: str

    def __call__(self, *values: Any, **fields: Any) -> Any:
        return self.type(*values, **fields)

    def __str__(self) -> str:
        return self.text


_START, _LENGTH = 0x0102030405, 0x0607


@_look("struct flock")
def flock() -> Any:
    """Which form of struct flock does fcntl() take?

    The interpreter, built with this platform's headers, locks a range of a file; F_GETLK of
    another process must tell that lock, and who holds it.
    """
    path = f"{_scratch()}/.lens-{os.getpid()}-{os.urandom(4).hex()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LENGTH, _START)
        except OSError as error:
            why = libc.errno_name(error.errno)
            raise Blocked(
                f"the scratch file system has no record locks ({why}): set TMPDIR elsewhere"
            ) from None
        holder = os.getpid()
        found = _in_child(lambda: _try_flocks(path, holder))["form"]
    finally:
        os.close(descriptor)
        os.unlink(path)
    return _Found(libc.FLOCKS[found], f"{found}'s")


def _try_flocks(path: str, holder: int) -> dict[str, Any]:
    descriptor = os.open(path, os.O_RDWR)
    tried = []
    expected = (fcntl.F_WRLCK, _START, _LENGTH, holder)
    likely = next(name for name, form in libc.FLOCKS.items() if form is libc.Flock)
    for name in dict.fromkeys((likely, *libc.FLOCKS)):
        # More room than it has, so that a wrong form is not written past.
        room = ctypes.create_string_buffer(ROOM)
        lock = libc.FLOCKS[name].from_buffer(room)
        lock.l_type, lock.l_whence = fcntl.F_WRLCK, os.SEEK_SET
        outcome = libc.outcome(libc.FCNTL, descriptor, fcntl.F_GETLK, room)
        told = (lock.l_type, lock.l_start, lock.l_len, lock.l_pid)
        if outcome == "ok" and told == expected:
            return {"form": name}
        tried.append(f"{name}'s form: {outcome}, {told}")
    raise Unproven(f"F_GETLK gives {'; '.join(tried)}; expected {expected}")


def _scratch() -> str:
    return os.environ.get("TMPDIR") or "/tmp"


@_look("struct sockaddr")
def sockaddr() -> Any:
    """Does a socket's address begin with its length, as on the BSDs, or with its family?"""
    with socket.socket(socket.AF_UNIX) as fresh:
        address, size = ctypes.create_string_buffer(128), c_uint(128)
        libc.call("getsockname", fresh.fileno(), address, byref(size))
    head = address.raw[:2]
    if int.from_bytes(head, sys.byteorder) == socket.AF_UNIX:
        return "a family of 16 bits"
    if head[1] == socket.AF_UNIX:
        return "a length and a family of 8 bits each"
    raise Unproven(f"that of a Unix socket begins with {head.hex()}, without AF_UNIX")


def unix_address(path: bytes) -> bytes:
    """Return a struct sockaddr_un that is as long as ``path`` makes it."""
    if str(sockaddr()).startswith("a length"):
        return bytes((2 + len(path), socket.AF_UNIX)) + path
    return struct.pack("=H", socket.AF_UNIX) + path


# Seeing where a process is ------------------------------------------------------------------


State = Callable[[int], str]
"""Tell a process's state as one letter of ps(1); empty if it is gone."""


@_look("the state of a process")
def _watch() -> _Found:
    """By what can the lab see whether a process sleeps, is stopped or has ended?"""
    if libc.LINUX and _proc_is_ours():
        return _Found(_state_by_proc, "/proc")
    if libc.FREEBSD:
        with contextlib.suppress(Unproven, Blocked, OSError):
            return _Found(_state_by_sysctl(), "sysctl(KERN_PROC_PID)")
    try:
        _prove_state(_state_by_ps)
    except OSError as error:
        why = f"ps cannot be run ({error.strerror})"
    except Unproven as unproven:
        why = f"ps is of no use ({unproven})"
    else:
        return _Found(_state_by_ps, "ps")
    proc = "/proc is that of other processes" if os.path.exists("/proc/self") else "no /proc"
    raise Blocked(f"the lab cannot see whether a process sleeps: {proc}, and {why}: mount /proc")


def _proc_is_ours() -> bool:
    """Whether /proc shows this process: not so in a PID namespace with the /proc of another."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _state_by_proc(pid: int) -> str:
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, 4096).rpartition(b") ")[2][:1].decode()
    except ProcessLookupError:
        return ""
    finally:
        os.close(descriptor)


def _state_by_ps(pid: int) -> str:
    _, listed = command.run(["ps", "-o", "stat=", "-p", str(pid)])
    return listed.strip()[:1]


def _prove_state(state: State) -> None:
    """Raise Unproven unless ``state`` sees a child stopped, asleep, ended and gone."""
    with _idle_child() as pid:
        for signum, letters in (
            (signal.SIGSTOP, "T"),
            (signal.SIGCONT, "SI"),
            (signal.SIGKILL, "Z"),
        ):
            os.kill(pid, signum)
            if signum == signal.SIGSTOP:
                os.waitpid(pid, os.WUNTRACED)
            give_up = time.monotonic() + 10
            seen = state(pid)
            while seen not in tuple(letters):
                if not seen:
                    raise Unproven("it does not see a child of the lab")
                if time.monotonic() > give_up:
                    raise Unproven(f"it tells {seen} of a child after {signum.name}")
                time.sleep(0.001)
                seen = state(pid)


@contextlib.contextmanager
def _idle_child() -> Iterator[int]:
    """A child that sleeps in read() until it is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(writing)
            os.read(reading, 1)
        finally:
            os._exit(0)
    os.close(reading)
    try:
        yield pid
    finally:
        os.close(writing)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


# sys/sys/sysctl.h of FreeBSD.
_CTL_KERN, _KERN_PROC, _KERN_PROC_PID = 1, 14, 1
# sys/sys/proc.h: what p_stat and ki_stat mean, and TDF_SINTR, an interruptible sleep.
_SRUN, _SSLEEP, _SSTOP, _SZOMB, _TDF_SINTR = 2, 3, 4, 5, 0x8


def _kinfo(pid: int) -> bytes:
    """Return struct kinfo_proc of a process, empty if it is gone (sysctl(3) FreeBSD)."""
    name = (c_int * 4)(_CTL_KERN, _KERN_PROC, _KERN_PROC_PID, pid)
    room, size = ctypes.create_string_buffer(8192), c_size_t(8192)
    try:
        libc.call("sysctl", name, 4, room, byref(size), None, 0)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return b""
        raise
    return room.raw[: size.value]


def _state_by_sysctl() -> State:
    """Return what tells a state from struct kinfo_proc, its fields found by asking.

    ki_stat is the byte that tells this process runs, a child is asleep, stopped, ended; the
    thread's flags are the last long (sys/sys/user.h), with TDF_SINTR in an interruptible sleep.
    A sleep that is not interruptible, as of a page fault, is none in a call.
    """
    here = _kinfo(os.getpid())
    samples = [(here, _SRUN)]
    with _idle_child() as pid:
        give_up = time.monotonic() + 10
        while _state_by_ps(pid) not in ("S", "I"):
            if time.monotonic() > give_up:
                raise Unproven("a child does not go to sleep")
            time.sleep(0.001)
        asleep = _kinfo(pid)
        samples.append((asleep, _SSLEEP))
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        samples.append((_kinfo(pid), _SSTOP))
        os.kill(pid, signal.SIGKILL)
        while _state_by_ps(pid) != "Z":
            if time.monotonic() > give_up:
                raise Unproven("a child that was killed is no zombie")
            time.sleep(0.001)
        samples.append((_kinfo(pid), _SZOMB))
    return _from_kinfo(*_fields_of_kinfo(samples, asleep))


def _fields_of_kinfo(samples: list[tuple[bytes, int]], asleep: bytes) -> tuple[int, int]:
    """Return where ki_stat and ki_tdflags are; Unproven if the samples do not tell."""
    size = len(asleep)
    if size < 64 or any(len(raw) != size for raw, _ in samples):
        raise Unproven("struct kinfo_proc has another size each time")
    stat = [at for at in range(size) if all(raw[at] == wanted for raw, wanted in samples)]
    flags = size - ctypes.sizeof(c_long)
    running = samples[0][0]
    if len(stat) != 1 or not _word(asleep, flags, 4) & _TDF_SINTR:
        raise Unproven("ki_stat or ki_tdflags is not where it is expected")
    if _word(running, flags, 4) & _TDF_SINTR:
        raise Unproven("ki_tdflags has TDF_SINTR for a process that runs")
    return stat[0], flags


def _from_kinfo(stat: int, flags: int) -> State:
    def state(pid: int) -> str:
        raw = _kinfo(pid)
        if not raw:
            return ""
        letter = {_SRUN: "R", _SSLEEP: "S", _SSTOP: "T", _SZOMB: "Z"}.get(raw[stat], "D")
        if letter == "S" and not _word(raw, flags, 4) & _TDF_SINTR:
            return "D"
        return letter

    return state


def state(pid: int) -> str:
    """Return one letter of ps(1): S or I asleep in the kernel, R running, T stopped, Z ended.

    Empty if the process is gone.  Raises Blocked where the lab has no way to see it.
    """
    return str(_watch()(pid))


_ALL: dict[str, Callable[[], Any]] = {
    "numbers": numbers,
    "sigaction": layout_of_sigaction,
    "sigset_t": sigset_t_bytes,
    "time_t": lambda: 8 * ctypes.sizeof(time_t()),
    "timespec": timespec,
    "timeval": timeval,
    "pollfd": pollfd,
    "flock": flock,
    "sockaddr": sockaddr,
    "processes": _watch,
}
