"""struct sigaction is found wherever it lies, and never where it does not."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import pytest

from probes import compiler, lens, libc
from probes.lens import proof, signals
from probes.lens.proof import INT, POINTER, ROOM, Unproven, read_word, write_word
from probes.lens.signals import Sigaction
from probes.probe import Blocked, Unsupported
from tests.needs import require
from tests.worlds import needs_linux

pytestmark = pytest.mark.skipif(POINTER != 8, reason="the layouts are those of 64-bit programs")

# The forms of glibc on s390x and on MIPS, that of FreeBSD, and two that no system has.
FORMS = {
    "s390x": Sigaction(handler=0, flags=12, mask=24),
    "mips64el": Sigaction(handler=8, flags=0, mask=16),
    "FreeBSD": Sigaction(handler=0, flags=8, mask=12),
    "flags before the handler, the mask between": Sigaction(handler=40, flags=0, mask=4),
    "flags right behind the handler": Sigaction(handler=16, flags=24, mask=32),
}


@pytest.fixture
def native() -> Sigaction:
    """Return the layout of this host, from which the tests make others."""
    found: Sigaction = lens.find_sigaction_layout()
    proof._seen.clear()
    return found


@dataclass
class Library:
    """A C library with another struct sigaction, or another meaning of its fields."""

    native: Sigaction
    form: Sigaction
    flags: Callable[[int], int] = lambda flags: flags
    handler: Callable[[int], int] = lambda handler: handler
    mask: Callable[[bytes], bytes] = lambda mask: mask
    rest: Callable[[int], bytes] = os.urandom

    def call(self, real: Callable[..., int], signum: int, new: Any, old: Any) -> int:
        size = min(signals._SET, 32)
        given, was = (ctypes.create_string_buffer(ROOM) for _ in range(2))
        if new is not None:
            write_word(
                given, self.native.flags, INT, self.flags(read_word(new.raw, self.form.flags, INT))
            )
            write_word(
                given, self.native.handler, POINTER,
                self.handler(read_word(new.raw, self.form.handler, POINTER)),
            )  # fmt: skip
            mask = self.mask(new.raw[self.form.mask :])[:size]
            given[self.native.mask : self.native.mask + size] = mask
        done = real(signum, None if new is None else given, None if old is None else was)
        if old is not None:
            # The bytes between the fields hold what was on the stack.
            ctypes.memmove(old, self.rest(ROOM), ROOM)
            write_word(old, self.form.flags, INT, read_word(was.raw, self.native.flags, INT))
            write_word(
                old, self.form.handler, POINTER, read_word(was.raw, self.native.handler, POINTER)
            )
            old[self.form.mask : self.form.mask + size] = was.raw[self.native.mask :][:size]
        return done


@pytest.fixture
def library(native: Sigaction, change: Any, monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library(native, native)
    # A mask of 128 bytes, as in glibc, would cover fields that follow it in other forms.
    monkeypatch.setattr(signals, "_SET", min(signals._SET, 32))
    change("sigaction", lambda *arguments: made.call(*arguments))
    return made


@pytest.mark.parametrize("form", FORMS)
def test_another_struct_sigaction_is_found(form: str, library: Library) -> None:
    library.form = FORMS[form]
    found = lens.find_sigaction_layout()
    assert (found.handler, found.flags, found.mask) == (
        library.form.handler, library.form.flags, library.form.mask,
    )  # fmt: skip
    assert found.bits == library.native.bits
    assert found.added == library.native.added


def test_what_is_found_is_what_a_program_is_compiled_with(
    native: Sigaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    require("cc")
    fields = ("handler", "flags", "mask")
    for name in fields:
        expression = f"__builtin_offsetof(struct sigaction, sa_{name})"
        assert getattr(native, name) == compiler.read_constant(expression, "signal.h")
    for name, bit in native.bits.items():
        assert bit == 1 << compiler.read_constant(f"__builtin_ctz({name})", "signal.h")
    for name in ("SA_ONSTACK", "SA_NOCLDWAIT"):
        assert lens.get_flag(name) == 1 << compiler.read_constant(
            f"__builtin_ctz({name})", "signal.h"
        )
    assert lens.measure_sigset_t() == compiler.read_constant("sizeof(sigset_t)", "signal.h")


def test_flags_set_unasked_are_not_told(native: Sigaction) -> None:
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: None)
    address = ctypes.cast(handler, ctypes.c_void_p).value
    before = lens.sigaction(signal.SIGUSR1)
    try:
        told = lens.sigaction(
            signal.SIGUSR1, handler, lens.get_flag("SA_NODEFER"), [signal.SIGUSR2]
        )
        assert told == before
        now = lens.sigaction(signal.SIGUSR1)
        assert (now.handler, now.flags) == (address, lens.get_flag("SA_NODEFER"))
        assert lens.sigaction(signal.SIGUSR1, 0, 0).handler == address
        assert lens.sigaction(signal.SIGUSR1) == signals.Disposition(0, 0)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def unproven(reason: str) -> None:
    with pytest.raises(Blocked, match=reason):
        lens.find_sigaction_layout()


def test_a_handler_that_does_not_stay_is_unproven(library: Library) -> None:
    library.flags = lambda flags: flags | library.native.bits["SA_RESETHAND"]
    unproven("a handler without flags is removed by a signal")


def test_a_handler_that_never_runs_is_unproven(library: Library) -> None:
    library.handler = lambda handler: min(handler, libc.SIG_IGN)
    unproven("a handler that was written to sa_handler does not run")


def test_a_mask_that_is_not_heeded_is_unproven(library: Library) -> None:
    library.mask = lambda mask: bytes(len(mask))
    unproven("a mask at no place is blocked in the handler, expected one place")


def test_a_mask_that_is_heeded_in_two_places_is_unproven(library: Library) -> None:
    def either(mask: bytes) -> bytes:
        return bytes(a | b for a, b in zip(mask[:8], mask[32:])) + mask[8:]

    library.form = Sigaction(handler=0, flags=12, mask=24)
    library.mask, library.rest = either, bytes
    unproven(r"a mask at \[24, 56\] is blocked")


@pytest.mark.parametrize("name", ["SA_RESTART", "SA_NODEFER"])
def test_a_flag_that_does_nothing_is_unproven(name: str, library: Library) -> None:
    library.flags = lambda flags: flags & ~library.native.bits[name]
    unproven(
        r"an interrupted read\(\) with SA_RESTART .* returned EINTR"
        if name == "SA_RESTART"
        else r"with SA_NODEFER \(0x[0-9a-f]+\) a handler runs with"
    )


def test_no_flag_that_resets_the_handler_is_unproven(library: Library) -> None:
    library.flags = lambda flags: flags & ~library.native.bits["SA_RESETHAND"]
    unproven("no bit of sa_flags does what SA_RESETHAND does")


def test_a_flag_that_does_more_is_not_taken_for_it(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, bits = 0x4, library.native.bits
    monkeypatch.setattr(signals, "_LIKELY_RESETHAND", (more, bits["SA_RESETHAND"]))

    def and_nodefer(flags: int) -> int:
        return flags | bits["SA_RESETHAND"] | bits["SA_NODEFER"] if flags & more else flags

    library.flags = and_nodefer
    assert lens.find_sigaction_layout().bits == bits


def test_a_kernel_that_refuses_unknown_flags_is_asked_on(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sum(library.native.bits.values()) | library.native.added
    monkeypatch.setattr(signals, "_LIKELY_RESETHAND", ())

    def refusing(flags: int) -> int:
        if flags & ~known:
            raise OSError(errno.EINVAL, "Invalid argument")
        return flags

    library.flags = refusing
    assert lens.find_sigaction_layout().bits == library.native.bits


def test_no_flag_against_zombies_is_the_platforms_own_answer(library: Library) -> None:
    without = lens.get_flag("SA_NOCLDWAIT")
    del proof._seen["SA_NOCLDWAIT"]
    library.flags = lambda flags: flags & ~without
    with pytest.raises(Unsupported, match="no flag of sigaction"):
        lens.get_flag("SA_NOCLDWAIT")


@pytest.mark.parametrize("name", ["SA_ONSTACK", "SA_NOCLDWAIT"])
def test_a_flag_is_found_whatever_the_caller_blocks(name: str) -> None:
    expected = lens.get_flag(name)
    proof._seen.clear()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        assert lens.get_flag(name) == expected
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize(
    ("swapped", "reason"),
    [
        ({"SA_RESTART": "SA_NODEFER", "SA_NODEFER": "SA_RESTART"}, "with SA_RESTART"),
        ({"SA_NODEFER": "SA_RESTART"}, "with SA_NODEFER"),
    ],
)
def test_flags_mistaken_for_each_other_are_unproven(
    swapped: dict[str, str], reason: str, native: Sigaction
) -> None:
    bits = {name: native.bits[name] for name in ("SA_RESTART", "SA_NODEFER")}
    wrong = {name: native.bits[swapped.get(name, name)] for name in bits}
    with pytest.raises(Unproven, match=reason):
        proof.run_trial(lambda: signals._try_sigaction(replace(native, bits=wrong)))


def test_a_read_goes_on_with_its_flag_alone(native: Sigaction) -> None:
    assert signals._interrupt_read(native) == "ok"
    for other in (0, native.bits["SA_NODEFER"]):
        wrong = replace(native, bits={**native.bits, "SA_RESTART": other})
        assert signals._interrupt_read(wrong) == "EINTR"


@needs_linux
def test_each_signal_comes_when_the_read_is_blocked(
    native: Sigaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill, seen = os.kill, []

    def see_and_kill(pid: int, signum: int) -> None:
        if signum == signals._SIGNAL:
            seen.append(lens.get_state(pid))
        kill(pid, signum)

    monkeypatch.setattr(os, "kill", see_and_kill)
    assert signals._interrupt_read(native) == "ok"
    assert seen == ["S"] * signals.ENOUGH


@pytest.mark.parametrize(
    ("states", "left"),
    [(["R", "R", "S", "S"], 1), (["D", "T", "I", "S"], 1), ([Blocked("mount /proc"), "S"], 1)],
)
def test_a_child_is_waited_for_until_it_sleeps(
    states: list[Any], left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state(pid: int) -> str:
        told = states.pop(0)
        if isinstance(told, Exception):
            raise told
        return str(told)

    monkeypatch.setattr(signals, "get_state", state)
    reading, writing = os.pipe()
    try:
        signals._wait_until_asleep(1, reading)
        assert len(states) == left
        # There is no wait for a child that has sent the result of its read().
        os.write(writing, b".")
        signals._wait_until_asleep(1, reading)
        assert len(states) == left
    finally:
        os.close(reading)
        os.close(writing)


def test_a_read_that_does_not_go_on_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    for outcome, text in (("EINTR", "EINTR"), ("", "nothing")):
        proof._seen.clear()
        monkeypatch.setattr(signals, "_interrupt_read", lambda layout, outcome=outcome: outcome)
        unproven(f"returned {text}, expected that it goes on")


def told(monkeypatch: pytest.MonkeyPatch, answers: Iterable[dict[int, tuple[int, int]]]) -> None:
    """Make sigaction() return these words: place -> (bytes, value)."""

    def raw() -> Iterator[bytes]:
        for words in answers:
            buffer = ctypes.create_string_buffer(ROOM)
            for at, (size, value) in words.items():
                write_word(buffer, at, size, value)
            yield buffer.raw

    given = raw()
    monkeypatch.setattr(signals, "_read_sigaction", lambda signum=0: next(given))


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({16: (1, 0, 1, 0)}, 16),
        ({16: (1, 0, 1, 0), 32: (1, 0, 1, 1)}, 16),
        ({16: (1, 0, 1, 0), 32: (1, 0, 0, 0)}, 16),
        ({16: (1, 0, 1, 0), 32: (2, 0, 2, 0)}, 16),
        ({16: (1, 0, 1, 0), 32: (0, 1, 0, 1)}, 16),
        ({16: (1, 0, 1, 0), 32: (1, 0, 1, 0)}, r"\[16, 32\]"),
        ({16: (0, 0, 0, 0)}, "no place"),
    ],
)
def test_the_handler_is_in_one_place(
    values: dict[int, tuple[int, ...]], place: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, [{at: (8, v[i]) for at, v in values.items()} for i in range(4)])
    with signals._keep_disposition():
        if isinstance(place, int):
            assert signals._find_handler() == place
        else:
            with pytest.raises(Unproven, match=f"differ at {place}, expected one"):
                signals._find_handler()


R, N, X = 0x10000000, 0x40000000, 0x4


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({8: (R, N, R, N)}, (8, {"SA_RESTART": R, "SA_NODEFER": N})),
        # A flag that is always set, and a word that does not change back and forth.
        ({8: (R | X, N | X, R | X, N | X)}, (8, {"SA_RESTART": R, "SA_NODEFER": N})),
        ({8: (R, N, R, N), 12: (R, N, R, R)}, (8, {"SA_RESTART": R, "SA_NODEFER": N})),
        # The handler changes too, and more than two bits elsewhere.
        ({8: (R, N, R, N), 0: (1, 2, 1, 2), 4: (1, 2, 1, 2)}, (8, None)),
        ({8: (R, N, R, N), 16: (3, 4, 3, 4)}, (8, None)),
        ({8: (R, N, R, N), 16: (4, 3, 4, 3)}, (8, None)),
        ({8: (R, 0, R, 0)}, None),
        ({8: (R, R, R, R)}, None),
        ({8: (R, N, R, N), 16: (R, N, R, N)}, "changes 2 words"),
        ({8: (R, N, R, N), 16: (1, 2, 1, 2), 20: (4, 8, 4, 8)}, "changes 3 words"),
    ],
)
def test_faulthandler_changes_two_bits_of_one_word(
    values: dict[int, tuple[int, ...]], found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, [{at: (4, v[i]) for at, v in values.items()} for i in range(4)])
    monkeypatch.setattr(signals, "_find_kept", lambda bits, handler: [*bits])
    with signals._keep_disposition():
        if isinstance(found, str):
            with pytest.raises(Unproven, match=found):
                signals._find_flags_by_faulthandler(0)
            return
        gave = signals._find_flags_by_faulthandler(0)
    assert gave == (found if not found or found[1] else (8, {"SA_RESTART": R, "SA_NODEFER": N}))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({8: (R, 0, R, 0)}, (8, {"SA_RESTART": R})),
        ({8: (R | X, X, R | X, X)}, (8, {"SA_RESTART": R})),
        ({8: (R, 0, R, 0), 12: (1, 0, 1, 1)}, (8, {"SA_RESTART": R})),
        ({8: (R, 0, R, 0), 12: (3, 0, 3, 0)}, (8, {"SA_RESTART": R})),
        ({8: (R, 0, R, 0), 12: (R, N, R, N)}, (8, {"SA_RESTART": R})),
        ({8: (R, 0, R, 0), 12: (0, R, 0, R)}, (8, {"SA_RESTART": R})),
        ({8: (R, 0, R, 0), 12: (R, 0, R, 0)}, None),
        ({8: (R, R, R, R)}, None),
    ],
)
def test_siginterrupt_takes_one_bit_away(
    values: dict[int, tuple[int, ...]], found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, [{at: (4, v[i]) for at, v in values.items()} for i in range(4)])
    monkeypatch.setattr(signals, "_find_kept", lambda bits, handler: [*bits])
    with signals._keep_disposition():
        assert signals._find_flags_by_siginterrupt(0) == found


def test_a_word_that_changes_by_bits_that_are_no_flags_is_not_taken(
    native: Sigaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on armhf: beside the flags a word of the stack changed back and forth."""
    real = signals._find_changing_words
    decoy = next(
        at for at in range(0, ROOM, INT)
        if not native.handler <= at < native.handler + POINTER
        and not native.mask <= at < native.mask + 8 and at != native.flags
    )  # fmt: skip

    def find(seen: list[bytes], handler: int) -> list[tuple[int, int, int]]:
        return [(decoy, 0x10, 0x20), *real(seen, handler)]

    monkeypatch.setattr(signals, "_find_changing_words", find)
    with signals._keep_disposition():
        gave = signals._find_flags_by_faulthandler(native.handler)
    assert gave is not None
    assert gave[0] == native.flags


