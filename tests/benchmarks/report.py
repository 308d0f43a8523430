"""How fast is the lab?  Prints figures; asserts nothing.

    python3 tests/benchmarks/report.py [--runs N]

The whole report, `list` and `--help` as a user runs them; each probe's own
milliseconds; and twenty of the lab's questions beside the same twenty asked as a
configure script asks them, by compiling and running one C program each, in the
same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from probes import Report, compiler  # noqa: E402

# A question of the lab, and the body of the C program that asks the same.
ASKED_IN_C = {
    "abi.long_bits": 'printf("%d", (int)(8 * sizeof(long)));',
    "abi.pointer_bits": 'printf("%d", (int)(8 * sizeof(void *)));',
    "abi.time_t_bits": 'printf("%d", (int)(8 * sizeof(time_t)));',
    "abi.off_t_bits": 'printf("%d", (int)(8 * sizeof(off_t)));',
    "abi.char_signed": 'printf("%d", (char)-1 < 0);',
    "abi.byte_order": 'int one = 1; printf("%d", *(char *)&one);',
    "abi.sigaction_fills_bytes": 'printf("%d", (int)sizeof(struct sigaction));',
    "abi.sigset_t_bytes": 'printf("%d", (int)sizeof(sigset_t));',
    "abi.page_size": 'printf("%ld", sysconf(_SC_PAGESIZE));',
    "abi.time_after_2038": 'time_t t = (time_t)2147483648LL; printf("%d", gmtime(&t)->tm_year);',
    "signals.libc_signal_flags": "struct sigaction a; signal(SIGUSR1, handler);"
    ' sigaction(SIGUSR1, 0, &a); printf("%x", a.sa_flags);',
    "signals.pending_coalesce": "sigset_t s; int i; sigemptyset(&s); sigaddset(&s, SIGUSR1);"
    " signal(SIGUSR1, handler); sigprocmask(SIG_BLOCK, &s, 0);"
    " for (i = 0; i < 5; i++) raise(SIGUSR1);"
    ' sigprocmask(SIG_UNBLOCK, &s, 0); printf("%d", count);',
    "sockets.v6only_default": "int v = -1; socklen_t l = sizeof v;"
    " int s = socket(AF_INET6, SOCK_STREAM, 0);"
    ' getsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &v, &l); printf("%d", v);',
    "sockets.somaxconn_macro": 'printf("%d", SOMAXCONN);',
    "files.pipe_buf": 'int p[2]; if (!pipe(p)) printf("%ld", fpathconf(p[0], _PC_PIPE_BUF));',
    "files.offset_shared_by_dup": 'int f = open("x", O_RDWR | O_CREAT, 0600), g = dup(f);'
    ' lseek(f, 5, SEEK_SET); printf("%d", (int)lseek(g, 0, SEEK_CUR));',
    "locks.flock_second_open_conflicts": 'int f = open("x", O_RDWR | O_CREAT, 0600);'
    ' int g = open("x", O_RDWR); flock(f, LOCK_EX);'
    ' printf("%d", flock(g, LOCK_EX | LOCK_NB));',
    "locks.flock_needs_write_access": 'close(open("x", O_RDWR | O_CREAT, 0600));'
    ' printf("%d", flock(open("x", O_RDONLY), LOCK_EX | LOCK_NB));',
    "groups.setsid_of_group_leader": 'setpgid(0, 0); printf("%d", (int)setsid());',
    "groups.signal_0_gone": "pid_t p = fork(); if (!p) _exit(0); waitpid(p, 0, 0);"
    ' printf("%d", kill(p, 0));',
}

PROGRAM = """\
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int count;
static void handler(int signum) { (void)signum; count++; }
int main(void) { signal(SIGUSR2, handler); { %s } return 0; }
"""


def seconds(command: list[str], runs: int) -> list[float]:
    """Wall seconds of each run of ``command``, after one that does not count."""
    # As users have it: Python keeps what it compiled the first time.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(runs + 1):
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
        found.append(time.monotonic() - started)
    return found[1:]


def format_interval(what: str, times: list[float]) -> float:
    """Print the median and the range; the median."""
    median = statistics.median(times)
    print(f"{what:42} {median:7.3f} s   ({min(times):.3f} to {max(times):.3f}, {len(times)} runs)")
    return median


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="how fast is the lab?")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    lab = [sys.executable, "-m", "probes"]

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/report.json"
        subprocess.run([*lab, "report", "--json", "-o", path], cwd=ROOT, check=True)
        report = Report.load(path)
    print(report.environment)
    format_interval(f"report, all {len(report)} facts", seconds([*lab, "report"], runs))
    format_interval("list", seconds([*lab, "list"], runs))
    format_interval("--help", seconds([*lab, "--help"], runs))

    ids = [id for id in ASKED_IN_C if id in report]
    missing = sorted(set(ASKED_IN_C) - set(ids))
    if missing:
        print(f"not in this catalogue: {', '.join(missing)}")
    asking = [*lab, "report", *(f"--only={id}" for id in ids)]
    ours, theirs = [], []
    # In turn, so that whatever else the machine does meets both.
    for _ in range(runs):
        ours += seconds(asking, 1)
        if compiler.find_command():
            theirs.append(by_compiling(ids))
    ours_median = format_interval(f"the lab: {len(ids)} questions", ours)
    if theirs:
        theirs_median = format_interval(f"a C program each: {len(ids)} questions", theirs)
        print(f"{'ratio':42} {theirs_median / ours_median:7.1f} times faster")
    else:
        print("a C program each: there is no C compiler here")

    print("\nmilliseconds a probe, slowest first (several run at once)")
    for fact in sorted(report, key=lambda fact: -fact.milliseconds):
        print(f"{fact.milliseconds:9.1f}  {fact.id}")


def by_compiling(ids: list[str]) -> float:
    """Wall seconds to compile and run one C program a question, one after the other."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for id in ids:
            source = Path(folder, "asked.c")
            source.write_text(PROGRAM.replace("{ %s }", "{ " + ASKED_IN_C[id] + " }"))
            # The flags are those of a configure script that is given none (autoconf, AC_PROG_CC).
            build = [*compiler.find_command(), "-g", "-O2", "-o", "asked", "asked.c"]
            subprocess.run(build, cwd=folder, check=True)
            subprocess.run(["./asked"], cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
