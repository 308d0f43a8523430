"""The lens proves what the lab looks through; broken on purpose, it blocks and measures nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from probes import Report, lens
from probes.fact import BLOCKED, FAULTS
from probes.lens import processes
from probes.probe import Blocked
from tests.worlds import ROOT, flipped, measure, needs_linux, needs_root, shim

# A C library for programs that were built with another struct sigaction: what is looked up by
# name, as the lab does, takes the form that glibc has on s390x (or MIPS), and Python's own calls
# take the form they were compiled with.
RELAID = r"""
#include <signal.h>
#include <string.h>
struct other { FIELDS };
int relaid(int signum, const struct other *new, struct other *old) {
    struct sigaction to, was;
    if (new) {
        memset(&to, 0, sizeof to);
        to.sa_handler = new->handler;
        to.sa_flags = new->flags;
        memcpy(&to.sa_mask, &new->mask, sizeof to.sa_mask);
    }
    if (sigaction(signum, new ? &to : 0, old ? &was : 0)) return -1;
    if (old) {
        memset(old, 0, sizeof *old);
        old->handler = was.sa_handler;
        old->flags = was.sa_flags;
        memcpy(&old->mask, &was.sa_mask, sizeof old->mask);
    }
    return 0;
}
void *dlsym(void *library, const char *name) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5", "GLIBC_2.0"};
    static void *(*real)(void *, const char *);
    for (int i = 0; !real && i < 4; i++) real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    return strcmp(name, "sigaction") ? real(library, name) : (void *)relaid;
}
"""
FORMS = {
    "s390x": "void (*handler)(int); int reserved, flags; void (*restorer)(void); sigset_t mask;",
    "mips64el": "int flags; void (*handler)(int); sigset_t mask;",
    "FreeBSD": "void (*handler)(int); int flags; sigset_t mask;",
}


@needs_linux
@pytest.mark.parametrize("form", FORMS)
def test_another_struct_sigaction_is_found_and_used(
    form: str, here: Report, tmp_path: Path
) -> None:
    relaid = measure(environment=shim(tmp_path, RELAID.replace("FIELDS", FORMS[form])))
    changed = flipped(here, relaid)
    assert "abi.sa_flags_offset" in changed
    assert set(changed) <= {"abi.sa_flags_offset", "abi.sigaction_fills_bytes"}
    offset = {"s390x": 12, "mips64el": 0, "FreeBSD": 8}[form]
    assert relaid["abi.sa_flags_offset"].value == offset
    assert f"flags at {offset}" in relaid.environment.lens["sigaction"]


# Each breaks one thing that the lens found, before it is proven.
BROKEN_LENSES = {
    "sa_flags is looked for 4 bytes too far": """
from probes.lens import signals as it
real = it._flags_at
it._flags_at = lambda handler: (real(handler)[0] + 4, real(handler)[1])
""",
    "sa_flags is looked for 4 bytes too early": """
from probes.lens import signals as it
real = it._flags_at
it._flags_at = lambda handler: (real(handler)[0] - 4, real(handler)[1])
""",
    "sa_handler is looked for 8 bytes too far": """
from probes.lens import signals as it
real = it._handler_at
it._handler_at = lambda: real() + 8
""",
    "SA_RESTART is another bit": """
from probes.lens import signals as it
real = it._flags_at
it._flags_at = lambda handler: (real(handler)[0], {**real(handler)[1], "SA_RESTART": 1 << 29})
""",
    "SA_RESTART and SA_NODEFER are mistaken for each other": """
from probes.lens import signals as it
real = it._flags_at
def swapped(handler):
    at, bits = real(handler)
    return at, {"SA_RESTART": bits["SA_NODEFER"], "SA_NODEFER": bits["SA_RESTART"]}
it._flags_at = swapped
""",
    "faulthandler speaks of another bit than siginterrupt()": """
from probes.lens import signals as it
real = it._flags_of_faulthandler
def other(handler):
    at, bits = real(handler)
    return at, {**bits, "SA_RESTART": 1 << 29}
