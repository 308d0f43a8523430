"""One probe, with all that it shows."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probes import strace
from tests.needs import needs, require
from tests.worlds import ROOT, needs_linux, run_lab

ID = "sockets.v6only_default"
FAMILY = '''
import os, signal, sys
from ..harness import children
from ..probe import Blocked, Sample, probe

ask = probe(matters="Not.", advice="None.", reference="none")

@ask
def prints() -> bool:
    """Does it print?"""
    print("of Python")
    os.write(1, b"of write(2)\\n")
    os.write(2, b"to standard error\\n")
    return os.path.isdir(os.environ["TMPDIR"]) and not os.listdir(".")

@ask
def child_raises() -> bool:
    """Does its child raise?"""
    def deep(channel):
        print("of the child")
        raise ZeroDivisionError("in the child")
    with children.fork(deep) as child:
        return child.receive()

@ask
def hangs() -> None:
    """Does it hang?"""
    os.write(1, b"hanging\\n")
    with open(os.environ["TOLD"], "w") as told:
        told.write(f"{os.getpid()}\\n")
    while True:
        signal.pause()

@ask
def crashes() -> None:
    """Does it crash?"""
    os.kill(os.getpid(), signal.SIGSEGV)

@ask
def wavers() -> int:
    """Is it another answer each time?"""
    count = os.path.getsize(os.environ["TOLD"])
    with open(os.environ["TOLD"], "a") as told:
        told.write("x")
    return count

@ask
def wants() -> bool:
    """Is there a moon?"""
    raise Blocked("needs the moon")

@ask
def returns_twice() -> bool:
    """Does it fork and come back twice?"""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return True
'''


class Lab:
    """A copy of the lab with a family of its own, and scratch of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "probes", folder / "probes", ignore=shutil.ignore_patterns("*.pyc"))
        (folder / "probes" / "catalogue" / "tried.py").write_text(FAMILY)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.told = folder / "told"
        self.told.touch()
        self.environment = {"TMPDIR": str(self.scratch), "TOLD": str(self.told)}

    def debug(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = run_lab("debug", *arguments, environment=self.environment, folder=self.folder)
        assert list(self.scratch.iterdir()) == []
        return done


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_question_and_answer() -> None:
    for option in ([], ["--here"]):
        done = run_lab("debug", ID, *option)
        assert (done.returncode, done.stderr) == (0, "")
        first, second = done.stdout.splitlines()
        assert re.fullmatch(rf"{ID}: .*\?", first)
        assert re.fullmatch(r"measured: (yes|no) \(\d+\.\d ms\)", second)


@pytest.mark.parametrize("option", [[], ["--here"]])
def test_output_is_shown(lab: Lab, option: list[str]) -> None:
    done = lab.debug("tried.prints", *option)
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    assert done.returncode == 0
    assert {"of Python", "of write(2)", "to standard error"} < set(lines)
    assert any(line.startswith("measured: yes ") for line in lines)


@pytest.mark.parametrize("option", [[], ["--here"]])
def test_tracebacks_are_whole_those_of_children_too(lab: Lab, option: list[str]) -> None:
    done = lab.debug("tried.child_raises", *option)
    assert done.returncode == 4
    said = done.stdout + done.stderr
    assert "of the child\n" in said
    assert 'raise ZeroDivisionError("in the child")' in said
    assert "return child.receive()" in said
    assert "broken: RuntimeError: in the child" in said


def test_statuses(lab: Lab) -> None:
    done = lab.debug("tried.hangs", "--deadline=0.3")
    assert done.returncode == 4
    assert "hanging\n" in done.stdout
    assert "timed out: no answer within" in done.stdout
    done = lab.debug("tried.crashes")
    assert done.returncode == 4
    assert "was killed by SIGSEGV" in done.stdout
    assert "set PYTHONFAULTHANDLER=1" in done.stdout
    lab.environment["PYTHONFAULTHANDLER"] = "1"
    assert re.search(r'tried.py", line \d+ in crashes', lab.debug("tried.crashes").stdout)
    for option in ([], ["--here"]):
        done = lab.debug("tried.wants", *option)
        assert done.returncode == 3
        assert "blocked: needs the moon" in done.stdout


def test_one_that_comes_back_twice_answers_once(lab: Lab) -> None:
    for option in ([], ["--here"]):
        done = lab.debug("tried.returns_twice", *option)
        assert done.returncode == 0
        assert done.stdout.count("measured: yes") == 1


@pytest.mark.parametrize("option", [[], ["--here"]])
def test_repeated_it_tells_each_answer(lab: Lab, option: list[str]) -> None:
    done = lab.debug("tried.wavers", "--repeat=3", *option)
    assert done.returncode == 4
    for line in (r"1/3 measured: 0 ", r"2/3 measured: 1 ", r"3/3 measured: 2 ",
                 r"unstable: answered 0 \(1\), 1 \(1\), 2 \(1\)$"):  # fmt: skip
        assert re.search(f"^{line}", done.stdout, re.MULTILINE)
    assert lab.debug("tried.prints", "--repeat=3", *option).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sockets.nothing"], "no probe matches 'sockets.nothing'"),
        (["sockets"], "'sockets' matches"),
        ([ID, "--here", "--deadline=1"], "leave --here out"),
        ([ID, "-o", "x"], "add --strace"),
        ([], "ID"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    done = run_lab("debug", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "signum", "status"),
    [
        ([], signal.SIGINT, 130),
        ([], signal.SIGTERM, 143),
        (["--strace"], signal.SIGTERM, 143),
    ],
)
def test_interrupted_nothing_is_left(
    lab: Lab, option: list[str], signum: signal.Signals, status: int
) -> None:
    require(*["strace"] * bool(option))
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    with subprocess.Popen(
        [sys.executable, "-m", "probes", "debug", "tried.hangs", *option],
        cwd=lab.folder, env={**os.environ, **lab.environment}, pass_fds=(writing,),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        os.close(writing)
        while not lab.told.read_text().endswith("\n"):
            time.sleep(0.005)
        running.send_signal(signum)
        _, said = running.communicate()
    assert running.returncode == status
    assert "Traceback" not in said
    # The lab's processes, all but the probe's own, held it.
    assert os.read(reading, 1) == b""
    os.close(reading)
    with pytest.raises(ProcessLookupError):
        os.kill(int(lab.told.read_text()), 0)
    assert list(lab.scratch.iterdir()) == []


needs_strace = needs("strace")


@needs_linux
@needs_strace
@pytest.mark.parametrize("option", [[], ["--here"]])
def test_strace_shows_the_calls_of_the_probe_alone(option: list[str], tmp_path: Path) -> None:
    done = run_lab("debug", ID, "--strace", *option)
    assert (done.returncode, done.stderr) == (0, "")
    _, answer, *calls = done.stdout.splitlines()
    assert answer.startswith("measured: ")
    assert len(calls) < 10
    assert re.match(r"\d+ +socket\(AF_INET6, ", calls[0])
    assert any("IPV6_V6ONLY" in call for call in calls)
    path = tmp_path / "calls"
    done = run_lab("debug", ID, "--strace", *option, "-o", str(path))
    assert len(done.stdout.splitlines()) == 2
    assert len(path.read_text().splitlines()) == len(calls)


@needs_linux
@needs_strace
def test_strace_changes_no_status(lab: Lab) -> None:
    for name, status in (("wants", 3), ("child_raises", 4), ("crashes", 4)):
        done = lab.debug(f"tried.{name}", "--strace")
        assert done.returncode == status
    assert "--- SIGSEGV " in done.stdout


@needs_linux
def test_without_strace_it_says_how_to_get_it() -> None:
    done = run_lab("debug", ID, "--strace", environment={"PATH": "/nonexistent"})
    assert (done.returncode, done.stdout) == (3, "")
    assert "apt install strace" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_linux
def test_where_strace_may_not_trace_it_says_so(tmp_path: Path) -> None:
    strace = tmp_path / "strace"
    strace.write_text("#!/bin/sh\necho 'strace: ptrace: Operation not permitted' >&2; exit 1\n")
    strace.chmod(0o755)
    done = run_lab("debug", ID, "--strace", environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (3, "")
    assert "strace ended with 1: it may not trace here; allow ptrace" in done.stderr


def test_of_a_trace_the_lines_between_the_marks_are_kept() -> None:
    lines = b"""1 execve("python") = 0
2 epoll_create1(0) = 7
3 setsid() = 3
3 access("probes debug: begin", F_OK) = -1 ENOENT
3 getpid() = 3
2 epoll_ctl(7 <unfinished ...>
1 poll() = 0
4 read(3) = 1
2 <... epoll_ctl resumed>) = 0
3 access("probes debug: end", F_OK) = -1 ENOENT
3 exit_group(0) = ?
5 access("probes debug: begin", F_OK) = -1 ENOENT
5 pause() = ?
"""
    kept = strace._keep_calls_of_probe(io.BytesIO(lines))
    assert kept == b"3 getpid() = 3\n4 read(3) = 1\n5 pause() = ?\n"
