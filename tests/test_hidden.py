"""Hide what other systems lack, so that their code runs too: no answer is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import pytest

from probes import Report
from probes.fact import BLOCKED, FAULTS
from tests.catalogue import test_pollers, test_terminals
from tests.catalogue.test_signals import SHIMS
from tests.test_runner import Lab
from tests.worlds import ROOT, flipped, measure, needs_linux, needs_root, run_lab, shim


@dataclass(frozen=True)
class _Without:
    """What a world lacks, and the facts whose answers differ then."""

    python: Sequence[str] = ()
    """Names in Python's modules, which a platform that lacks the thing does not define."""
    symbols: Sequence[str] = ()
    """Functions that the C library does not have if they are looked up by name."""
    refused: Sequence[str] = ()
    """Functions that fail with ENOSYS, also when Python's modules call them."""
    source: str = ""
    """More C source for the library that is preloaded."""
    changed: Mapping[str, str] = field(default_factory=dict)


def _answer(answer: str, *facts: str) -> dict[str, str]:
    return dict.fromkeys(facts, answer)


def _lacking(*facts: str) -> dict[str, str]:
    return _answer("unsupported", *facts)


_HIDING = """
#include <errno.h>
#include <string.h>
static const char *const hidden[] = {NAMES 0};
void *dlsym(void *library, const char *name) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5", "GLIBC_2.0"};
    static void *(*real)(void *, const char *);
    for (int i = 0; !real && i < 4; i++) real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    for (int i = 0; hidden[i]; i++)
        if (!strcmp(name, hidden[i])) name = "a name that no library has";
    return real(library, name);
}
"""

_SITE = """
import importlib
for name in {names!r}:
    module, _, attribute = name.partition(".")
    delattr(importlib.import_module(module), attribute)
"""

_NO_OFD_LOCKS = """
#include <stdarg.h>
int fcntl64(int fd, int command, ...) {
    static int (*real)(int, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "fcntl64");
    if (command >= 36 && command <= 38) { errno = EINVAL; return -1; }
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return real(fd, command, argument);
}
"""

_GETPEEREID = """
#include <sys/socket.h>
int getpeereid(int fd, uid_t *uid, gid_t *gid) {
    struct ucred told;
    socklen_t size = sizeof told;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &told, &size)) return -1;
    *uid = told.uid, *gid = told.gid;
    return 0;
}
"""

_FENCED = (
    "accepting.accept_after_reset",
    "accepting.read_after_accepted_reset",
    "accepting.write_after_peer_closed_second",
    "pollers.poll_half_closed_tcp",
    "pollers.poll_refused_tcp",
    "pollers.poll_reset_tcp",
    "pollers.poll_shut_down_tcp",
    "pollers.poller_half_closed_tcp",
    "pollers.poller_reset_tcp",
    "pollers.rdhup",
    "pollers.select_listener_of_reset",
    "pollers.select_refused_tcp",
    "restarts.connect",
    "restarts.connect_flags_0",
    "restarts.send_tcp",
    "restarts.send_tcp_flags_0",
    "restarts.write_tcp",
    "restarts.write_tcp_flags_0",
    "sockets.backlog_completes",
    "sockets.backlog_overflow",
    "sockets.first_that_binds_serves",
    "sockets.v4mapped_address",
    "sockets.v4mapped_default",
    "sockets.v4mapped_dual",
)
"""Facts that need packets to be processed in the order in which they were sent."""