it._flags_of_faulthandler = other
""",
    "siginterrupt() changes another place": """
from probes.lens import signals as it
real = it._flags_of_siginterrupt
it._flags_of_siginterrupt = lambda handler: (real(handler)[0] - 4, real(handler)[1])
""",
    "the trial crashes": """
import os, signal
from probes.lens import signals as it
it._try_sigaction = lambda layout: os.kill(os.getpid(), signal.SIGSEGV)
""",
    "errno's numbers are those of another platform": """
import errno
errno.EAGAIN = 45
""",
    "signal's numbers are those of another platform": """
import signal
signal.SIGPIPE = 31
""",
    "struct flock is none of those known": """
from probes import libc
import ctypes
class Flock(ctypes.Structure):
    _fields_ = (("l_pid", ctypes.c_int), ("l_start", ctypes.c_int64), ("l_len", ctypes.c_int64),
                ("l_type", ctypes.c_short), ("l_whence", ctypes.c_short))
libc.Flock = Flock
libc.FLOCKS = {"another": Flock}
""",
    "struct pollfd has its events the other way round": """
from probes.lens import structures as it
import ctypes
class Pollfd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("revents", ctypes.c_short), ("events", ctypes.c_short))
it._Pollfd = Pollfd
""",
    "time_t is half as wide": """
from probes import libc
libc.TIME_T_BITS = 32
""",
    "a socket's address begins otherwise": """
from probes import libc
call = libc.call
def elsewhere(name, *arguments):
    done = call(name, *arguments)
    if name == "getsockname" and arguments[1].raw[:2] == bytes((1, 0)):
        arguments[1][:2] = bytes((7, 7))
    return done
libc.call = elsewhere
""",
    "no process can be seen": """
from probes import command
from probes.lens import processes as it
it.proc_is_ours = lambda: False
run = command.run
def without_ps(words, **how):
    if words[0] == "ps":
        raise FileNotFoundError(2, "No such file or directory", words[0])
    return run(words, **how)
command.run = without_ps
""",
    "ps tells a state that no process is in": """
