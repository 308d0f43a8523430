"""Runs for real: small, begun, killed, gone on with; and what leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from papaya.experiment.results import folder as results
from tests.needs import needs
from tests.papaya.conftest import descendants
from tests.papaya.experiment.measure.runs import command, groups, run
from tests.worlds import ROOT, needs_linux

SMALL = (
    "--subjects", "c-epoll,python-processes,papaya-fork", "--connections", "2,4",
    "--seconds", "1", "--warmup", "0.2", "--repeats", "1", "--mbps", "0.2",
)  # fmt: skip


ONE = (
    "--subjects", "python-threads", "--connections", "2", "--seconds", "1", "--warmup", "0",
    "--repeats", "1", "--mbps", "0.1", "--no-report",
)  # fmt: skip


@needs("cc")
def test_a_run_measures_resumes_and_reports(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    done = run(folder, *SMALL, "--paper")
    assert done.returncode in (0, 1), done.stderr
    there = results.read_run(folder)
    # Three subjects, two loads, and a twin of the first and the last subject.
    assert len(there.trials) == 8
    assert {trial.subject for trial in there.trials} == {
        "c-epoll",
        "python-processes",
        "papaya-fork",
    }
    for trial in there.trials:
        # A busy machine may have kept the load from being one: then that is said.
        assert bool(trial.why) == (trial.status == results.REFUSED)
        if trial.status == results.OK:
            assert trial.cpu_seconds is not None
            assert 0 < trial.cpu_seconds < 2
            assert trial.messages
            chat = trial.subject == "papaya-fork"
            assert (trial.deliveries is not None) == chat
            if chat:
                assert (trial.lost, trial.duplicated, trial.disordered) == (0, 0, 0)
                assert trial.p99_ms
            windows = there.windows[trial.key]
            assert 1 <= len(windows) <= 3
            assert all(window.paper_percent is not None for window in windows)
            used = sum(window.exact_percent * window.seconds for window in windows) / 100
            # What comes after the last window is less than half of one.
            assert 0.6 * trial.cpu_seconds <= used <= 1.001 * trial.cpu_seconds
    for name in ("index.html", "tables.md", "plots/cpu.svg", "plots/cpu.png"):
        assert (folder / name).stat().st_size > 1000

    # All is there: nothing is measured again.
    rows = (folder / "cells.csv").read_bytes()
    again = run(folder, *SMALL, "--paper", "--no-report")
    assert "8 of 8 trials are already measured" in again.stderr
    assert (folder / "cells.csv").read_bytes() == rows
    # A row that a killed run did not finish is measured again.
    (folder / "cells.csv").write_bytes(rows[:-20])
    again = run(folder, *SMALL, "--paper", "--no-report")
    assert "7 of 8 trials are already measured" in again.stderr
    assert len(results.read_run(folder).trials) == 8
    # Another design is another run.
    other = run(folder, *SMALL, "--no-report")
    assert (other.returncode, "holds a run with other options" in other.stderr) == (2, True)


@needs_linux
@needs("cc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_stopped_goes_on_where_it_was(tmp_path: Path, signum: int) -> None:
    folder = tmp_path / "results"
    with subprocess.Popen(
        command("run", "--output", str(folder), *SMALL),
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr
        while "3 of 8" not in (line := process.stderr.readline()):
            assert line
        # Somewhere in the third.
        until = time.monotonic() + 20
        while len(below := list(descendants(process.pid))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signum)
        said = process.stderr.read()
        status = process.wait(60)
    if signum != signal.SIGKILL:
        assert (status, "Traceback" in said) == (130, False), said
        assert said.splitlines()[-1] == (
            "papaya: interrupted; run the same command again to continue"
        )
        until = time.monotonic() + 20
        while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < until, left
            time.sleep(0.01)
        assert groups(process.pid) == []
    else:
        # Server and load go with it: nobody holds its standard error, which was read to its end.
        # Its control groups stay; one that has a process in it cannot be removed.
        until = time.monotonic() + 20
        while made := groups(process.pid):
            for path in made:
                try:
                    path.rmdir()
                except OSError:
                    assert time.monotonic() < until
                    time.sleep(0.01)
    assert len(results.read_trials(folder)) >= 2
    done = run(folder, *SMALL, "--no-report")
    assert re.search(r"[23] of 8 trials are already measured", done.stderr), done.stderr
    assert len(results.read_run(folder).trials) == 8


def test_what_cannot_be_made_is_left_out_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    done = run(
        folder, "--subjects", "c-epoll,python-threads", "--connections", "2", "--seconds", "1",
        "--warmup", "0", "--repeats", "1", "--mbps", "0.1", CC="no-such-compiler",
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "left out: c-epoll: a C compiler is not installed" in done.stderr
    description = json.loads((folder / "run.json").read_text())
    assert description["left_out"] == {
        "c-epoll": "a C compiler is not installed; install gcc or clang"
    }
    assert "a C compiler is not installed" in (folder / "index.html").read_text()


def test_a_server_that_takes_no_more_is_refused(tmp_path: Path) -> None:
    """More than any can take: the run says so, and counts nothing of it."""
    folder = tmp_path / "results"
    done = run(
        folder, "--subjects", "python-threads", "--connections", "1", "--seconds", "1",
        "--warmup", "0", "--repeats", "1", "--mbps", "100000", "--size", "60000", "--no-report",
    )  # fmt: skip
    assert done.returncode == 1
    assert {trial.status for trial in results.read_trials(folder)} == {results.REFUSED}
    assert "refused" in done.stderr


def test_a_terminal_shows_what_is_used_now(tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        [*command("run", "--output", str(tmp_path / "results"))[1:], *ONE],
        cwd=ROOT, encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect(r"\r  python-threads, 2: +[0-9.]+ % of a core, [0-9]+ of 1 s")
    child.expect("2 of 2: python-threads")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus in (0, 1)


BARE = """
import sys
from papaya.cli import main
from papaya.experiment.measure import accounting
accounting.make_group = lambda: None
accounting.find_meter = lambda pid: accounting.Ended()
sys.exit(main(sys.argv[1:]))
"""


@needs("cc")
def test_where_nothing_but_rusage_is_told(tmp_path: Path) -> None:
    """What a platform without control groups and schedstat measures: whole lives, no windows."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, "experiment", "run", "--subjects", "c-processes",
         "--connections", "2", "--seconds", "1", "--repeats", "1", "--mbps", "0.2",
         "--no-report", "--output", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    there = results.read_run(tmp_path)
    assert there.description.accounting.method == "rusage"
    for trial in there.trials:
        assert trial.status == results.REFUSED or (trial.cpu_seconds or 0) > 0
        assert trial.cv is None
    assert not there.windows


