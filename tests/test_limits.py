"""Limits of a shell, a full disk, an odd folder: each fact is as without them, or blocked."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from probes import Report, refusals
from probes.fact import BLOCKED, BROKEN, INFORMATIVE
from tests.needs import require
from tests.worlds import ROOT, as_user, flipped, measure, needs_linux, needs_root, run_lab

pytestmark = needs_linux

KIB = 1024


def within(**limits: int) -> list[str]:
    """Return a prefix that runs a command with limits such as ``NOFILE=64``, soft and hard."""
    set_limits = "; ".join(
        f"resource.setrlimit(resource.RLIMIT_{name}, ({most}, {most}))"
        for name, most in limits.items()
    )
    start = f"import os, resource, sys; {set_limits}; os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", start]


def after(script: str) -> list[str]:
    """Return a prefix that runs a command after sh has run ``script``."""
    return ["sh", "-c", f'{script}; exec "$@"', "sh"]


def in_folder_mounted(folder: Path, options: str, then: str = ":") -> list[str]:
    """Return a prefix that runs a command with a private tmpfs on ``folder`` as its TMPDIR."""
    mount = f"mount -t tmpfs -o {options} none '{folder}' && export TMPDIR='{folder}' && {then}"
    return ["unshare", "--mount", *after(f"{mount} || exit 99")]


def blocked_by_limit(here: Report, report: Report, *reasons: str) -> set[str]:
    """Return the facts that a limit blocked; assert that every other is as ``here``."""
    blocked = set()
    for fact in report:
        before = here[fact.id]
        if fact.answer == before.answer:
            continue
        if fact.scope == INFORMATIVE and fact.measured:
            continue
        assert fact.status == BLOCKED, (fact.id, before.answer, fact.answer, fact.reason)
        assert any(reason in fact.reason for reason in reasons), (fact.id, fact.reason)
        blocked.add(fact.id)
    return blocked


def one_line(before: Sequence[str], *options: str, **environment: str) -> str:
    """Return the error of a lab that can measure nothing: one line, with status 3."""
    done = run_lab("report", "--json", *options, before=before, environment=environment)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert done.stderr.startswith("probes: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("options", [(), ("--jobs=60",)])
def test_64_open_files_are_enough(options: tuple[str, ...], here: Report) -> None:
    assert flipped(here, measure(*options, before=within(NOFILE=64))) == {}


@pytest.mark.parametrize("number", [40, 20, 12, 10])
def test_fewer_open_files_block_and_never_lie(number: int, here: Report) -> None:
    report = measure(before=within(NOFILE=number))
    blocked = blocked_by_limit(here, report, "open files are allowed: raise ulimit -n")
    assert "processes.closefrom" in blocked
    assert len(blocked) < 100


@pytest.mark.parametrize("number", [9, 7, 5])
def test_too_few_open_files_for_anything_are_named(number: int) -> None:
    done = run_lab("report", "--json", before=within(NOFILE=number))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "raise ulimit -n" in done.stderr + done.stdout


class User:
    """A user id that no other test uses, because all processes of a user count for the limit."""

    uid = 20000 + os.getpid() % 40000

    def __init__(self) -> None:
        self.before = as_user(self.uid)
        self.here = measure(before=self.before)

    def measure(self, *options: str, processes: int) -> Report:
        return measure(*options, before=[*self.before, *within(NPROC=processes)])


@pytest.fixture(scope="module")
def user() -> User:
    return User()


@needs_root
@pytest.mark.parametrize("options", [(), ("--jobs=60",)])
def test_60_processes_are_enough(options: tuple[str, ...], user: User) -> None:
    """Probes that run at once compete for processes; they answer when fewer are asked again."""
    report = user.measure(*options, processes=60)
    assert flipped(user.here, report) == {}, [f.reason for f in report if f.status == BROKEN]


@needs_root
def test_a_probe_that_needs_more_processes_spoils_no_other(user: User) -> None:
    report = user.measure("--jobs=1", processes=45)
    assert blocked_by_limit(user.here, report, refusals.PROCESSES) == {"groups.killpg_reaches_all"}


@needs_root
@pytest.mark.parametrize("processes", [10, 3])
def test_few_processes_block_and_never_lie(processes: int, user: User) -> None:
    report = user.measure("--skip=compilers", processes=processes)
    assert blocked_by_limit(user.here, report, refusals.PROCESSES)


@needs_root
def test_a_compiler_without_processes_is_blocked(user: User) -> None:
    require("cc")
    report = user.measure("--only=compilers", processes=3)
    assert {fact.reason for fact in report if fact.status == BLOCKED} == {refusals.PROCESSES}
    assert {fact.status for fact in report} == {BLOCKED}


@needs_root
@pytest.mark.parametrize("processes", [2, 1])
def test_too_few_processes_for_anything_are_named(processes: int, user: User) -> None:
    before = [*user.before, *within(NPROC=processes)]
    done = run_lab("report", "--json", before=before)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert refusals.PROCESSES in done.stderr + done.stdout


LEAVES = """
import os, signal
from ..probe import Blocked, probe