_WITHOUT: dict[str, _Without] = {
    "waitid": _Without(python=["os.waitid"], refused=["waitid"]),
    "posix_spawn": _Without(
        python=["os.posix_spawn", "os.posix_spawnp"],
        symbols=["posix_spawnattr_init", "posix_spawnattr_getsigmask"],
        changed=_lacking("abi.sigset_t_bytes"),
    ),
    "pidfd_open": _Without(python=["os.pidfd_open", "signal.pidfd_send_signal"]),
    "prctl": _Without(
        symbols=["prctl"],
        refused=["prctl"],
        changed=_lacking(
            "credentials.dumpable_after_setuid",
            "credentials.dumpable_restored",
            "credentials.keepcaps_keeps",
            "credentials.no_new_privs_stops_set_user_id",
            "credentials.user_namespace_chroot",
            "credentials.user_namespace_setgroups",
            "credentials.user_namespace_setuid",
            "processes.no_new_privs",
            "processes.parent_death_signal",
            "processes.parent_death_signal_survives_fork",
            "processes.parent_death_signal_survives_setuid",
            "processes.reaper",
        ),
    ),
    "accept4": _Without(
        symbols=["accept4"],
        refused=["accept4"],
        changed=_lacking(
            "accepting.accept4_inherits_cloexec",
            "accepting.accept4_inherits_nonblock",
            "files.has_accept4",
        ),
    ),
    "pipe2": _Without(
        python=["os.pipe2"],
        symbols=["pipe2"],
        refused=["pipe2"],
        changed=_lacking("files.has_pipe2"),
    ),
    "dup3": _Without(symbols=["dup3"], refused=["dup3"], changed=_lacking("files.has_dup3")),
    "sendfile": _Without(
        python=["os.sendfile"],
        symbols=["sendfile", "sendfile64"],
        changed={
            **_lacking(
                "files.sendfile_at_end",
                "files.sendfile_keeps_offset",
                "files.sendfile_order",
                "files.sendfile_to_file",
                "files.sendfile_to_socket",
            ),
            "files.python_has_sendfile": "no",
        },
    ),
    "F_OFD_SETLK": _Without(
        python=["fcntl.F_OFD_SETLK", "fcntl.F_OFD_SETLKW", "fcntl.F_OFD_GETLK"],
        source=_NO_OFD_LOCKS,
        changed={
            **_lacking(
                "locks.ofd_dropped_by_other_close",
                "locks.ofd_second_open_conflicts",
                "locks.ofd_shared_by_fork",
            ),
            "locks.ofd_exists": "no",
        },
    ),
    "epoll": _Without(
        python=["select.epoll"],
        symbols=["epoll_wait"],
        changed={
            **_lacking("restarts.poller", "restarts.poller_flags_0", "restarts.poller_stopped"),
            **_lacking(*(f"pollers.{name}" for name in test_pollers.OF_POLLERS)),
            "pollers.interface": "none",
        },
    ),
    "select.poll": _Without(python=["select.poll"]),
    "POLLIN": _Without(
        python=["select.poll", *(f"select.POLL{name}" for name in ("IN", "OUT", "ERR", "HUP"))],
        changed=_answer(
            "blocked",
            "accepting.peer_close_seen_by_poll",
            "accepting.write_after_peer_closed_second",
            "files.poll_dev_null",
            "files.poll_pipe_writer_closed",
            *(f"pollers.{name}" for name in test_pollers.OF_POLL),
            *(f"terminals.{name}" for name in test_terminals.OF_POLL),
            "restarts.poll",
            "restarts.poll_flags_0",
        ),
    ),
    "signalfd": _Without(
        symbols=["signalfd"], refused=["signalfd"], changed=_lacking("signals.signal_descriptor")
    ),
    "sigtimedwait": _Without(
        python=["signal.sigtimedwait"],
        symbols=["sigtimedwait"],
        changed={
            **_lacking("signals.sigtimedwait_takes_pending"),
            **_answer("no", "signals.has_sigtimedwait", "signals.python_has_sigtimedwait"),
        },
    ),
    "sigwaitinfo": _Without(
        python=["signal.sigwaitinfo"],
        symbols=["sigwaitinfo"],
        changed={
            **_lacking(
                "restarts.sigwaitinfo", "restarts.sigwaitinfo_flags_0", "signals.realtime_fifo"
            ),
            "signals.has_sigwaitinfo": "no",
        },
    ),
    "sigqueue": _Without(
        symbols=["sigqueue"],
        changed={
            **_lacking("signals.realtime_fifo", "signals.realtime_queued"),
            "signals.has_sigqueue": "no",
        },
    ),
    "SIGRTMIN": _Without(
        python=["signal.SIGRTMIN", "signal.SIGRTMAX"],
        changed=_lacking(
            "signals.realtime_fifo",
            "signals.realtime_order",
            "signals.realtime_queued",
            "signals.sigrtmax",
            "signals.sigrtmin",
        ),
    ),
    "closefrom": _Without(symbols=["closefrom"], changed=_lacking("processes.closefrom")),
    "close_range": _Without(symbols=["close_range"], changed=_lacking("processes.close_range")),
    "close_range in the kernel": _Without(
        refused=["close_range"], changed=_lacking("processes.close_range")
    ),
    "os.sched_setaffinity": _Without(python=["os.sched_setaffinity", "os.sched_getaffinity"]),
    "sched_setaffinity": _Without(
        symbols=["sched_setaffinity", "sched_getaffinity"], changed=_answer("blocked", *_FENCED)
    ),
    "clock_gettime_ns": _Without(python=["time.clock_gettime_ns"]),
    "signal.siginterrupt": _Without(python=["signal.siginterrupt"]),
    "siginterrupt": _Without(
        python=["signal.siginterrupt"],
        symbols=["siginterrupt"],
        changed=_lacking(
            "signals.siginterrupt_flags",
            "signals.siginterrupt_interrupts",
            "signals.siginterrupt_outlives_signal",
        ),
    ),
    "faulthandler.register": _Without(python=["faulthandler.register", "faulthandler.unregister"]),
    "faulthandler.register and signal.siginterrupt": _Without(
        python=["faulthandler.register", "signal.siginterrupt"]
    ),
    "memfd_create": _Without(python=["os.memfd_create"]),
    "openpty": _Without(
        python=["os.openpty"],
        changed=_answer(
            "blocked",
            "groups.double_fork_regains_terminal",
            "groups.session_leader_gains_terminal",
            "restarts.read_terminal",
            "restarts.read_terminal_flags_0",
            "restarts.write_terminal",
            "restarts.write_terminal_flags_0",
            "pollers.poll_terminal",
            "pollers.poller_terminal",
            "pollers.select_terminal",
            *test_terminals.OF_OPENPTY,
        ),
    ),
    "SO_REUSEPORT": _Without(
        python=["socket.SO_REUSEPORT"],
        changed={
            **_lacking(
                "sockets.reuseport_balances",
                "sockets.reuseport_last_binder_wins",
                "sockets.reuseport_unix",
            ),
            "sockets.reuseport_exists": "no",
        },
    ),
    "MSG_NOSIGNAL": _Without(
        python=["socket.MSG_NOSIGNAL"], changed=_lacking("accepting.msg_nosignal")
    ),
    "SO_PEERCRED": _Without(
        python=["socket.SO_PEERCRED"],
        changed=_lacking(
            "processes.peer_credentials",
            "unix.client_credentials_of",
            "unix.peer_pid",
            "unix.server_credentials_of",
        ),
    ),
    "SOCK_CLOEXEC": _Without(
        python=["socket.SOCK_CLOEXEC", "socket.SOCK_NONBLOCK"],
        changed=_lacking("files.has_accept4"),
    ),
    "pread": _Without(python=["os.pread", "os.pwrite", "os.preadv", "os.pwritev"]),
    "setresuid": _Without(
        python=["os.setresuid", "os.getresuid"],
        symbols=["setresuid"],
        changed=_lacking("processes.setresuid_drops_for_good"),
    ),
    "F_DUPFD_CLOEXEC": _Without(
        python=["fcntl.F_DUPFD_CLOEXEC"], changed=_lacking("files.has_f_dupfd_cloexec")
    ),
    "sem_init": _Without(symbols=["sem_init"]),
    "daemon": _Without(symbols=["daemon"], changed=_lacking("groups.daemon3_is_session_leader")),
    "msgget": _Without(
        symbols=["msgget", "msgrcv", "msgctl"],
        changed=_lacking("restarts.msgrcv", "restarts.msgrcv_flags_0"),
    ),
    # As on the BSDs: with a getpeereid() the lab does not use SO_PEERCRED.
    "getpeereid's lack": _Without(
        source=_GETPEEREID, changed={"processes.peer_credentials": "getpeereid"}
    ),
}


