"""A process's state is read from /proc, sysctl() or ps, or it is blocked; it is never wrong."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

from probes import lens, libc, run_program
from probes.lens import processes
from probes.lens.proof import Unproven
from probes.lens.structures import Found
from probes.probe import Blocked
from tests.needs import needs, require
from tests.worlds import needs_linux

LONG = ctypes.sizeof(ctypes.c_long)


@pytest.fixture
def idle() -> Iterator[int]:
    """Yield the id of a child that sleeps."""
    with processes._start_idle_child() as pid:
        yield pid


def kinfo(stat: int, flags: int, size: int = 1088) -> bytes:
    raw = bytearray(os.urandom(size))
    # The bytes around it must not look like a state by chance.
    for at, byte in enumerate(raw):
        raw[at] = byte | 0x80
    raw[388 % size] = stat
    raw[-LONG:] = flags.to_bytes(LONG, sys.byteorder)
    return bytes(raw)


def test_the_fields_of_kinfo_proc_are_found_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = kinfo(3, 0x10 | 0x8)
    samples = [(kinfo(2, 0x10), 2), (asleep, 3), (kinfo(4, 0x18), 4), (kinfo(5, 0), 5)]
    stat, flags = processes._find_kinfo_fields(samples, asleep)
    assert (stat, flags) == (388, 1088 - LONG)
    state = processes._make_kinfo_reader(stat, flags)
    seen = {
        1: kinfo(3, 0x8),
        2: kinfo(3, 0x10),
        3: kinfo(4, 0),
        4: kinfo(5, 0),
        5: kinfo(2, 0x8),
        6: b"",
        7: kinfo(6, 0x8),
    }
    monkeypatch.setattr(processes, "_read_kinfo", lambda pid: seen[pid])
    assert [state(pid) for pid in seen] == ["S", "D", "T", "Z", "R", "", "D"]


def twice(raw: bytes) -> bytes:
    """Return a structure that has the byte of the state in a second place."""
    return raw[:100] + raw[388:389] + raw[101:]


@pytest.mark.parametrize(
    "samples",
    [
        # No byte distinguishes the states.
        [(kinfo(2, 0), 2), (kinfo(2, 8), 3), (kinfo(2, 0), 4), (kinfo(2, 0), 5)],
        # Two bytes do.
        [(twice(kinfo(s, 8 * (s == 3))), s) for s in (2, 3, 4, 5)],
        # The last long does not show an interruptible sleep.
        [(kinfo(2, 0), 2), (kinfo(3, 0), 3), (kinfo(4, 0), 4), (kinfo(5, 0), 5)],
        [(kinfo(2, 8), 2), (kinfo(3, 8), 3), (kinfo(4, 0), 4), (kinfo(5, 0), 5)],
        # A structure that changes its size.
        [(kinfo(2, 0, 1088), 2), (kinfo(3, 8), 3), (kinfo(4, 0, 1096), 4), (kinfo(5, 0), 5)],
        # A structure that is too small.
        [(kinfo(s, 8 * (s == 3), 60), s) for s in (2, 3, 4, 5)],
        [(b"", s) for s in (2, 3, 4, 5)],
    ],
)
def test_a_kinfo_proc_that_does_not_tell_is_unproven(samples: list[tuple[bytes, int]]) -> None:
    with pytest.raises(Unproven):
        processes._find_kinfo_fields(samples, samples[1][0])


@needs_linux
@needs("ps")
def test_a_process_is_seen_by_sysctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with a sysctl() that reports the states of /proc."""

    def told(pid: int) -> bytes:
        letter = processes._read_state_by_proc(pid)
        if not letter:
            return b""
        # On a busy machine it may wait for the disk, in a sleep that no signal interrupts.
        stat = {"R": 2, "S": 3, "D": 3, "T": 4, "Z": 5}[letter]
        return kinfo(stat, 8 * (letter == "S"))

    monkeypatch.setattr(libc, "LINUX", False)
    monkeypatch.setattr(libc, "FREEBSD", True)
    monkeypatch.setattr(processes, "_read_kinfo", told)
    monkeypatch.setattr(processes, "_read_state_by_ps", processes._read_state_by_proc)
    assert str(lens.watch()) == "sysctl(KERN_PROC_PID)"
    with processes._start_idle_child() as pid:
        processes._prove_state(lens.get_state)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert lens.get_state(pid) == ""
    # This sysctl() shows nothing, so ps is used.
    lens.proof._seen.clear()
    monkeypatch.setattr(processes, "_read_kinfo", lambda pid: kinfo(2, 8))
    assert str(lens.watch()) == "ps"