BOTH = {"SA_RESTART": R, "SA_NODEFER": N}


@pytest.mark.parametrize(
    ("by_faulthandler", "by_siginterrupt", "found"),
    [
        ((8, BOTH), (8, {"SA_RESTART": R}), (8, BOTH)),
        ((8, BOTH), None, (8, BOTH)),
        (None, (8, {"SA_RESTART": R}), (8, {"SA_RESTART": R})),
        (None, None, "neither faulthandler nor siginterrupt"),
        ((8, BOTH), (12, {"SA_RESTART": R}), r"at 8 by faulthandler, at 12 by siginterrupt\(\)"),
        ((8, BOTH), (8, {"SA_RESTART": N}), "0x10000000 by faulthandler, 0x40000000 by"),
    ],
)
def test_two_witnesses_must_agree(
    by_faulthandler: Any, by_siginterrupt: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_find_flags_by_faulthandler", lambda handler: by_faulthandler)
    monkeypatch.setattr(signals, "_find_flags_by_siginterrupt", lambda handler: by_siginterrupt)
    if isinstance(found, str):
        with pytest.raises(Unproven, match=found):
            signals._find_flags(0)
    else:
        assert signals._find_flags(0) == found


@pytest.mark.parametrize("how", ["no module", "no function", "it cannot be registered"])
def test_a_python_without_faulthandler_finds_the_same(
    how: str, native: Sigaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faulthandler

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("unable to get the file")

    # Undo this before pytest reports a failure, because pytest uses the module too.
    with monkeypatch.context() as python:
        if how == "no module":
            python.setitem(sys.modules, "faulthandler", None)
        elif how == "no function":
            python.delattr(faulthandler, "register")
        else:
            python.setattr(faulthandler, "register", refuse)
        assert lens.find_sigaction_layout() == native
        # If neither call shows the flags, nothing is believed.
        proof._seen.clear()
        python.setattr(signal, "siginterrupt", lambda *_: None)
        unproven("neither faulthandler nor siginterrupt")


def test_the_signals_disposition_is_given_back_when_it_cannot_be_proven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handler(*_: object) -> None:
        """Do nothing."""

    monkeypatch.setattr(signals, "_find_flags", lambda at: 1 // 0)
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(ZeroDivisionError):
            lens.find_sigaction_layout()
        assert signal.getsignal(signal.SIGUSR2) is handler
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_one_bit_is_one_bit() -> None:
    assert [n for n in (-2, -1, 0, 1, 2, 3, 4, 5, 6, 0x80000000) if signals._is_one_bit(n)] == [
        1, 2, 4, 0x80000000,
    ]  # fmt: skip


def test_every_bit_is_tried_once_and_the_dangerous_one_last() -> None:
    tried = signals._order_bits((0x80, 0x4), [0x1, 0x4])
    assert tried[0] == 0x80
    assert tried[-1] == signals._LAST == 0x04000000
    assert sorted(tried) == sorted({1 << n for n in range(32)} - {0x1, 0x4})


def test_a_bit_is_believed_when_it_works() -> None:
    def works(bit: int) -> bool:
        if bit == 0x2:
            raise OSError(errno.EINVAL, "Invalid argument")
        return bit in (0x1, 0x8)

    assert signals._find_bit("SA_X", {"SA_Y": 0x1}, (0x2, 0x4), works) == 0x8
    with pytest.raises(Unproven, match="no bit of sa_flags does what SA_X does"):
        signals._find_bit("SA_X", {}, (), lambda bit: False)


def test_flags_are_told_by_name_and_unknown_bits_as_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bits = {
        name: lens.get_flag(name)
        for name in ("SA_RESTART", "SA_NODEFER", "SA_RESETHAND", "SA_ONSTACK", "SA_NOCLDWAIT")
    }
    assert len(set(bits.values())) == 5
    assert all(signals._is_one_bit(bit) for bit in bits.values())
    for name, bit in bits.items():
        assert lens.name_flags(bit) == name
    unknown = 1 << 20
    assert lens.name_flags(0) == "none"
    restart, nodefer = bits["SA_RESTART"], bits["SA_NODEFER"]
    assert lens.name_flags(restart | nodefer) == "SA_NODEFER|SA_RESTART"
    layout = signals.find_sigaction_layout()
    for keeps, shown in ((False, f"SA_RESTART|{unknown:#x}"), (True, "SA_RESTART")):
        kept = replace(layout, keeps_unknown=keeps)
        monkeypatch.setattr(signals, "find_sigaction_layout", lambda kept=kept: kept)
        assert lens.name_flags(unknown | restart) == shown
    assert lens.name_flags(sum(bits.values())) == "|".join(sorted(bits))


def test_a_name_is_not_asked_for_when_no_bit_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    restart = lens.get_flag("SA_RESTART")

    def refuse() -> int:
        raise Unsupported("no trial must be made")

    monkeypatch.setattr(signals, "_find_onstack", refuse)
    monkeypatch.setattr(signals, "_find_nocldwait", refuse)
    assert lens.name_flags(restart) == "SA_RESTART"


def test_a_set_of_signals_has_those() -> None:
    made = lens.make_signal_set({signal.SIGUSR1, signal.SIGTERM})
    for signum in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2):
        expected = int(signum != signal.SIGUSR2)
        assert libc.call("sigismember", made, signum) == expected


def test_a_sigset_t_is_as_wide_as_the_library_writes(change: Any) -> None:
    def write(_: object, attributes: object, buffer: Any) -> int:
        ctypes.memset(buffer, 0, 16)
        return 0

    change("posix_spawnattr_getsigmask", write)
    assert lens.measure_sigset_t() == 16
