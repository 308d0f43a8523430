"""The lens looks once, and blocks what it cannot prove; a trial cannot hurt the lab."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probes import lens, libc, refusals
from probes.lens import proof, structures
from probes.lens.proof import Unproven, run_trial
from probes.probe import Blocked, Unsupported


def looking(find: Callable[[], Any]) -> Callable[[], Any]:
    return proof.look("a thing")(find)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (Unproven("it is not there"), Blocked, "a thing cannot be trusted here: it is not there"),
        (Blocked("mount /proc"), Blocked, "mount /proc"),
        (Unsupported("no such call"), Unsupported, "no such call"),
        (OSError(errno.EMFILE, ""), Blocked, refusals.LIMITS[errno.EMFILE]),
        (
            OSError(errno.EINVAL, "Invalid argument"),
            Blocked,
            f"a thing cannot be asked for here: [Errno {errno.EINVAL}] Invalid argument",
        ),
    ],
)
def test_what_fails_gives_one_reason_each_time(
    error: Exception, kind: type[Exception], reason: str
) -> None:
    asked = []

    def find() -> None:
        asked.append(1)
        raise error

    see = looking(find)
    depths = []
    for _ in range(3):
        with pytest.raises(kind) as caught:
            see()
        assert type(caught.value) is kind
        assert str(caught.value) == reason
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert asked == [1]
    assert len(set(depths)) == 1


def test_what_is_found_is_looked_for_once() -> None:
    asked = []

    def find() -> str:
        asked.append(1)
        return "found"

    see = looking(find)
    assert [see(), see()] == ["found", "found"]
    assert asked == [1]


def test_a_fault_of_the_lens_itself_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        looking(lambda: 1 // 0)()


def test_all_is_proven_here_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surroundings() -> tuple[Any, ...]:
        handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return handlers, mask, len(os.listdir("/dev/fd")), os.getcwd(), os.listdir(tmp_path)

    monkeypatch.setitem(os.environ, "TMPDIR", "/no such folder")
    signal.signal(signal.SIGUSR2, handler := lambda *_: None)
    try:
        before = surroundings()
        found = lens.look(os.fspath(tmp_path))
        assert surroundings() == before
        assert signal.getsignal(signal.SIGUSR2) is handler
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    assert set(found) == set(lens._ALL)
    assert structures.folder == str(tmp_path)
    assert found["time_t"] == f"{libc.TIME_T_BITS} bits"
    assert found["sigset_t"] == f"{lens.measure_sigset_t()} bytes"
    assert not [text for text in found.values() if text.startswith("unproven") or not text]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("kind", [Blocked, Unsupported, Unproven, OSError])
def test_what_cannot_be_proven_is_said_and_the_rest_is_found(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    @proof.look("a thing")
    def find() -> None:
        raise kind("here is none")

    monkeypatch.setattr(lens, "_ALL", {"first": find, "second": lambda: "found"})
    found = lens.look()
    assert found["first"].startswith("unproven: ")
    assert "here is none" in found["first"]
    assert found["second"] == "found"


def test_a_trial_answers_from_a_child() -> None:
    here = os.getpid()
    told = run_trial(lambda: {"pid": os.getpid(), "parent": os.getppid()})
    assert told["pid"] != here
    assert told["parent"] == here


def test_a_trial_that_proves_nothing_says_why() -> None:
    def trial() -> dict[str, Any]:
        raise Unproven("it is not there")

    with pytest.raises(Unproven, match=r"^it is not there$"):
        run_trial(trial)


def test_a_trial_that_crashes_is_told_by_its_signal() -> None:
    with pytest.raises(Unproven, match=f"ended with signal {int(signal.SIGKILL)}$"):
        run_trial(lambda: {"killed": os.kill(os.getpid(), signal.SIGKILL)})


def test_a_trial_that_raises_is_told() -> None:
    with pytest.raises(Unproven, match="ended with an error"):
        run_trial(lambda: {"never": 1 // 0})


def test_a_trial_that_hangs_ends_whatever_the_caller_does_with_alarms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang() -> dict[str, Any]:
        select.select([], [], [], 20)
        return {}

    asked = []

    def sooner(seconds: int) -> None:
        asked.append(seconds)
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    monkeypatch.setattr(signal, "alarm", sooner)
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        with pytest.raises(Unproven, match=f"ended with signal {int(signal.SIGALRM)}"):
            run_trial(hang)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert asked == []  # Only the child asks for it.


def test_a_trial_tells_the_lab_of_no_signals() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    handler = signal.signal(signal.SIGUSR2, lambda *_: None)
    before = signal.set_wakeup_fd(writing)
    try:
        run_trial(lambda: {"raised": os.kill(os.getpid(), signal.SIGUSR2)})
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGUSR2, handler)
        os.close(reading)
        os.close(writing)


def test_a_child_is_reaped_and_its_pipe_is_closed() -> None:
    before = len(os.listdir("/dev/fd"))
    run_trial(dict)
    with pytest.raises(Unproven, match="nothing"):
        run_trial(lambda: {"unproven": "nothing"})
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(("order", "raw"), [("little", b"\4\3\2\1"), ("big", b"\1\2\3\4")])
def test_words_are_read_and_put_in_the_machines_order(
    order: str, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "byteorder", order)
    buffer = ctypes.create_string_buffer(b"\xee" * 12, 12)
    proof.write_word(buffer, 4, 4, 0x01020304)
    assert buffer.raw == b"\xee" * 4 + raw + b"\xee" * 4
    assert proof.read_word(buffer.raw, 4, 4) == 0x01020304
    proof.write_word(buffer, 4, 4, -1)
    assert proof.read_word(buffer.raw, 4, 4) == 0xFFFFFFFF