def test_a_process_that_is_gone_has_no_kinfo(change: Any) -> None:
    def sysctl(_: object, name: Any, length: int, room: Any, size: Any, *rest: Any) -> int:
        *which, pid = name
        assert (which, length, rest) == ([1, 14, 1], 4, (None, 0))
        if pid == 7:
            raise OSError(errno.ESRCH, "No such process")
        if pid == 8:
            raise OSError(errno.EPERM, "Operation not permitted")
        room[:3] = b"abc"
        size._obj.value = 3
        return 0

    change("sysctl", sysctl)
    assert processes._read_kinfo(6) == b"abc"
    assert processes._read_kinfo(7) == b""
    with pytest.raises(PermissionError):
        processes._read_kinfo(8)


def test_a_foreign_proc_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/test_lens.py runs the whole lab under a foreign /proc."""
    monkeypatch.setattr(os, "readlink", lambda path: str(os.getpid()))
    assert processes.is_proc_ours()
    monkeypatch.setattr(os, "readlink", lambda path: str(os.getpid() + 1))
    assert not processes.is_proc_ours()

    def missing(path: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    monkeypatch.setattr(os, "readlink", missing)
    assert not processes.is_proc_ours()


@pytest.fixture
def no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "is_proc_ours", lambda: False)


@needs_linux
def test_proc_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_prove_state", lambda state: 1 // 0)
    found = lens.watch()
    assert (found.type, str(found)) == (processes._read_state_by_proc, "/proc")


@pytest.mark.usefixtures("no_proc")
@needs("ps")
def test_ps_comes_next_and_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    proven = []
    monkeypatch.setattr(processes, "_prove_state", proven.append)
    found = lens.watch()
    assert (found.type, str(found)) == (processes._read_state_by_ps, "ps")
    assert proven == [processes._read_state_by_ps]


@pytest.mark.parametrize("proc", [True, False])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "Not here"), r"ps cannot be run \(Not here\)"),
        (Unproven("it lies"), r"ps cannot be used \(it lies\)"),
    ],
)
@pytest.mark.usefixtures("no_proc")
@needs("ps")
def test_one_reason_says_why_no_process_is_seen(
    fault: Exception, reason: str, proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(state: object) -> None:
        raise fault

    monkeypatch.setattr(processes, "_prove_state", fail)
    monkeypatch.setattr(os.path, "exists", lambda path: proc)
    what = "/proc shows other processes" if proc else "there is no /proc"
    with pytest.raises(Blocked, match=f": {what}, and {reason}: mount /proc$"):
        lens.get_state(os.getpid())


@pytest.mark.parametrize("see", ["_read_state_by_proc", "_read_state_by_ps"])
@needs_linux
def test_each_state_is_seen(see: str, idle: int) -> None:
    if see == "_read_state_by_ps":
        require("ps")
    state = getattr(processes, see)
    processes._prove_state(state)
    os.kill(idle, signal.SIGKILL)
    os.waitpid(idle, 0)
    assert state(idle) == ""


@needs_linux
def test_a_name_with_brackets_is_not_taken_for_a_state() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with open("/proc/self/comm", "w") as name:
                name.write("a) Z (b) T")
            os.write(writing, b".")
            signal.pause()
        finally:
            os._exit(0)
    try:
        os.read(reading, 1)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert processes._read_state_by_proc(pid) == "T"
        assert pid in processes._list_children_by_proc()
    finally:
        os.close(reading)
        os.close(writing)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@needs_linux
def test_a_process_that_ends_while_it_is_read_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(descriptor: int, size: int) -> bytes:
        raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(os, "read", gone)
    assert processes._read_state_by_proc(os.getpid()) == ""


class _Sees:
    """A reader of states that is wrong about one of the three states."""

    def __init__(self, **wrong: str) -> None:
        self.wrong = wrong

    def __call__(self, pid: int) -> str:
        seen = processes._read_state_by_proc(pid)
        return self.wrong.get(seen, seen)


@needs_linux
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"T": ""}, "it does not see a child of the lab"),
        ({"T": "S"}, "it shows state S for a child after SIGSTOP"),
        ({"S": "T"}, "it shows state T for a child after SIGCONT"),
        ({"Z": "S"}, "it shows state S for a child after SIGKILL"),
    ],
)
def test_a_state_that_is_told_wrong_is_unproven(
    wrong: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The ten seconds pass after so many looks, and not after ten seconds.
    looks = iter(range(10**6))
    clock = types.SimpleNamespace(monotonic=lambda: next(looks) / 20, sleep=time.sleep)
    monkeypatch.setattr(processes, "time", clock)
    with pytest.raises(Unproven, match=reason):
        processes._prove_state(_Sees(**wrong))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("letter", ["S", "I"])
@needs_linux
def test_a_sleep_is_told_by_either_letter(letter: str) -> None:
    processes._prove_state(_Sees(S=letter))


def _family() -> tuple[int, int, int]:
    """Start a child that has a child; return both, and a descriptor whose close() ends them."""
    reading, writing = os.pipe()
    telling, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(writing)
            grandchild = os.fork()
            if grandchild:
                os.write(told, str(grandchild).encode())
            os.read(reading, 1)
            if grandchild:
                os.waitpid(grandchild, 0)
        finally:
            os._exit(0)
    grandchild = int(os.read(telling, 20))
    for end in (reading, telling, told):
        os.close(end)
    return pid, grandchild, writing


@pytest.mark.parametrize("by", ["/proc", "ps"])
@needs_linux
def test_children_are_listed_and_no_others(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "ps":
        require("ps")
        monkeypatch.setattr(processes, "is_proc_ours", lambda: False)
    # Without both, the child would be found by its number.
    monkeypatch.setattr(processes, "_list_younger_processes", lambda: {0})
    child, grandchild, lifeline = _family()
    try:
        seen = lens.list_children()
        assert child in seen
        assert not {grandchild, os.getpid(), os.getppid(), 0} & seen
    finally:
        os.close(lifeline)
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "listed",
    ["", "no numbers\n", "12\n", f"{os.getppid()} 1\n", FileNotFoundError(2, "none")],
    ids=["nothing", "words", "one column", "without this process", "no ps"],
)
@pytest.mark.usefixtures("no_proc")
def test_without_a_list_children_are_told_by_their_numbers(
    listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str], **_: Any) -> tuple[int, str]:
        assert words == ["ps", "-ax", "-o", "pid=", "-o", "ppid="]
        if isinstance(listed, Exception):
            raise listed
        return 0, listed

    monkeypatch.setattr(run_program, "run", run)
    monkeypatch.setattr(processes, "watch", lambda: None)
    monkeypatch.setattr(processes, "_list_younger_processes", lambda: {4, 5})
    assert lens.list_children() == {4, 5}


@pytest.mark.parametrize(
    ("me", "newest", "young"),
    [
        (60000, 60004, {60001, 60002, 60003}),
        (60000, 60001, set()),
        (65000, 500, {*range(2, 500), *range(65001, 65000 + (1 << 16))}),
    ],
    ids=["in turn", "none", "past the end"],
)
def test_younger_processes_have_later_numbers(
    me: int, newest: int, young: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    monkeypatch.setattr(os, "getpid", lambda: me)
    monkeypatch.setattr(os, "fork", lambda: newest)
    monkeypatch.setattr(os, "waitpid", lambda pid, options: waited.append(pid))
    assert processes._list_younger_processes() == young
    assert waited == [newest]


def test_an_answer_is_kept_with_its_type() -> None:
    found = Found(dict, "a table")
    assert (found(a=1), str(found)) == ({"a": 1}, "a table")