def _environment(folder: Path, worlds: Sequence[_Without]) -> dict[str, str]:
    python = sorted({name for world in worlds for name in world.python})
    symbols = sorted({name for world in worlds for name in world.symbols})
    refused = sorted({name for world in worlds for name in world.refused})
    (folder / "sitecustomize.py").write_text(_SITE.format(names=python))
    hidden = _HIDING.replace("NAMES", "".join(f'"{name}", ' for name in symbols))
    calls = "".join(
        # Under another name in C, because headers may have declared it.
        f'int no_{name}(void) __asm__("{name}");\n'
        f"int no_{name}(void) {{ errno = ENOSYS; return -1; }}\n"
        for name in refused
    )
    source = hidden + calls + "".join(world.source for world in worlds)
    return {"PYTHONPATH": str(folder), **shim(folder, source)}


def _assert_honest(report: Report) -> None:
    assert [fact for fact in report if fact.status in FAULTS] == []
    assert [fact for fact in report if not fact.measured and not fact.reason] == []


@needs_linux
@pytest.mark.world
@pytest.mark.parametrize("name", _WITHOUT)
def test_without_one_thing_only_what_asks_for_it_answers_otherwise(
    name: str, here: Report, tmp_path: Path
) -> None:
    if name == "sched_setaffinity" and os.cpu_count() == 1:
        pytest.skip("needs two processors: with one, packets have one queue")
    world = _WITHOUT[name]
    done = run_lab("report", "--json", environment=_environment(tmp_path, [world]))
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    _assert_honest(report)
    assert {id: new for id, (_, new) in flipped(here, report).items()} == world.changed


