"""The states of processes (asleep, stopped, ended), and the children of this one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import time
from collections.abc import Iterator
from ctypes import byref, c_int, c_long, c_size_t
from typing import Callable

from .. import libc, run_program
from ..probe import Blocked, Unsupported
from .proof import Unproven, fork_process, look, read_word
from .structures import Found

State = Callable[[int], str]
"""Returns the state of a process as one letter of ps(1); empty if it is gone."""


@look("the state of a process")
def watch() -> Found:
    """How can the lab see whether a process sleeps, is stopped or has ended?"""
    if libc.LINUX and is_proc_ours():
        return Found(_read_state_by_proc, "/proc")
    if libc.FREEBSD:
        with contextlib.suppress(Unproven, Blocked, Unsupported, OSError):
            return Found(_find_state_by_sysctl(), "sysctl(KERN_PROC_PID)")
    try:
        _prove_ps()
    except OSError as error:
        why = f"ps cannot be run ({error.strerror})"
    except Unproven as unproven:
        why = f"ps cannot be used ({unproven})"
    else:
        return Found(_read_state_by_ps, "ps")
    proc = "/proc shows other processes" if os.path.exists("/proc/self") else "there is no /proc"
    raise Blocked(f"the lab cannot see whether a process sleeps: {proc}, and {why}: mount /proc")


def is_proc_ours() -> bool:
    """Return whether /proc shows this process, and not those of another PID namespace."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _read_state_by_proc(pid: int) -> str:
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


def _read_state_by_ps(pid: int) -> str:
    _, listed = run_program.run(["ps", "-o", "stat=", "-p", str(pid)])
    return listed.strip()[:1]


def _prove_ps() -> None:
    """Raise Unproven unless ps shows the lab's own processes and their states."""
    with _start_idle_child() as pid:
        _, parent = run_program.run(["ps", "-o", "ppid=", "-p", str(pid)])
        if parent.strip() != str(os.getpid()):
            raise Unproven("it does not see a child of the lab")
    _prove_state(_read_state_by_ps)


def _prove_state(state: State) -> None:
    """Raise Unproven unless ``state`` sees a child stopped, asleep, ended and gone."""
    with _start_idle_child() as pid:
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
                    raise Unproven(f"it shows state {seen} for a child after {signum.name}")
                time.sleep(0.001)
                seen = state(pid)


@contextlib.contextmanager
def _start_idle_child() -> Iterator[int]:
    """Yield a child that sleeps in read() until it is killed at the end."""
    reading, writing = os.pipe()
    pid = fork_process()
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


def _read_kinfo(pid: int) -> bytes:
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


def _find_state_by_sysctl() -> State:
    """Return a reader of states from struct kinfo_proc, whose fields are found by trial.

    ki_stat is the byte that differs as it should between this running process and a child that
    is asleep, stopped or ended.  The thread's flags are the last long (sys/sys/user.h), with
    TDF_SINTR in an interruptible sleep; any other sleep, as for a page fault, is not in a call.
    """
    here = _read_kinfo(os.getpid())
    samples = [(here, _SRUN)]
    with _start_idle_child() as pid:
        give_up = time.monotonic() + 10
        while _read_state_by_ps(pid) not in ("S", "I"):
            if time.monotonic() > give_up:
                raise Unproven("a child does not go to sleep")
            time.sleep(0.001)
        asleep = _read_kinfo(pid)
        samples.append((asleep, _SSLEEP))
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        samples.append((_read_kinfo(pid), _SSTOP))
        os.kill(pid, signal.SIGKILL)
        while _read_state_by_ps(pid) != "Z":
            if time.monotonic() > give_up:
                raise Unproven("a child that was killed does not become a zombie")
            time.sleep(0.001)
        samples.append((_read_kinfo(pid), _SZOMB))
    return _make_kinfo_reader(*_find_kinfo_fields(samples, asleep))


def _find_kinfo_fields(samples: list[tuple[bytes, int]], asleep: bytes) -> tuple[int, int]:
    """Return where ki_stat and ki_tdflags are; raise Unproven if the samples do not show it."""
    size = len(asleep)
    if size < 64 or any(len(raw) != size for raw, _ in samples):
        raise Unproven("the size of struct kinfo_proc changes")
    stat = [at for at in range(size) if all(raw[at] == wanted for raw, wanted in samples)]
    flags = size - ctypes.sizeof(c_long)
    running = samples[0][0]
    if len(stat) != 1 or not read_word(asleep, flags, 4) & _TDF_SINTR:
        raise Unproven("ki_stat or ki_tdflags is not where it is expected")
    if read_word(running, flags, 4) & _TDF_SINTR:
        raise Unproven("ki_tdflags has TDF_SINTR for a running process")
    return stat[0], flags


def _make_kinfo_reader(stat: int, flags: int) -> State:
    def state(pid: int) -> str:
        raw = _read_kinfo(pid)
        if not raw:
            return ""
        letter = {_SRUN: "R", _SSLEEP: "S", _SSTOP: "T", _SZOMB: "Z"}.get(raw[stat], "D")
        if letter == "S" and not read_word(raw, flags, 4) & _TDF_SINTR:
            return "D"
        return letter

    return state


def get_state(pid: int) -> str:
    """Return one letter of ps(1): S or I asleep in the kernel, R running, T stopped, Z ended.

    Empty if the process is gone.  Raises Blocked if the lab cannot see states.
    """
    return str(watch()(pid))


def list_children() -> set[int]:
    """Return the ids of all processes that may be children of this one."""
    if libc.LINUX and is_proc_ours():
        return set(_list_children_by_proc())
    with contextlib.suppress(Blocked, OSError, ValueError):
        watch()  # A ps of other processes may show one with this id, and its children.
        # One option per column: on the BSDs ps takes what follows the first "=" for a heading.
        _, listed = run_program.run(["ps", "-ax", "-o", "pid=", "-o", "ppid="])
        parents = {int(pid): int(ppid) for pid, ppid in map(str.split, listed.splitlines())}
        if os.getpid() in parents:
            return {pid for pid, parent in parents.items() if parent == os.getpid()}
    return _list_younger_processes()


def _list_children_by_proc() -> Iterator[int]:
    me = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b") ")[2].split()[1]) == me:
                    yield int(name)


def _list_younger_processes() -> set[int]:
    """Return the ids given out since this process began, for when nothing lists processes.

    Ids are given out in turn, and start again after the last (fork(2)); OpenBSD, which does not
    do so, has a ps.
    """
    here = os.getpid()
    try:
        newest = os.fork()
    except OSError:  # A limit: then return all ids that there might be.
        newest = 0
    if not newest and os.getpid() != here:
        os._exit(0)
    if newest:
        os.waitpid(newest, 0)
    if newest > here:
        return set(range(here + 1, newest))
    return {*range(2, newest), *range(here + 1, here + _AT_MOST)}


_AT_MOST = 1 << 16
"""Processes that may start on this machine while the lab runs."""