def leave():
    # It keeps neither the group nor a descriptor of this process.
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        os.closerange(0, 1000)
        while True:
            os.read(os.pipe()[0], 1)
    os.close(writing)
    os.read(reading, 1)

@probe(matters="m", advice="a", reference="r")
def hangs() -> bool:
    "Does it leave a process behind and hang?"
    leave()
    while True:
        signal.pause()

@probe(matters="m", advice="a", reference="r")
def gives_up() -> bool:
    "Does it leave a process behind and give up?"
    leave()
    raise Blocked("it needs more")

@probe(matters="m", advice="a", reference="r")
def meets() -> int:
    "How many processes does it meet?"
    states = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                states.append(int(file.read().rpartition(") ")[2].split()[1]))
        except OSError:
            pass
    return states.count(os.getppid()) - 1
"""


def lab_with(folder: Path, family: str, source: str) -> Path:
    """Yield a copy of the lab with one more family."""
    shutil.copytree(ROOT / "probes", folder / "probes", ignore=shutil.ignore_patterns("*.pyc"))
    (folder / "probes" / "catalogue" / f"{family}.py").write_text(source)
    return folder


def test_what_a_probe_leaves_is_gone_before_the_next(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "leaving", LEAVES)
    for left in ("hangs", "gives_up"):
        only = (f"--only=leaving.{left}", "--only=leaving.meets")
        report = measure(*only, "--jobs=1", "--deadline=1", folder=lab)
        assert report[f"leaving.{left}"].answer in ("timed out", "blocked")
        assert report["leaving.meets"].value == 0


FULL_DISK = {f"files.full_disk_{name}" for name in ("first_write", "next_write", "leaves")}


@pytest.mark.parametrize("kib", [600, 100, 10, 0])
def test_a_limit_of_length_is_not_a_full_disk(kib: int, here: Report) -> None:
    report = measure(before=within(FSIZE=kib * KIB))
    blocked = blocked_by_limit(here, report, refusals.LIMITS[errno.EFBIG])
    assert "files.append_whole_kib" in blocked
    # The small disk has room for 512 KiB.
    assert blocked.issuperset(FULL_DISK) == (kib < 512)
    assert ("files.fsize_limit_write" in blocked) == (kib == 0)


def test_a_report_that_may_not_be_so_long_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    told = one_line(within(FSIZE=10), "--only=abi.pointer_bits", f"--output={path}")
    assert "File too large" in told
    assert "raise ulimit -f" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "limits",
    [{"AS": 400_000 * KIB}, {"AS": 200_000 * KIB}, {"MEMLOCK": 0}, {"STACK": 256 * KIB},
     {"CPU": 2}, {"NICE": 0}, {"MSGQUEUE": 0}, {"RTPRIO": 0}],
    ids=str,
)  # fmt: skip
def test_other_limits_bear_on_nothing(limits: dict[str, int], here: Report) -> None:
    assert flipped(here, measure(before=within(**limits))) == {}


def test_no_queue_of_signals_is_named(here: Report) -> None:
    report = measure(before=within(SIGPENDING=0))
    assert blocked_by_limit(here, report, "raise ulimit -i")


def _least_memory() -> int:
    """Return the address space in bytes of this Python after it has imported the lab."""
    asked = "import probes.cli, probes.runner; print(open('/proc/self/statm').read().split()[0])"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout) * resource.getpagesize()


def test_little_memory_blocks_and_never_lies(here: Report) -> None:
    # In steps from too little to import the lab to enough to work.
    least, statuses = _least_memory(), set()
    for more in (-4, -2, 2, 6, 20):
        done = run_lab(
            "report", "--json", "--skip=compilers", before=within(AS=least + more * KIB * KIB)
        )
        statuses.add(done.returncode)
        assert "Traceback" not in done.stderr
        if done.returncode == 3 and not done.stdout:
            assert done.stderr.count("\n") == 1
            assert "raise ulimit" in done.stderr
        else:
            assert done.returncode in (0, 3), done.stderr
            blocked_by_limit(here, Report.loads(done.stdout), "raise ulimit -v")
    assert statuses == {0, 3}


SPINS = """
from ..probe import probe

@probe(matters="m", advice="a", reference="r")
def forever() -> bool:
    "Does it end?"
    while True:
        pass
"""


def test_a_limit_of_processor_time_is_named(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "spinning", SPINS)
    soft = [
        sys.executable, "-c",
        "import os, resource as r, sys; r.setrlimit(r.RLIMIT_CPU, (1, r.RLIM_INFINITY)); "
        "os.execvp(sys.argv[1], sys.argv[1:])",
    ]  # fmt: skip
    report = measure("--only=spinning", "--deadline=60", before=soft, folder=lab)
    fact = report["spinning.forever"]
    assert (fact.status, fact.reason) == (
        BLOCKED, "too little processor time is allowed: raise ulimit -t"
    )  # fmt: skip


def test_no_core_file_is_left_by_the_lens() -> None:
    asked = """
import os, resource
from probes import runner
limit = resource.getrlimit(resource.RLIMIT_CORE)
within = []
with runner._Caller(None).prepare():
    within.append(resource.getrlimit(resource.RLIMIT_CORE)[0])
