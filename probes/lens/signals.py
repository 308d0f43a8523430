"""struct sigaction, its flags, and sigset_t."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Iterable, Iterator
from ctypes import c_int, c_size_t, c_void_p
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Optional

from .. import libc
from ..probe import Blocked, Unsupported
from .processes import get_state
from .proof import (
    INT,
    POINTER,
    ROOM,
    Unproven,
    begin_trial,
    fork_process,
    look,
    read_word,
    run_trial,
    write_word,
)

_SET = libc.measure_extent(lambda buffer: libc.call("sigfillset", buffer))
"""Bytes of a sigset_t that the C library uses; a sigset_t may be longer."""


def make_signal_set(signals: Iterable[int] = ()) -> Any:
    """Return a buffer with a sigset_t that holds ``signals``, made by the C library."""
    made = ctypes.create_string_buffer(ROOM)
    libc.call("sigemptyset", made)
    for signum in signals:
        libc.call("sigaddset", made, signum)
    return made


@dataclass(frozen=True)
class Sigaction:
    """The offsets of the fields of struct sigaction in bytes, and the bits of its flags."""

    handler: int
    flags: int
    mask: int
    bits: dict[str, int] = field(default_factory=dict)
    added: int = 0
    """Flags that the C library or the kernel adds, such as Linux's SA_RESTORER."""
    keeps_unknown: bool = False
    """Whether flags without a meaning are kept: then a flag that is read back proves nothing."""

    def __str__(self) -> str:
        bits = " ".join(f"{name}={bit:#x}" for name, bit in sorted(self.bits.items()))
        return f"handler at {self.handler}, flags at {self.flags}, mask at {self.mask}; {bits}"


@dataclass(frozen=True)
class Disposition:
    """The handler and flags of a signal, from sigaction()."""

    handler: int
    flags: int


_SIGNAL = signal.SIGUSR2
"""The signal that the trials use."""


def _read_sigaction(signum: int = _SIGNAL) -> bytes:
    """Return struct sigaction as sigaction() fills it."""
    buffer = ctypes.create_string_buffer(ROOM)
    libc.call("sigaction", signum, None, buffer)
    return buffer.raw


@contextlib.contextmanager
def _keep_disposition() -> Iterator[None]:
    """At the end, give the signal of the trials its old disposition."""
    before = signal.getsignal(_SIGNAL)
    try:
        yield
    finally:
        signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)


@look("struct sigaction")
def find_sigaction_layout() -> Sigaction:
    """Where are the fields of struct sigaction, and which bits are its flags?"""
    with _keep_disposition():
        handler = _find_handler()
        flags, bits = _find_flags(handler)
    found = run_trial(lambda: _try_sigaction(Sigaction(handler, flags, -1, bits)))
    layout = Sigaction(handler, flags, found["mask"], found["bits"], found["added"], found["keeps"])
    outcome = _interrupt_read(layout)
    if outcome != "ok":
        raise Unproven(
            f"an interrupted read() with SA_RESTART ({layout.bits['SA_RESTART']:#x}) returned "
            f"{outcome or 'nothing'}, expected that it goes on"
        )
    return layout