def _without_proc(folder: Path, namespaces: str = "--mount") -> tuple[list[str], dict[str, str]]:
    """Return a command that hides /proc, and an environment in which ps(1) is as on the BSDs.

    That ps has its knowledge from the true /proc, which lies where the lab does not look.
    """
    programs, processes = folder / "programs", folder / "processes"
    processes.mkdir()
    programs.mkdir()
    (programs / "ps").symlink_to(Path(__file__).with_name("bsd_ps.sh"))
    hide = f'mount --bind /proc {processes}\nmount -t tmpfs none /proc\nexec "$@"'
    before = ["unshare", *namespaces.split(), "--propagation", "private", "sh", "-ec", hide, "sh"]
    return before, {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PS_PROC": str(processes),
        "PS_RUNS": str(folder / "runs"),
    }


def _without_ps(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the same with a PATH that has every program except ps."""
    before, environment = _without_proc(folder)
    programs = folder / "programs"
    (programs / "ps").unlink()
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*"):
            if program.name != "ps" and not os.path.lexists(programs / program.name):
                (programs / program.name).symlink_to(program)
    return before, {**environment, "PATH": str(programs)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        # By POSIX this is one column with the heading ",ppid=".
        (["-o", "pid=,ppid=", "-p", "{pid}"], [["pid"], ["{pid}"]]),
        (["-o", "pid=", "-o", "ppid=", "-p", "{pid}"], [["{pid}", "{ppid}"]]),
        (["-o", "pid=", "-p", "{pid},{ppid}"], [["{pid}"], ["{ppid}"]]),
        (["-o", "args=", "-p", "{pid}"], None),
        (["-e", "-o", "pid="], None),
        (["-o", "pid=", "-p", "2147483647"], None),
    ],
)
@needs_linux
def test_the_ps_of_these_tests_is_strict(
    options: list[str], told: Optional[list[list[str]]], tmp_path: Path
) -> None:
    ids = {"pid": str(os.getpid()), "ppid": str(os.getppid())}
    done = subprocess.run(
        [Path(__file__).with_name("bsd_ps.sh"), *(option.format(**ids) for option in options)],
        env={**os.environ, "PS_PROC": "/proc", "PS_RUNS": str(tmp_path / "runs")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (1 if told is None else 0)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [[word.format(**ids) for word in line] for line in told or []]


@needs_linux
@needs_root
def test_with_the_ps_of_a_bsd_all_is_measured_as_with_proc(here: Report, tmp_path: Path) -> None:
    before, environment = _without_proc(tmp_path)
    done = run_lab("report", "--json", before=before, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    assert report.environment.lens["processes"] == "ps"
    changed = {id: new for id, (_, new) in flipped(here, report).items()}
    assert changed == _answer("blocked", *_OF_PROC)


_OF_PROC = (
    "credentials.dev_fd_after_setuid",
    "credentials.user_namespace_chroot",
    "credentials.user_namespace_setgroups",
    "credentials.user_namespace_setuid",
)
"""Facts that are about files of /proc, or need to write to them."""
_NEEDED = ("POLLIN", "openpty", "siginterrupt")
"""Names that macOS has, and that most facts need."""


@needs_linux
@needs_root
def test_as_on_macos_nothing_is_answered_wrongly(here: Report, tmp_path: Path) -> None:
    worlds = [world for name, world in _WITHOUT.items() if name not in _NEEDED]
    before, environment = _without_proc(tmp_path)
    environment.update(_environment(tmp_path, worlds))
    done = run_lab("report", "--json", before=before, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    _assert_honest(report)
    allowed = {(id, answer) for world in worlds for id, answer in world.changed.items()}
    allowed |= {(id, "blocked") for id in _OF_PROC}
    changed = {(id, new) for id, (_, new) in flipped(here, report).items()}
    assert changed <= allowed
    assert {"signals.sigchld_coalesces", "restarts.read_pipe"} & dict(changed).keys() == set()


def _needs_state(id: str) -> bool:
    """Return whether a fact needs to see a process asleep or stopped."""
    return id.startswith(("restarts.", "pollers.closed_during", "pollers.woken_by")) or id in (
        "groups.orphan_stopped_gets",
        "locks.fcntl_detects_deadlock",
        "locks.flock_blocks",
        "signals.bsd_signal_restarts",
        "signals.libc_signal_restarts",
        "signals.python_signal_restarts",
        "signals.sigaction_flags_0_restarts",
        "signals.sigchld_on_continue",
        "signals.sigchld_on_stop",
        "signals.siginterrupt_interrupts",
        "signals.siginterrupt_outlives_signal",
        "signals.sysv_signal_restarts",
        "terminals.tcgetattr_hangs",
        "unix.backlog_full_blocking",
        "unix.connect_waits_for_accept",
        "unix.datagrams_full_blocking",
    )


def _assert_blind(here: Report, report: Report, reason: str) -> None:
    """Assert that facts that need to see a process are blocked for one reason, others measured."""
    _assert_honest(report)
    changed = flipped(here, report).keys() - set(_OF_PROC)
    assert changed == {id for fact in here if fact.measured and _needs_state(id := fact.id)}
    assert {(report[id].status, report[id].reason) for id in changed} == {(BLOCKED, reason)}


@needs_linux
@needs_root
def test_without_any_ps_what_needs_to_see_a_process_is_blocked(
    here: Report, tmp_path: Path
) -> None:
    before, environment = _without_ps(tmp_path)
    done = run_lab("report", "--json", before=before, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    _assert_blind(
        here,
        Report.loads(done.stdout),
        "the lab cannot see whether a process sleeps: there is no /proc, and ps cannot be run "
        "(No such file or directory): mount /proc",
    )


@needs_linux
@needs_root
def test_a_ps_of_other_processes_is_not_believed(here: Report, tmp_path: Path) -> None:
    # It shows the processes outside, whose ids are used again inside.
    before, environment = _without_proc(tmp_path, "--pid --fork --mount")
    done = run_lab("report", "--json", before=before, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    _assert_blind(
        here,
        Report.loads(done.stdout),
        "the lab cannot see whether a process sleeps: there is no /proc, and ps cannot be used "
        "(it does not see a child of the lab): mount /proc",
    )


@needs_linux
@needs_root
@pytest.mark.world  # Another Python may lie in a folder that this user may not enter.
def test_an_ordinary_user_without_proc_is_told_what_is_missing(tmp_path: Path) -> None:
    before, environment = _without_proc(tmp_path)
    user = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"]
    only = ["--only=files.full_disk*", "--only=groups.kill_all_reaches_self"]
    tmp_path.chmod(0o777)
    environment["TMPDIR"] = "/tmp"
    report = measure(*only, before=[*before, *user], environment=environment)
    assert {(fact.status, fact.reason) for fact in report} == {
        (BLOCKED, "a user namespace needs /proc to map its user, and it is not here: mount /proc")
    }


_LYING_PS = """#!/bin/sh
# A ps(1) that shows the caller but not its children, and one state for all.
case $* in
*-ax*) echo "$PPID 1" ;;
*) echo S ;;
esac
"""


@needs_linux
@needs_root
@pytest.mark.parametrize("ps", [None, _LYING_PS], ids=["no ps", "a ps of other processes"])
def test_orphans_are_ended_where_nothing_lists_processes(ps: Optional[str], tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    before, environment = _without_ps(tmp_path)
    if ps:
        (tmp_path / "programs" / "ps").write_text(ps)
        (tmp_path / "programs" / "ps").chmod(0o755)
    only = ["--only=hostile.*leaves*", "--deadline=2"]
    done = run_lab(
        "report", "--json", *only,
        before=before, environment={**environment, **lab.environment}, folder=lab.folder,
    )  # fmt: skip
    report = Report.loads(done.stdout)
    assert {fact.answer for fact in report} == {"yes", "broken", "timed out"}
    assert len(lab.processes()) == 7
    lab.assert_nothing_left()


_SYSCTL = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* sys/sys/user.h and sys/sys/proc.h of FreeBSD, as on amd64. */
enum { SRUN = 2, SSLEEP, SSTOP, SZOMB, SWAIT, TDF_SINTR = 8 };
int sysctl(const int *name, unsigned count, void *old, size_t *size, const void *new, size_t n) {
    static int calls;
    unsigned char made[1088] = {0};
    char path[64], line[512] = "";
    int stat = SWAIT, bytes = sizeof made;
    long flags = 0x10;
    calls++;
    if (count != 4 || name[0] != 1 || name[1] != 14 || name[2] != 1 || new || n) {
        errno = EINVAL;
        return -1;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", name[3]);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        if (file) fclose(file);
        errno = ESRCH;
        return -1;
    }
    fclose(file);
    switch (strrchr(line, ')')[2]) {
    case 'R': stat = SRUN; break;
    case 'S': stat = SSLEEP; flags |= TDF_SINTR; break;
    case 'D': stat = SSLEEP; break;
    case 'T': stat = SSTOP; break;
    case 'Z': stat = SZOMB; break;
    }
    memcpy(made, &bytes, 4);
    memcpy(made + 72, &name[3], 4);
    made[388] = stat;
    memcpy(made + sizeof made - sizeof flags, &flags, sizeof flags);
    WRONG
    memcpy(old, made, bytes);
    *size = bytes;
    return 0;
}
"""