def test_two_runs_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("run", "--output", str(tmp_path), *SMALL),
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        while "building" not in (line := process.stderr.readline()):
            assert line
        other = run(tmp_path, *SMALL)
        process.terminate()
    assert (other.returncode, other.stderr.count("\n")) == (3, 1), other.stderr
    assert "another run is using it" in other.stderr


STRANGE = """
import sys
from papaya.cli import main
from papaya.experiment import subjects
command = sys.executable, "-c", sys.argv.pop(1)
made = subjects.Made(subjects.SUBJECTS["python-threads"], command, "")
subjects.make = lambda name, folder: made
sys.exit(main(sys.argv[1:]))
"""


def strange(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a subject that is not one of the project's."""
    return subprocess.run(
        [sys.executable, "-c", STRANGE, script, "experiment", "run", *ONE, "--output", str(folder),
         *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


HANGS_UP = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], file=sys.stderr, flush=True)
while True:
    client, _ = server.accept()
    client.recv(1)
    client.close()
"""


KEEPS_ALL = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], file=sys.stderr, flush=True)
clients = []
while True:
    clients.append(server.accept())
"""


@pytest.mark.parametrize(
    ("script", "why"), [(HANGS_UP, "let a connection go"), (KEEPS_ALL, "0.0 % of the offered rate")]
)
def test_a_server_that_fails_is_refused_and_the_run_goes_on(
    tmp_path: Path, script: str, why: str
) -> None:
    done = strange(tmp_path, script)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    trials = results.read_trials(tmp_path)
    # Two trials, the second the twin of the first.
    assert [(trial.status, trial.attempts) for trial in trials] == [(results.REFUSED, 3)] * 2
    assert any(why in trial.why for trial in trials), trials


SPINS = """
import json, os, signal, socket, sys, threading, time
share = SHARE / 100
seen = []
def used():
    return time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
def end(*_):
    with open("PATH", "a") as file:
        print(json.dumps([sorted(os.sched_getaffinity(0)), seen]), file=file)
    os._exit(0)
def drain(client):
    while client.recv(65536):
        pass
def accept():
    while True:
        threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
signal.signal(signal.SIGTERM, end)
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
print(server.getsockname()[1], file=sys.stderr, flush=True)
start, wall = used(), time.monotonic()
while True:
    at, now = used(), time.monotonic()
    if not seen or now - seen[-1][0] > 0.01:
        seen.append((now, at))
    if at - start >= share * (now - wall):
        time.sleep(0.002)
"""


@needs_linux
@pytest.mark.parametrize("share", [20, 50])
def test_a_whole_run_is_within_two_percent_of_the_truth(tmp_path: Path, share: int) -> None:
    """The subject uses that share of a core, reading and threads included, and notes it.

    A busy machine may give it less, and then more: what is measured is what it notes, of some
    stretch of its life that is as long.
    """
    script = SPINS.replace("SHARE", str(share)).replace("PATH", str(tmp_path / "notes"))
    done = strange(tmp_path / "results", script, "--seconds", "2")
    assert done.returncode in (0, 1), done.stderr
    trials = [c for c in results.read_trials(tmp_path / "results") if c.status == results.OK]
    if not trials:
        assert "the load was the bottleneck" in done.stderr
    notes = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
    cores = results.read_description(tmp_path / "results").cores
    assert not set(cores.server) & set(cores.load)
    if cores.server:
        assert {tuple(bound) for bound, _ in notes} == {cores.server}
    lives = [life for _, life in notes]
    for trial in trials:
        assert trial.seconds is not None
        assert trial.cpu_percent is not None
        truths = [found for life in lives for found in shares(life, trial.seconds)]
        if not truths:
            # A busy machine let it note less than was measured.
            assert all(life[-1][0] - life[0][0] <= trial.seconds for life in lives if life)
            continue
        assert 0.98 * min(truths) <= trial.cpu_percent <= 1.02 * max(truths), (share, trial)


def shares(life: list[tuple[float, float]], seconds: float) -> list[float]:
    """Percent of a core that was used in each stretch of so many seconds."""
    found, first = [], 0
    for at, used in life:
        while at - life[first][0] > seconds:
            first += 1
        if first:
            since, before = life[first - 1]
            found.append(100 * (used - before) / (at - since))
    return found