def _find_handler() -> int:
    """Return the offset of sa_handler: only there do SIG_DFL and SIG_IGN differ."""
    seen = []
    for handler in (signal.SIG_IGN, signal.SIG_DFL, signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(_SIGNAL, handler)
        seen.append(_read_sigaction())
    where = [
        at
        for at in range(0, ROOM, POINTER)
        if [read_word(raw, at, POINTER) for raw in seen] == [1, 0, 1, 0]
    ]
    if len(where) != 1:
        raise Unproven(f"SIG_IGN and SIG_DFL differ at {where or 'no place'}, expected one")
    return where[0]


def _find_flags(handler: int) -> tuple[int, dict[str, int]]:
    """Return the offset of sa_flags, and the bits that calls of known effect set there."""
    bits = _find_flags_by_faulthandler(handler)
    by_siginterrupt = _find_flags_by_siginterrupt(handler)
    if not bits:
        if not by_siginterrupt:
            raise Unproven("neither faulthandler nor siginterrupt() changes exactly one word of it")
        return by_siginterrupt
    # A siginterrupt() without an effect proves nothing; one with an effect must agree.
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


def _find_changing_words(seen: list[bytes], handler: int) -> list[tuple[int, int, int]]:
    """Return offset, first and second value of each int that changes back and forth.

    In the part of the mask without signals glibc leaves what was on its stack.  That may be a
    copy of the previous call's flags, which `_find_kept` distinguishes from the flags.
    """
    found = []
    for at in range(0, ROOM, INT):
        if handler <= at < handler + POINTER:
            continue
        first, second, *rest = (read_word(raw, at, INT) for raw in seen)
        if first != second and rest == [first, second]:
            found.append((at, first, second))
    return found


def _find_kept(bits: dict[int, int], handler: int) -> list[int]:
    """Return the offsets at which their bit is read back just when it is written there.

    ``bits`` maps each offset to a bit of its own: a word that is not sa_flags may have changed by
    a bit that is no flag.  The other words are 0 at that time, so that no copy of the flags has it.
    """
    signal.signal(_SIGNAL, lambda *_: None)
    ours = _read_sigaction()

    def follows(at: int, bit: int) -> bool:
        seen = []
        for written in (bit, 0, bit, 0):
            asked = ctypes.create_string_buffer(ours, ROOM)
            for place in bits:
                write_word(asked, place, INT, written if place == at else 0)
            write_word(asked, handler, POINTER, read_word(ours, handler, POINTER))
            libc.call("sigaction", _SIGNAL, asked, None)
            seen.append(read_word(_read_sigaction(), at, INT) & bit)
        return seen == [bit, 0, bit, 0]

    return [at for at, bit in bits.items() if follows(at, bit)]


def _find_flags_by_faulthandler(handler: int) -> Optional[tuple[int, dict[str, int]]]:
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
        seen.append(_read_sigaction())
        unregister(_SIGNAL)
    words = [
        (at, plain & ~chained, chained & ~plain)
        for at, plain, chained in _find_changing_words(seen, handler)
        if _is_one_bit(plain & ~chained) and _is_one_bit(chained & ~plain)
    ]
    if len(words) > 1:
        kept = _find_kept({at: restart for at, restart, _ in words}, handler)
        words = [changed for changed in words if changed[0] in kept]
        if len(words) != 1:
            raise Unproven(f"faulthandler changes {len(kept)} words of it by two bits, expected 1")
    if not words:  # PyPy always sets the same flags.
        return None
    at, restart, nodefer = words[0]
    return at, {"SA_RESTART": restart, "SA_NODEFER": nodefer}


def _find_flags_by_siginterrupt(handler: int) -> Optional[tuple[int, dict[str, int]]]:
    """Return what siginterrupt() shows: it clears SA_RESTART and sets it again.

    None if it changes nothing.
    """
    # Python's own, if it has one, calls sigaction() as it was compiled to.
    siginterrupt = getattr(signal, "siginterrupt", None) or partial(libc.call, "siginterrupt")
    signal.signal(_SIGNAL, lambda *_: None)
    seen = []
    for interrupts in (False, True, False, True):
        with contextlib.suppress(OSError, Unsupported):
            siginterrupt(_SIGNAL, interrupts)
        seen.append(_read_sigaction())
    words = [
        (at, {"SA_RESTART": restarting & ~plain})
        for at, restarting, plain in _find_changing_words(seen, handler)
        if _is_one_bit(restarting & ~plain) and not plain & ~restarting
    ]
    if len(words) > 1:
        kept = _find_kept({at: bits["SA_RESTART"] for at, bits in words}, handler)
        words = [changed for changed in words if changed[0] in kept]
    return words[0] if len(words) == 1 else None


def _is_one_bit(number: int) -> bool:
    return number > 0 and not number & (number - 1)


def _install(layout: Sigaction, signum: int, handler: int, flags: int, mask: Iterable[int]) -> None:
    made = ctypes.create_string_buffer(_read_sigaction(signum), ROOM)
    made[layout.mask : layout.mask + _SET] = make_signal_set(mask).raw[:_SET]
    # After the mask, whose offset may still be wrong, so that it would cover them.
    write_word(made, layout.handler, POINTER, handler)
    write_word(made, layout.flags, INT, flags)
    libc.call("sigaction", signum, made, None)


# SA_RESETHAND on Linux, on the BSDs, and on Alpha: tried first, not believed.
_LIKELY_RESETHAND = (0x80000000, 0x4, 0x10)
# Linux's SA_RESTORER: the handler would return through a field that is not set.
_LAST = 0x04000000


MEANINGLESS_FLAGS = 0x00300000
"""Bits of sa_flags that have no meaning on any system."""


def _order_bits(likely: Iterable[int], known: Iterable[int]) -> list[int]:
    order = [*likely, *(1 << n for n in range(32) if 1 << n != _LAST), _LAST]
    return [bit for bit in dict.fromkeys(order) if bit not in known]


def _try_sigaction(layout: Sigaction) -> dict[str, Any]:
    """In a child: prove that the fields found do their work; return the flags' bits.

    A signal that the process raises runs its handler before raise() returns (POSIX XSH raise),
    so nothing here depends on time.
    """
    blocked: list[set[int]] = []

    def note(_: int) -> None:
        blocked.append({int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())})

    callback = ctypes.CFUNCTYPE(None, c_int)(note)
    address = int(ctypes.cast(callback, c_void_p).value or 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    this, other = int(_SIGNAL), int(signal.SIGUSR1)

    def list_blocked(flags: int, *mask: int) -> set[int]:
        """Return which of the two signals are blocked in a handler with these flags and mask."""
        blocked.clear()
        _install(layout, this, address, flags, mask)
        libc.call("raise", this)
        if not blocked:
            raise Unproven("a handler that was written to sa_handler does not run")
        return blocked[0] & {this, other}

    def remains() -> bool:
        return read_word(_read_sigaction(), layout.handler, POINTER) == address

    where = []
    for at in range(0, ROOM // 2, INT):
        layout = replace(layout, mask=at)
        signal.signal(_SIGNAL, signal.SIG_DFL)  # With an empty mask.
        if other in list_blocked(0, other):
            where.append(at)
    if len(where) != 1:
        raise Unproven(
            f"a signal written to a mask at {where or 'no place'} is blocked in the handler, "
            "expected one place"
        )
    layout = replace(layout, mask=where[0])
    bits = dict(layout.bits)
    for mask, expected in (((), {this}), ((other,), {this, other}), ((), {this})):
        if list_blocked(0, *mask) != expected:
            raise Unproven(
                f"a handler with mask {set(mask) or '{}'} at byte {layout.mask} and no flags runs "
                f"with {blocked[0] & {this, other}} blocked, expected {expected}"
            )
    if not remains():
        raise Unproven("a handler without flags is removed by a signal")
    added = read_word(_read_sigaction(), layout.flags, INT)
    if "SA_NODEFER" not in bits:
        bits["SA_NODEFER"] = _find_bit(
            "SA_NODEFER", bits, (0x40000000, 0x10, 0x20, 0x8), lambda bit: not list_blocked(bit)
        )
    for name, expected in (("SA_RESTART", {this}), ("SA_NODEFER", set())):
        if list_blocked(bits[name]) != expected:
            raise Unproven(
                f"with {name} ({bits[name]:#x}) a handler runs with {blocked[0]} blocked, "
                f"expected {expected or '{}'}"
            )
    bits["SA_RESETHAND"] = _find_bit(
        "SA_RESETHAND",
        bits,
        _LIKELY_RESETHAND,
        lambda bit: bool(list_blocked(bit)) and not remains(),
    )
    keeps = False
    with contextlib.suppress(OSError):  # EINVAL: unknown flags are refused.
        _install(layout, this, address, MEANINGLESS_FLAGS, ())
        keeps = bool(read_word(_read_sigaction(), layout.flags, INT) & MEANINGLESS_FLAGS)
    added &= ~sum(bits.values())
    return {"mask": layout.mask, "bits": bits, "added": added, "keeps": keeps}


ENOUGH = 8
"""Signals after which a read() that has not returned is taken to restart."""


def _interrupt_read(layout: Sigaction) -> str:
    """Return the result, ``ok`` or EINTR, of a blocked read() when SA_RESTART handlers run."""
    handled, data, results = (os.pipe() for _ in range(3))
    pid = fork_process()
    if not pid:
        try:
            begin_trial()
            os.set_blocking(handled[1], False)
            signal.set_wakeup_fd(handled[1], warn_on_full_buffer=False)
            signal.signal(_SIGNAL, lambda *_: None)
            handler = read_word(_read_sigaction(), layout.handler, POINTER)
            _install(layout, int(_SIGNAL), handler, layout.bits["SA_RESTART"], ())
            os.write(results[1], b".")
            os.write(
                results[1],
                libc.try_call("read", data[0], ctypes.create_string_buffer(1), 1).encode(),
            )
        finally:
            os._exit(0)
    os.close(results[1])
    try:
        if os.read(results[0], 1):
            for _ in range(ENOUGH):
                _wait_until_asleep(pid, results[0])
                os.kill(pid, _SIGNAL)
                # The handler has run when its byte is there: then the read goes on or returns.
                if results[0] in select.select([handled[0], results[0]], [], [])[0]:
                    break
                os.read(handled[0], 64)
            os.write(data[1], b"x")
        return os.read(results[0], 64).decode()
    finally:
        for end in (*handled, *data, results[0]):
            os.close(end)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wait_until_asleep(pid: int, results: int) -> None:
    """Wait until the child sleeps in its read() or has written its result.

    A signal before the read() blocks does not interrupt it, and proves nothing.
    """
    pause = 0.00002
    while not select.select([results], [], [], pause)[0]:
        try:
            if get_state(pid) in ("S", "I"):
                return
        except Blocked:
            # Nothing shows states; after a pause before each signal one of them comes in time.
            select.select([results], [], [], 0.002)
            return
        pause = min(pause * 1.5, 0.005)


def _find_bit(
    name: str, known: dict[str, int], likely: Iterable[int], works: Callable[[int], bool]
) -> int:
    """Return the bit that does what ``name`` is for; raise Unproven if none does."""
    for bit in _order_bits(likely, known.values()):
        with contextlib.suppress(OSError):  # EINVAL: there is no such flag.
            if works(bit):
                return bit
    raise Unproven(f"no bit of sa_flags does what {name} does")


def get_flag(name: str) -> int:
    """Return the bit of SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK or SA_NOCLDWAIT.

    Raises Blocked if struct sigaction is not proven, or no bit does what the flag is for.
    """
    layout = find_sigaction_layout()
    if name in layout.bits:
        return int(layout.bits[name])
    return int({"SA_ONSTACK": _find_onstack, "SA_NOCLDWAIT": _find_nocldwait}[name]())


@look("SA_ONSTACK")
def _find_onstack() -> int:
    """Which bit makes a handler run on the alternate stack?"""
    layout = find_sigaction_layout()

    def trial() -> dict[str, Any]:
        stack = ctypes.create_string_buffer(1 << 18)
        base, size = ctypes.addressof(stack), len(stack)
        # stack_t is {ss_sp, ss_flags, ss_size}, or {ss_sp, ss_size, ss_flags} on the BSDs and
        # MIPS; with the wrong form the kernel sees a size of 0, or wrong flags.
        for fields in ((base, 0, size), (base, size, 0)):
            if libc.try_call("sigaltstack", (c_size_t * 3)(*fields), None) == "ok":
                break
        else:
            raise Unproven("sigaltstack() takes neither form of stack_t")
        outside = ctypes.create_string_buffer(64)
        libc.call("sigaltstack", None, outside)
        inside = ctypes.create_string_buffer(outside.raw, 64)
        callback = ctypes.CFUNCTYPE(None, c_int)(
            # While the stack is in use, ss_flags has SS_ONSTACK (POSIX XSH sigaltstack).
            lambda _: libc.call("sigaltstack", None, inside) and None
        )
        address = int(ctypes.cast(callback, c_void_p).value or 0)

        def works(bit: int) -> bool:
            _install(layout, int(_SIGNAL), address, bit, ())
            libc.call("raise", _SIGNAL)
            return inside.raw != outside.raw

        return {"bit": _find_bit("SA_ONSTACK", layout.bits, (0x08000000, 0x1), works)}

    return int(run_trial(trial)["bit"])


@look("SA_NOCLDWAIT")
def _find_nocldwait() -> int:
    """Which bit keeps ended children from becoming zombies?"""
    layout = find_sigaction_layout()

    def trial() -> dict[str, Any]:
        # Blocked, so that the handler never runs: with a wrong bit it might not return.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, lambda *_: None)
        address = read_word(_read_sigaction(signal.SIGCHLD), layout.handler, POINTER)

        def works(bit: int) -> bool:
            _install(layout, int(signal.SIGCHLD), address, bit, ())
            pid = fork_process()
            if not pid:
                os._exit(0)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                return True
            return False

        # Linux, the BSDs, Linux on MIPS, SPARC and PA-RISC.
        likely = (0x2, 0x20, 0x10000, 0x100, 0x80)
        try:
            return {"bit": _find_bit("SA_NOCLDWAIT", layout.bits, likely, works)}
        except Unproven:
            return {"bit": 0}

    bit = int(run_trial(trial)["bit"])
    if not bit:
        raise Unsupported("no flag of sigaction() keeps ended children from becoming zombies")
    return bit


def sigaction(
    signum: int, handler: Any = None, flags: int = 0, mask: Iterable[int] = ()
) -> Disposition:
    """Call sigaction(2), without a handler only to ask; return the old disposition.

    ``handler`` is an address, SIG_DFL, SIG_IGN or a ctypes callback, which the caller must keep
    alive.  Raises OSError if the call fails, Blocked if the structure is not proven.
    """
    layout = find_sigaction_layout()
    before = _read_sigaction(signum)
    if handler is not None:
        address = handler if isinstance(handler, int) else ctypes.cast(handler, c_void_p).value
        _install(layout, signum, int(address or 0), flags, mask)
    return Disposition(
        read_word(before, layout.handler, POINTER),
        read_word(before, layout.flags, INT) & ~layout.added,
    )


def name_flags(flags: int) -> str:
    """Return the flags as ``SA_NODEFER|SA_RESTART``, sorted by name; ``none`` if there are none.

    A bit whose effect the lab cannot prove is shown as a number, unless the kernel keeps every
    bit, as Linux before 5.11 keeps glibc's SA_INTERRUPT.
    """
    names = []
    left = flags
    for name in ("SA_RESTART", "SA_NODEFER", "SA_RESETHAND", "SA_ONSTACK", "SA_NOCLDWAIT"):
        # Some flags need another trial, so ask only if a bit is still unexplained.
        if left and flags & get_flag(name):
            names.append(name)
            left &= ~get_flag(name)
    names.sort()
    if left and not find_sigaction_layout().keeps_unknown:
        names.append(f"{left:#x}")
    return "|".join(names) or "none"


@look("sigset_t")
def measure_sigset_t() -> int:
    """How many bytes is a sigset_t, as the C library copies one?"""
    attributes = ctypes.create_string_buffer(2 * ROOM)
    libc.call("posix_spawnattr_init", attributes)
    try:
        return libc.measure_extent(
            lambda buffer: libc.call("posix_spawnattr_getsigmask", attributes, buffer)
        )
    finally:
        libc.call("posix_spawnattr_destroy", attributes)