_ON_FREEBSD = """
import sys
from probes import libc
from probes.lens import processes

class FreeBSD:
    LINUX, FREEBSD = False, True
    def __getattr__(self, name):
        return getattr(libc, name)

processes.libc = FreeBSD()
"""

_REPORT = """
from probes.__main__ import main
sys.argv[0] = "probes"
raise SystemExit(main())
"""

_STATES = """
import os, signal
found = processes.watch()
print(found)

def begin(what):
    pid = os.fork()
    while not pid:
        what()
    return pid

def see(pid, wanted):
    while (seen := found(pid)) != wanted:
        assert seen in "RSDT", seen
    print(wanted or "gone")

asleep, busy = begin(signal.pause), begin(lambda: None)
see(asleep, "S")
assert {found(busy) for _ in range(1000)} <= {"R", "D"}  # D waits for memory or the disk.
see(busy, "R")
for pid in asleep, busy:
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    see(pid, "T")
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    see(pid, "Z")
    os.waitpid(pid, 0)
    see(pid, "")
"""


def _on_freebsd(folder: Path, script: str, *arguments: str, wrong: str = "") -> str:
    """Run ``script`` with a lens that takes this system for FreeBSD."""
    done = subprocess.run(
        [sys.executable, "-c", _ON_FREEBSD + script, *arguments],
        cwd=ROOT,
        env={**os.environ, **shim(folder, _SYSCTL.replace("WRONG", wrong))},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_linux
def test_freebsds_sysctl_tells_every_state(tmp_path: Path) -> None:
    told = _on_freebsd(tmp_path, _STATES).splitlines()
    assert told == ["sysctl(KERN_PROC_PID)", "S", "R", *2 * ["T", "Z", "gone"]]


@needs_linux
def test_by_freebsds_sysctl_all_is_measured_as_by_proc(here: Report, tmp_path: Path) -> None:
    report = Report.loads(_on_freebsd(tmp_path, _REPORT, "report", "--json"))
    assert report.environment.lens["processes"] == "sysctl(KERN_PROC_PID)"
    assert flipped(here, report) == {}


@needs_linux
@pytest.mark.parametrize(
    "wrong",
    [
        "for (int at = 0; at < bytes; at++) made[at] = rand();",
        "bytes -= calls;",
        "bytes = 4;",
        "memset(made + sizeof made - sizeof flags, 0, sizeof flags);",
        "memset(made + sizeof made - sizeof flags, 0xff, sizeof flags);",
        "made[388] = SSLEEP;",
        "made[100] = stat;",
        "errno = EPERM; return -1;",
        "errno = ENOSYS; return -1;",
        "errno = ESRCH; return -1;",
    ],
)
def test_a_sysctl_that_cannot_be_believed_is_not_used(
    wrong: str, here: Report, tmp_path: Path
) -> None:
    only = ("--only=restarts.read_*", "--only=groups.orphan_stopped_gets", "--only=signals.*_on_*")
    report = Report.loads(_on_freebsd(tmp_path, _REPORT, "report", "--json", *only, wrong=wrong))
    assert report.environment.lens["processes"] == "ps"
    assert flipped(here, report) == {}


# As FreeBSD's kernel does to a reaper whose descendants have no parent that waits for them.
_STORM = """
import os, signal, sys
from probes import sandbox

ask = sandbox.ask

def in_a_storm(probe):
    reaper = os.getpid()
    storm = os.fork()
    while not storm:
        os.kill(reaper, signal.SIGCHLD)
    try:
        return ask(probe)
    finally:
        os.kill(storm, signal.SIGKILL)
        os.waitpid(storm, 0)

sandbox.ask = in_a_storm
"""


@needs_linux
@pytest.mark.parametrize(
    "world",
    [
        None,
        "stopped children are not told of",
        "SA_NOCLDWAIT ends all word of children, as on FreeBSD",
    ],
)
def test_no_sigchld_of_the_reapers_is_counted(
    world: Optional[str], here: Report, tmp_path: Path
) -> None:
    source, expected = SHIMS[world] if world else ("", {})
    environment = shim(tmp_path, source) if source else {}
    only = ("--only=signals.sigchld_*", "--repeat=10")
    done = subprocess.run(
        [sys.executable, "-c", _STORM + _REPORT, "report", "--json", *only],
        cwd=ROOT, env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert flipped(here, Report.loads(done.stdout)) == expected
