"""The lens proves what the lab looks through; broken on purpose, it blocks facts.

The whole lab is run in each of these worlds; tests/lens has the tests of its parts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probes import Report
from probes.fact import BLOCKED, FAULTS
from tests.worlds import ROOT, flipped, measure, needs_linux, needs_root, shim

# A C library for programs built with another struct sigaction: functions that are looked up by
# name, as by the lab, take the form that glibc has on s390x (or MIPS); Python's own calls
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


# As glibc does if its stack frames fall so: it returns what the previous call left on the stack.
ECHO = r"""
#include <signal.h>
int sigaction(int signum, const struct sigaction *new, struct sigaction *old) {
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    static int last;
    if (!real) real = dlsym(RTLD_NEXT, "sigaction");
    int done = real(signum, new, old);
    if (old) ((int *)&old->sa_mask)[9] = ((int *)&old->sa_mask)[12] = last;
    if (new) last = new->sa_flags;
    return done;
}
"""


@needs_linux
def test_a_copy_of_the_flags_is_not_taken_for_them(here: Report, tmp_path: Path) -> None:
    report = measure(environment=shim(tmp_path, ECHO))
    assert flipped(here, report) == {}
    assert report.environment.lens == here.environment.lens


# Each breaks one thing that the lens has found, before the lens proves it.
BROKEN_LENSES = {
    "sa_flags is looked for 4 bytes too far": """
from probes.lens import signals as it
real = it._find_flags
it._find_flags = lambda handler: (real(handler)[0] + 4, real(handler)[1])
""",
    "sa_flags is looked for 4 bytes too early": """
from probes.lens import signals as it
real = it._find_flags
it._find_flags = lambda handler: (real(handler)[0] - 4, real(handler)[1])
""",
    "sa_handler is looked for 8 bytes too far": """
from probes.lens import signals as it
real = it._find_handler
it._find_handler = lambda: real() + 8
""",
    "SA_RESTART is another bit": """
from probes.lens import signals as it
real = it._find_flags
it._find_flags = lambda handler: (real(handler)[0], {**real(handler)[1], "SA_RESTART": 1 << 29})
""",
    "SA_RESTART and SA_NODEFER are mistaken for each other": """
from probes.lens import signals as it
real = it._find_flags
def swapped(handler):
    at, bits = real(handler)
    return at, {"SA_RESTART": bits["SA_NODEFER"], "SA_NODEFER": bits["SA_RESTART"]}
it._find_flags = swapped
""",
    "faulthandler shows another bit than siginterrupt()": """
from probes.lens import signals as it
real = it._find_flags_by_faulthandler
def other(handler):
    at, bits = real(handler)
    return at, {**bits, "SA_RESTART": 1 << 29}
it._find_flags_by_faulthandler = other
""",
    "siginterrupt() changes another place": """
from probes.lens import signals as it
real = it._find_flags_by_siginterrupt
it._find_flags_by_siginterrupt = lambda handler: (real(handler)[0] - 4, real(handler)[1])
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
from probes import run_program
from probes.lens import processes as it
it.is_proc_ours = lambda: False
run = run_program.run
def without_ps(words, **how):
    if words[0] == "ps":
        raise FileNotFoundError(2, "No such file or directory", words[0])
    return run(words, **how)
run_program.run = without_ps
""",
    "ps shows a state that no process has": """
from probes.lens import processes as it
it.is_proc_ours = lambda: False
it._read_state_by_ps = lambda pid: "R"
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
    # One reason for all facts, not one for each.
    assert len({fact.reason for fact in blocked}) <= 2
    assert any(text.startswith("unproven: ") for text in report.environment.lens.values())


@needs_linux
def test_what_is_found_is_what_the_headers_declare(here: Report) -> None:
    told = here.environment.lens
    assert told["sigset_t"] == f"{here['abi.sigset_t_bytes'].value} bytes"
    assert told["time_t"] == f"{here['abi.time_t_bits'].value} bits"
    assert f"flags at {here['abi.sa_flags_offset'].value}," in told["sigaction"]
    assert not any(text.startswith("unproven") for text in told.values())


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