from probes.lens import processes as it
it.proc_is_ours = lambda: False
it._state_by_ps = lambda pid: "R"
""",
}

BREAK = """
import sys
{break_it}
from probes.__main__ import main
sys.argv = ["probes", "report", "--json"]
raise SystemExit(main())
"""


def broken_lens(break_it: str) -> Report:
    done = subprocess.run(
        [sys.executable, "-c", BREAK.format(break_it=break_it)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    assert done.returncode in (0, 3, 4), done.stderr
    return Report.loads(done.stdout)


@needs_linux
@pytest.mark.parametrize("name", BROKEN_LENSES)
def test_a_broken_lens_blocks_and_never_measures(name: str, here: Report) -> None:
    report = broken_lens(BROKEN_LENSES[name])
    wrong = {
        fact.id: (here[fact.id].answer, fact.answer, fact.reason)
        for fact in report
        if fact.status != BLOCKED and fact.answer != here[fact.id].answer
        and fact.scope != "informative"
    }  # fmt: skip
    assert wrong == {}
    blocked = [f for f in report if f.status == BLOCKED and here[f.id].status != BLOCKED]
    assert blocked
    assert not any(fact.status in FAULTS for fact in report)
    # One complaint, not one for each fact.
    assert len({fact.reason for fact in blocked}) <= 2
    assert any(text.startswith("unproven: ") for text in report.environment.lens.values())


@needs_linux
def test_what_is_found_is_what_the_headers_declare(here: Report) -> None:
    told = here.environment.lens
    assert told["sigset_t"] == f"{here['abi.sigset_t_bytes'].value} bytes"
    assert told["time_t"] == f"{here['abi.time_t_bits'].value} bits"
    assert f"flags at {here['abi.sa_flags_offset'].value}," in told["sigaction"]
    assert not any(text.startswith("unproven") for text in told.values())


# Another /proc ------------------------------------------------------------------------------


@needs_linux
@needs_root
@pytest.mark.parametrize(
    "world",
    [
        ["unshare", "-pf"],
        ["unshare", "-pf", "sh", "-c", 'sleep 0; exec "$@"', "sh"],
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
    ],
    ids=["of the processes outside", "of the processes outside, not as process 1", "empty"],
)
def test_a_foreign_proc_gives_no_false_answer(world: list[str], here: Report) -> None:
    report = measure(before=world)
    changed = flipped(here, report)
    allowed = {id: pair for id, pair in changed.items() if pair[1] == "blocked"}
    assert changed == allowed
    if any(allowed):
        assert "/proc" in report.environment.lens["processes"]


# FreeBSD's struct kinfo_proc ------------------------------------------------------------------


def kinfo(stat: int, flags: int, size: int = 1088) -> bytes:
    raw = bytearray(os.urandom(size))
    # What lies around must not be taken for it: no byte is a state by chance.
    for at, byte in enumerate(raw):
        raw[at] = byte | 0x80
    raw[388] = stat
    raw[-ctypes.sizeof(ctypes.c_long) :] = flags.to_bytes(
        ctypes.sizeof(ctypes.c_long), sys.byteorder
    )
    return bytes(raw)


def test_the_fields_of_kinfo_proc_are_found_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = kinfo(3, 0x10 | 0x8)
    samples = [(kinfo(2, 0x10), 2), (asleep, 3), (kinfo(4, 0x18), 4), (kinfo(5, 0), 5)]
    stat, flags = processes._fields_of_kinfo(samples, asleep)
    assert (stat, flags) == (388, 1088 - ctypes.sizeof(ctypes.c_long))
    state = processes._from_kinfo(stat, flags)
    seen = {
        1: kinfo(3, 0x8),
        2: kinfo(3, 0x10),
        3: kinfo(4, 0),
        4: kinfo(5, 0),
        5: kinfo(2, 0x8),
        6: b"",
    }
    monkeypatch.setattr(processes, "_kinfo", lambda pid: seen[pid])
    assert [state(pid) for pid in seen] == ["S", "D", "T", "Z", "R", ""]


@pytest.mark.parametrize(
    "samples",
    [
        # No byte tells them apart.
        [(kinfo(2, 0), 2), (kinfo(2, 8), 3), (kinfo(2, 0), 4), (kinfo(2, 0), 5)],
        # The last long does not tell an interruptible sleep.
        [(kinfo(2, 0), 2), (kinfo(3, 0), 3), (kinfo(4, 0), 4), (kinfo(5, 0), 5)],
        [(kinfo(2, 8), 2), (kinfo(3, 8), 3), (kinfo(4, 0), 4), (kinfo(5, 0), 5)],
        # Another structure each time.
        [(kinfo(2, 0, 1088), 2), (kinfo(3, 8), 3), (kinfo(4, 0, 1024), 4), (kinfo(5, 0), 5)],
    ],
)
def test_a_kinfo_proc_that_does_not_tell_is_unproven(samples: list[tuple[bytes, int]]) -> None:
    with pytest.raises(lens.Unproven):
        processes._fields_of_kinfo(samples, samples[1][0])


# Its parts -------------------------------------------------------------------------------------


def test_unknown_bits_are_shown_as_a_number() -> None:
    restart, nodefer = lens.flag("SA_RESTART"), lens.flag("SA_NODEFER")
    assert lens.flag_names(0) == "none"
    assert lens.flag_names(restart | nodefer) == "SA_NODEFER|SA_RESTART"
    unknown = 1 << 20
    expected = f"{unknown:#x}|SA_RESTART"
    if lens.layout_of_sigaction().keeps_unknown:  # Linux before 5.11.
        expected = "SA_RESTART"
    assert lens.flag_names(restart | unknown) == expected


def test_a_reason_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find() -> None:
        asked.append(1)
        raise lens.Unproven("it is not there")

    see: Callable[[], object] = lens.proof.look("a thing")(find)
    for _ in range(2):
        with pytest.raises(Blocked, match="a thing cannot be trusted here: it is not there"):
            see()
    assert asked == [1]
