"""Whatever a probe does, the report stays whole and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes import Report
from probes.lens import get_state
from tests.worlds import ROOT, needs_linux, run_lab


class Lab:
    """A copy of the lab with the hostile family, and its scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "probes", folder / "probes", ignore=shutil.ignore_patterns("*.pyc"))
        shutil.copy(ROOT / "tests" / "hostile.py", folder / "probes" / "catalogue" / "hostile.py")
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.told = folder / "told"
        self.told.touch()
        self.environment = {"TMPDIR": str(self.scratch), "TOLD": str(self.told)}

    def report(self, *options: str, status: int) -> Report:
        done = run_lab(
            "report", "--json", *options, environment=self.environment, folder=self.folder
        )
        assert done.returncode == status, done.stderr
        return Report.loads(done.stdout)

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "probes", "report", *options],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # In the background of a shell the tests inherit it as ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def processes(self) -> set[int]:
        # A line that is still being written has no newline yet.
        lines = self.told.read_text().splitlines(keepends=True)
        return {int(line) for line in lines if line.endswith("\n")}

    def await_processes(self, number: int) -> None:
        while len(self.processes()) < number:
            time.sleep(0.005)

    def alive(self) -> list[int]:
        return [pid for pid in self.processes() if _alive(pid)]

    def await_ended(self) -> None:
        while self.alive():
            time.sleep(0.005)

    def await_empty_scratch(self) -> None:
        while list(self.scratch.iterdir()):
            time.sleep(0.005)

    def assert_nothing_left(self) -> None:
        assert self.alive() == []
        assert list(self.scratch.iterdir()) == []


def _alive(pid: int) -> bool:
    # A zombie that its new parent, init, has not yet reaped is not running.
    return get_state(pid) not in ("", "Z")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for pid in made.alive():
        os.kill(pid, signal.SIGKILL)


@needs_linux
def test_hostile_probes_are_contained(lab: Lab) -> None:
    report = lab.report("--only=hostile", "--skip=hostile.wavers", "--deadline=2", status=4)
    said = {fact.id.partition(".")[2]: (fact.answer, fact.reason) for fact in report}
    expected = {
        "well_behaved": "yes",
        "sampled": "few",
        "crashes": "broken",
        "hangs": "timed out",
        "hangs_deaf": "timed out",
        "stopped": "timed out",
        "leaves_a_daemon": "yes",
        "leaves_a_daemon_without_descriptors": "yes",
        "crashes_and_leaves_a_daemon": "broken",
        "hangs_and_leaves_a_family": "timed out",
        "writes_junk": "broken",
        "floods": "broken",
        "killed": "broken",
        "kills_its_group": "broken",
        "ends_early": "broken",
        "exits": "broken",
        "interrupts": "broken",
        "raises": "broken",
        "returns_nonsense": "broken",
        "returns_a_float": "broken",
        "returns_a_novel": "broken",
        "litters": "yes",
        "removes_its_scratch": "yes",
        "forks_and_both_answer": "yes",
        "lacks": "unsupported",
        "wants": "blocked",
        "light_first": "yes",
        "light_crashes": "broken",
        "light_second": "yes",
        "light_hangs": "timed out",
        "light_third": "yes",
        "light_answers_for_the_next": "broken",
        "light_last": "yes",
    }
    assert {name: answer for name, (answer, _) in said.items()} == expected
    assert report["hostile.sampled"].raw == 3
    assert "SIGSEGV" in said["crashes"][1]
    assert "SIGKILL" in said["killed"][1]
    assert "two lines" in said["raises"][1]
    assert "hostile.py" in said["raises"][1]
    assert said["wants"][1] == "needs the moon"
    assert all(reason for answer, reason in said.values() if answer in ("broken", "timed out"))
    # Every process that was meant to stay behind wrote its id, so its end means something.
    assert len(lab.processes()) == 11
    lab.assert_nothing_left()


ONE_PROCESS_IN_ANOTHER_ORDER = """
import json, random, sys
from probes import runner
from probes.load_catalogue import load_catalogue
light = [p for p in load_catalogue().values() if p.light]
random.Random(int(sys.argv[1])).shuffle(light)
facts = runner.run({p.id: p for p in light}, jobs=1)
print(json.dumps({id: fact.answer for id, fact in facts.items()}))
"""
ALONE = """
import json
from dataclasses import replace
from probes import runner
from probes.load_catalogue import load_catalogue
light = {id: replace(p, light=False) for id, p in load_catalogue().items() if p.light}
print(json.dumps({id: fact.answer for id, fact in runner.run(light).items()}))
"""