print(within == [0], resource.getrlimit(resource.RLIMIT_CORE) == limit, limit[0] != 0)
"""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == 0:
        pytest.skip("needs a hard limit of core files that is not 0")
    done = subprocess.run(
        [*within(CORE=hard), sys.executable, "-c", asked],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "True"]


FULL = "the scratch file system is full: make room, or set TMPDIR to another"


@needs_root
@pytest.mark.parametrize(
    ("options", "then"),
    [
        ("size=64k", 'dd if=/dev/zero of="$TMPDIR/full" bs=4k 2>/dev/null; true'),
        ("size=8k", ":"),
        ("size=64m,nr_inodes=3", ":"),
    ],
    ids=["no room", "little room", "no files"],
)
def test_a_full_folder_blocks(options: str, then: str, tmp_path: Path, here: Report) -> None:
    report = measure(before=in_folder_mounted(tmp_path, options, then))
    assert blocked_by_limit(here, report, FULL)


@needs_root
@pytest.mark.parametrize(
    "options", ["size=64k,nr_inodes=1", "size=64k,ro"], ids=["not one file", "read-only"]
)
def test_a_folder_that_takes_nothing_is_named(options: str, tmp_path: Path) -> None:
    told = one_line(in_folder_mounted(tmp_path, options))
    assert told.startswith(f"probes: {tmp_path}: cannot make a folder there (")
    assert told.endswith("): set TMPDIR to another\n")


@pytest.mark.parametrize("name", ["long" * 40, "with space", "quoted '\" $HOME"])
def test_any_name_of_a_folder_does(name: str, tmp_path: Path, here: Report) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert flipped(here, measure(environment={"TMPDIR": str(folder)})) == {}
    assert list(folder.iterdir()) == []


def test_a_working_folder_that_is_gone_does_not_matter(tmp_path: Path, here: Report) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before = after(f"cd '{gone}' && rmdir '{gone}'")
    assert flipped(here, measure(before=before, environment={"PYTHONPATH": str(ROOT)})) == {}


@needs_root
def test_a_umask_of_0777_does_not_matter(user: User) -> None:
    assert flipped(user.here, measure(before=[*user.before, *after("umask 0777")])) == {}


def test_the_umask_counts_for_the_file_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = run_lab(
        "report", "--json", "--only=abi.pointer_bits", f"--output={path}",
        before=after("umask 0077"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("empty", [["env", "-i"], ["env", "-u", "HOME"]], ids=["none", "no HOME"])
def test_an_empty_environment_does(empty: list[str], here: Report) -> None:
    assert flipped(here, measure(before=empty)) == {}


KEEPING_PROMISES = '''
"""Ask every light probe in a child; print what it left changed, by id."""
import json, os, resource, shutil, signal, sys, threading
from probes import lens, libc, sandbox
from probes.load_catalogue import load_catalogue

def seen():
    umask = os.umask(0)
    os.umask(umask)
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    open_now = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            with open(f"/proc/self/fdinfo/{name}") as file:
                flags = file.read().split("flags:")[1].split()[0]
            open_now[name] = os.readlink(f"/proc/self/fd/{name}"), flags
        except OSError:
            pass  # The folder's own.
    try:
        os.waitpid(-1, os.WNOHANG)
        children = True
    except ChildProcessError:
        children = False
    dispositions = {}
    for signum in sorted(signal.valid_signals()):
        try:
            told = lens.sigaction(signum)
        except OSError:
            continue
        dispositions[str(int(signum))] = told.handler, told.flags, repr(signal.getsignal(signum))
    return {
        "cwd": os.getcwd(),
        "umask": umask,
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "pending": sorted(map(int, signal.sigpending())),
        "dispositions": dispositions,
        "wakeup": wakeup,
        "timers": [signal.getitimer(n) for n in range(3)],
        "descriptors": open_now,
        "children": children,
        "files": sorted(os.listdir(".")),
        "environment": dict(os.environ),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "ids": [os.getresuid(), os.getresgid(), os.getgroups(), os.getpgrp(), os.getsid(0)],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
        "threads": threading.active_count(),
    }

def changed(asked):
    libc.become_reaper()  # What a probe's helpers leave comes to this process.
    before = seen()
    sandbox.ask(asked)
    after = seen()
    return {key: [before[key], after[key]] for key in before if before[key] != after[key]}

home = os.getcwd()
left, asked_of = {}, 0
lens.look(home)
for asked in load_catalogue().values():
    if not asked.light:
        continue
    asked_of += 1
    folder = os.path.join(home, asked.id)
    os.mkdir(folder)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            os.chdir(folder)
            os.write(writing, json.dumps(changed(asked)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    os.waitpid(pid, 0)
    left[asked.id] = json.loads(text) if text else "ended without a word"
print(json.dumps([asked_of, {id: what for id, what in left.items() if what}]))
'''


def test_light_probes_leave_everything_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEEPING_PROMISES],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    number, left = json.loads(done.stdout)
    assert number > 100
    assert left == {}
