"""Measure the exact CPU time of a server and of every process that it starts.

    group = accounting.make_group()  # before the server, which joins it, starts
    before = group.read()
    …
    seconds = (group.read() - before) / 1e9

The best source is a control group for the server: it counts the nanoseconds of all processes in
it, ended ones included.  The next is schedstat of each running thread; an ended thread counts as
it was last read.  On systems with neither (the BSDs, macOS) there is only the rusage that wait4(2)
returns for the ended tree: it is exact, but gives no windows.

Sources: cgroups(7); kernel Documentation/admin-guide/cgroup-v1/cpuacct.rst, cgroup-v2.rst
(cpu.stat); kernel Documentation/scheduler/sched-stats.rst; getrusage(2); proc(5).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from abc import ABC, abstractmethod

TICK_HZ = os.sysconf("SC_CLK_TCK")
"""Ticks per second of utime and stime in /proc/PID/stat, from which top(1) computes percent."""


class Meter(ABC):
    """CPU time of a process and all its descendants."""

    method: str
    why: str

    @abstractmethod
    def read(self) -> int:
        """Return the nanoseconds so far."""


class Cgroup(Meter):
    """A control group, made before the server, which joins it before it runs its program."""

    method = "cgroup"
    why = "a control group counts the nanoseconds of its processes, ended ones included"

    def __init__(self) -> None:
        """Make the control group.  Raise OSError if it cannot be made."""
        self.version, top = _find_own_group()
        self.path = os.path.join(top, f"papaya-{os.getpid()}-{secrets.token_hex(4)}")
        os.mkdir(self.path)
        try:
            self.read()
        except OSError:
            self.close()
            raise

    def join(self) -> None:
        """Move the calling process into the group."""
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    def read(self) -> int:
        if self.version == 1:
            with open(os.path.join(self.path, "cpuacct.usage"), encoding="ascii") as file:
                return int(file.read())
        with open(os.path.join(self.path, "cpu.stat"), encoding="ascii") as file:
            told = dict(line.split() for line in file)
        return int(told["usage_usec"]) * 1000

    def close(self) -> None:
        """Remove the group.  Its processes have ended, but may not have been reaped yet."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                os.rmdir(self.path)
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


def _find_own_group() -> tuple[int, str]:
    """Return version and folder of this process's control group that counts CPU time."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        ours = [line.rstrip("\n").split(":", 2) for line in file]
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split()[:4] for line in file]
    for _, mounted, kind, options in mounts:
        for _, controllers, path in ours:
            counts = "cpuacct" in controllers.split(",") and "cpuacct" in options.split(",")
            if kind == "cgroup" and counts:
                return 1, mounted + path
            if kind == "cgroup2" and not controllers:
                return 2, mounted + path
    raise OSError("no control group that counts CPU time")


class Schedstat(Meter):
    """Nanoseconds of each thread of the tree, from /proc; ended threads as they were last read."""

    method = "schedstat"
    why = "a control group cannot be made here; the last moments of an ended thread are not counted"

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: dict[tuple[int, int], int] = {}
        self.read()

    def read(self) -> int:
        for pid in list_tree(self.pid):
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError):
                        path = f"/proc/{pid}/task/{thread}/schedstat"
                        with open(path, encoding="ascii") as file:
                            self.seen[pid, int(thread)] = int(file.read().split()[0])
        return sum(self.seen.values())


class Ended(Meter):
    """Measure only whole lives: wait4(2) returns the CPU time when the tree has ended."""

    method = "rusage"
    why = "this platform has no finer count of running processes; their whole life is measured"

    def read(self) -> int:
        return 0


def make_group() -> Cgroup | None:
    """Return a control group for the server, or None if none can be made."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return Cgroup()
    return None


def find_meter(pid: int) -> Meter:
    """Return the meter of a server that has no control group."""
    return Schedstat(pid) if os.path.exists(f"/proc/{pid}/schedstat") else Ended()


def list_tree(pid: int) -> list[int]:
    """Return the running process and its running descendants, from /proc."""
    found, todo = [], [pid]
    while todo:
        at = todo.pop()
        found.append(at)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{at}/task"):
                with contextlib.suppress(OSError):
                    path = f"/proc/{at}/task/{thread}/children"
                    with open(path, encoding="ascii") as file:
                        todo += map(int, file.read().split())
    return found


def read_ticks(pid: int) -> dict[int, int]:
    """Return the CPU ticks (utime and stime) of each process of the tree; empty without /proc."""
    found = {}
    for each in list_tree(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{each}/stat", encoding="utf-8", errors="replace") as file:
                told = file.read().rpartition(") ")[2].split()
            found[each] = int(told[11]) + int(told[12])
    return found


def read_switches(pid: int) -> tuple[int, int] | None:
    """Return voluntary and involuntary context switches of the running tree; None if unknown."""
    if not os.path.exists(f"/proc/{pid}/status"):
        return None
    voluntary = involuntary = 0
    for each in list_tree(pid):
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{thread}/status", encoding="utf-8") as file:
                    told = dict(line.split(":", 1) for line in file if "ctxt_switches" in line)
                voluntary += int(told["voluntary_ctxt_switches"])
                involuntary += int(told["nonvoluntary_ctxt_switches"])
    return voluntary, involuntary


def read_steal() -> float | None:
    """Return the time that the hypervisor gave to other guests since boot, on all processors."""
    with contextlib.suppress(OSError, IndexError), open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / TICK_HZ
    return None


def read_pss(pid: int) -> int | None:
    """Return the tree's memory in KiB, shared pages divided by their users; None if unknown."""
    total = 0
    for each in list_tree(pid):
        try:
            with open(f"/proc/{each}/smaps_rollup", encoding="ascii") as file:
                for line in file:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except FileNotFoundError:
            if not os.path.exists("/proc/self/smaps_rollup"):
                return None
        except OSError:
            continue
    return total