@pytest.mark.parametrize(
    "script", [[ALONE], *([ONE_PROCESS_IN_ANOTHER_ORDER, str(seed)] for seed in range(5))]
)
def test_light_probes_do_not_meet_what_others_left(script: list[str], here: Report) -> None:
    done = subprocess.run(
        [sys.executable, "-c", *script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    answers = json.loads(done.stdout)
    assert len(answers) > 100
    assert answers == {id: here[id].answer for id in answers}


@needs_linux
@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_interrupted_in_the_middle(lab: Lab, signum: signal.Signals, status: int) -> None:
    with lab.start("--only=hostile.hang*", "--only=hostile.stopped", "--jobs=8") as running:
        lab.await_processes(7)
        running.send_signal(signum)
        out, err = running.communicate()
        assert running.returncode == status
    assert out == ""
    assert err.count("\n") <= 1
    assert "Traceback" not in err
    lab.assert_nothing_left()


@needs_linux
def test_interrupted_at_any_moment(lab: Lab) -> None:
    """At any moment from the start of Python to the last line."""
    alone = time.monotonic()
    lab.report("--only=signals", "--only=hostile.well_behaved", status=0)
    alone = time.monotonic() - alone
    for share in range(15):
        with lab.start("--only=signals", "--only=hostile.well_behaved") as running:
            time.sleep(alone * share / 15)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate()
        if running.returncode == 130:
            # The signal may come after everything is printed.
            assert err in ("", "probes: interrupted\n")
            assert out == "" or out.endswith("explain FAMILY\n")
        elif running.returncode:
            # The signal hit Python itself, before or after the lab.
            assert not re.search(r"/probes/(?!__(init|main)__)", err), err
        lab.assert_nothing_left()


@needs_linux
@pytest.mark.parametrize(
    ("module", "said"),
    [("fact.py", ""), ("pool.py", "probes: interrupted\n")],
)
def test_interrupted_while_a_class_is_made(lab: Lab, module: str, said: str) -> None:
    """Before Python 3.12 that is a RuntimeError, which no code expects."""
    file = lab.folder / "probes" / module
    file.write_text(
        file.read_text()
        + """

class _Interrupt:
    def __set_name__(self, owner: object, name: str) -> None:
        os.kill(os.getpid(), 2)
        while True:
            pass


class _Interrupted:
    field = _Interrupt()
"""
    )
    with lab.start("--only=hostile.well_behaved") as running:
        out, err = running.communicate()
    assert (running.returncode, out, err) == (130, "", said)


def _children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(") ")[2].split()
            if int(fields[1]) == pid:
                found.append(int(stat.parent.name))
    return found


HANGING = (
    "--only=hostile.hangs",
    "--only=hostile.hangs_deaf",
    "--only=hostile.hangs_and_leaves_a_family",
)
"""Six processes that never exit, three of them orphans in separate sessions."""


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGUSR1])
def test_whoever_kills_the_lab_kills_what_it_began(lab: Lab, signum: signal.Signals) -> None:
    with lab.start(*HANGING, "--jobs=8") as running:
        lab.await_processes(6)
        running.send_signal(signum)
    lab.await_ended()
    lab.await_empty_scratch()


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGUSR1])
def test_a_runner_that_is_killed_leaves_nothing(lab: Lab, signum: signal.Signals) -> None:
    with lab.start(*HANGING, "--jobs=8") as running:
        lab.await_processes(6)
        (runner,) = _children_of(running.pid)
        os.kill(runner, signum)
        out, err = running.communicate()
    assert (running.returncode, out) == (3, "")
    assert err == (
        f"probes: the lab's runner was killed by {signum.name}; nothing is left running\n"
    )
    lab.assert_nothing_left()


@needs_linux
def test_the_lab_ignores_what_its_caller_ignores_and_blocks(lab: Lab) -> None:
    # If the caller ignores SIGCHLD, the kernel would discard its children's statuses.
    before = ["sh", "-c", 'trap "" CHLD HUP TERM; exec "$@"', "sh"]
    done = run_lab(
        "report", "--json", "--only=hostile.well_behaved", "--only=hostile.crashes",
        environment=lab.environment, folder=lab.folder, before=before,
    )  # fmt: skip
    report = Report.loads(done.stdout)
    assert report["hostile.well_behaved"].answer == "yes"
    assert "SIGSEGV" in report["hostile.crashes"].reason


def test_a_fact_that_varies_is_unstable_never_the_majority(lab: Lab) -> None:
    report = lab.report(
        "--only=hostile.wavers", "--only=hostile.well_behaved", "--repeat=3", "--jobs=1", status=4
    )
    assert report["hostile.well_behaved"].answer == "yes"
    fact = report["hostile.wavers"]
    assert (fact.status, fact.value) == ("unstable", None)
    assert fact.reason == "3 times asked, it answered 1, 2, 3"


def test_nothing_measured_is_no_success(lab: Lab) -> None:
    report = lab.report("--only=hostile.lacks", "--only=hostile.wants", status=3)
    assert [fact.status for fact in report] == ["unsupported", "blocked"]
