"""CPU time counted against servers whose use of it is known, because they count it themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from papaya.experiment.measure import accounting, paper
from tests.needs import require
from tests.worlds import needs_linux

pytestmark = needs_linux


# Each says on standard output, when told to end, the CPU seconds it knows it has used.
SPIN = """
import sys, time, resource
share = {share}
def used(): return time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
print("up", flush=True)
start, wall = used(), time.monotonic()
until = wall + {seconds}
while (now := time.monotonic()) < until:
    # In slices of 5 ms: what of one is not spun is slept.
    if used() - start < share * (now - wall):
        continue
    time.sleep(0.002)
print(used(), flush=True)
sys.stdin.read()
"""


# In C, as what a Python does to be born and to end would be more than what is known.
CHILDREN = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 64 };

static double used(void)
{
    struct timespec at;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int told[2], hold[2];
    double sum = 0, one;
    char byte;

    (void)argv;
    if (pipe(told) || pipe(hold))
        return 1;
    puts("up");
    fflush(stdout);
    for (int child = 0; child < COUNT; child++) {
        if (fork())
            continue;
        close(hold[1]);
        while (used() < 0.009)
            ;
        one = used();
        if (write(told[1], &one, sizeof one) < 0)
            return 1;
        if (argc > 1 && read(hold[0], &byte, 1) < 0)
            return 1;
        _exit(0);
    }
    for (int child = 0; child < COUNT; child++) {
        if (read(told[0], &one, sizeof one) < 0)
            return 1;
        sum += one;
    }
    if (argc == 1)
        while (wait(NULL) > 0)
            ;
    printf("%f\\n", sum + used());
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    close(hold[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of the program."""
    require("cc")
    path = tmp_path_factory.mktemp("children") / "children"
    source = path.with_suffix(".c")
    source.write_text(CHILDREN)
    subprocess.run(["cc", "-O2", "-o", str(path), str(source)], check=True)
    return str(path)


@contextmanager
def running(
    command: list[str], group: accounting.Cgroup | None
) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """Start a synthetic subject, and wait until it runs in the group.

    Yield it with the CPU seconds that it used before it joined the group: a fork of a large
    process copies pages, which takes many milliseconds on a busy machine.
    """
    told, telling = os.pipe()

    def join() -> None:
        if group:
            group.join()
            os.write(telling, str(time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)).encode())

    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=join,
    ) as process:  # fmt: skip
        os.close(telling)
        try:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
            yield process, float(os.read(told, 100) or 0)
        finally:
            os.close(told)
            os.killpg(process.pid, 9)


def truth(process: subprocess.Popen[str]) -> float:
    """Return the CPU seconds that it says it has used."""
    assert process.stdout
    return float(process.stdout.readline())


@contextmanager
def grouped() -> Iterator[accounting.Cgroup]:
    group = accounting.make_group()
    if not group:
        pytest.skip("no control group can be made here: run the tests as root")
    try:
        yield group
    finally:
        group.close()
        assert not os.path.exists(group.path)


NAMES = ("20 %", "50 %", "64 children of 9 ms", "64 children that end")


END = 0.4e-3
"""CPU seconds that the end of a process of C may use; none can tell of its own."""


@pytest.fixture
def command(name: str, children: str) -> list[str]:
    """Return the synthetic subject of that name."""
    spins = {"20 %": 0.2, "50 %": 0.5}
    if name in spins:
        return [sys.executable, "-c", SPIN.format(share=spins[name], seconds=2)]
    return [children] if "end" in name else [children, "stay"]


def within_two_percent(
    measured: Callable[[], tuple[float, float]], less: float, more: float
) -> None:
    """Assert that what was counted is what is known: never less, and once in five runs no more.

    ``less`` and ``more`` are seconds beside the 2 %.  A busy machine makes births and ends
    dearer, which are counted and cannot be known; it makes nothing cheaper.
    """
    for _ in range(5):
        used, known = measured()
        assert used >= 0.98 * known - less
        if used <= 1.02 * known + more:
            return
    assert used <= 1.02 * known + more


@pytest.mark.parametrize("name", NAMES)
def test_a_control_group_is_within_two_percent_of_the_truth(command: list[str], name: str) -> None:
    def measured() -> tuple[float, float]:
        with grouped() as group, running(command, group) as (process, before):
            known = truth(process) - before
            return group.read() / 1e9, known

    within_two_percent(measured, 0.004, 0.004 + (64 * END if "end" in name else 0))


@pytest.mark.parametrize("name", [name for name in NAMES if "end" not in name])
def test_schedstat_is_within_two_percent_of_the_truth(command: list[str]) -> None:
    def measured() -> tuple[float, float]:
        with running(command, None) as (process, _):
            meter = accounting.Schedstat(process.pid)
            known = truth(process)
            return meter.read() / 1e9, known

    within_two_percent(measured, 0.004, 0.004)


@pytest.mark.parametrize("name", NAMES)
def test_wait4_of_the_ended_tree_is_within_two_percent_of_the_truth(
    command: list[str], name: str
) -> None:
    def measured() -> tuple[float, float]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        known = truth(process)
        process.stdin.close()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        process.stdout.close()
        return usage.ru_utime + usage.ru_stime, known

    # Its end is counted too: an interpreter's, or 64 of C.
    within_two_percent(measured, 0, 64 * END if "children" in name else 8e-3)


def test_how_far_ticks_are_off(children: str) -> None:
    """64 children of 9 ms each: not one has used a whole tick of 10 ms, so top sees nothing."""
    with grouped() as group, running([children, "stay"], group) as (process, joined):
        before = {process.pid: 0}
        known = truth(process) - joined
        after = accounting.read_ticks(process.pid)
        exact = group.read() / 1e9
    hz = accounting.TICK_HZ
    seen = [ticks for pid, ticks in after.items() if pid != process.pid]
    assert len(seen) == 64
    told = sum(seen) / hz
    burnt = 64 * 0.009
    assert exact >= 0.98 * known - 0.004
    # Some have a tick, as a child burns a little more than it means to.
    assert told < 0.75 * burnt, f"ticks say {told:.2f} s of {burnt:.2f} s"
    _, shown = paper.compute_percents(before, after, 1.0, hz)
    assert shown / 100 < exact


def test_switches_and_memory_are_told(children: str) -> None:
    with running([children, "stay"], None) as (process, _):
        truth(process)
        told = accounting.read_switches(process.pid)
        assert told is not None
        assert told[0] >= 64
        pss = accounting.read_pss(process.pid)
        assert pss is not None
        assert 100 < pss < 50_000
        assert len(accounting.list_tree(process.pid)) == 65


def test_steal_never_goes_back() -> None:
    first = accounting.read_steal()
    time.sleep(0)
    second = accounting.read_steal()
    assert first is not None
    assert second is not None
    assert second >= first
