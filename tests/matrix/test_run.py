"""Cells for real: this host, brought up, measured, gated, taken down; and what can go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matrix import remote_agent
from matrix.cell import BASELINES as FOLDER
from matrix.cell import Cell, load_cells
from matrix.gate import compare_with_baseline
from matrix.outcome import CellOutcome
from matrix.providers import here as pythons
from matrix.providers import vagrant
from probes import Report
from probes.environment import describe
from probes.errors import CommandError
from probes.fact import BLOCKED, Platform
from tests.manual import read_block
from tests.needs import needs
from tests.papaya.conftest import descendants, runs, state, until
from tests.worlds import needs_linux

from .workplace import ROOT, Workplace, read_until

BASELINES = Path(FOLDER)


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_a_host_is_measured_recorded_and_gated(work: Workplace) -> None:
    work.cell("box", "here")
    done = work.run("box")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no baseline, selftest 3/3" in done.stdout
    found = re.search(r"to record one: (.*) --reason TEXT\n", done.stdout)
    assert found, done.stdout
    assert "box: measuring" in done.stderr
    report = Report.load(work.results("box") / "report.json")
    assert (report.later["cell"], report.later["way"]) == ("box", "here")
    selftest = json.loads((work.results("box") / "selftest.json").read_text())
    assert set(selftest) == {"coroutines", "fork", "pool"}

    subprocess.run(f"{found[1]} --reason 'as it is'", shell=True, cwd=ROOT, check=True)
    again = work.run("--no-selftest", "box")
    assert (again.returncode, "0 changed" in again.stdout) == (0, True), again.stdout

    # Another world, as far as the baseline knows.
    path = work.folder / "baselines" / "box.json"
    document = json.loads(path.read_text())
    document["facts"]["locks.flock_shared_by_fork"]["value"] = False
    path.write_text(json.dumps(document))
    changed = work.run("--no-selftest", "box")
    assert changed.returncode == 1
    assert "locks.flock_shared_by_fork: no -> yes (inherent, drift)" in changed.stdout
    assert "papaya's settings that depend on it: log" in changed.stdout


def test_what_is_missing_is_said_and_never_passes(work: Workplace) -> None:
    work.cell("none", "here:python9.9")
    missing = work.run("none")
    assert missing.returncode == 3
    assert missing.stdout == "none  MISSING no working python9.9 on the PATH: install it\n"
    skipped = work.run("--allow-missing", "none")
    assert skipped.returncode == 0
    assert "SKIPPED" in skipped.stdout
    doctor = work("doctor", "none")
    assert (doctor.returncode, "no working python9.9" in doctor.stdout) == (3, True)
    # That some cell cannot be had is no fault of a machine, unless that cell is asked for.
    work.cell("box", "here")
    assert work("doctor", "box").returncode == 0
    assert work("doctor", "box", "none").returncode == 3
    doctor = work("doctor")
    assert (doctor.returncode, "no working python9.9" in doctor.stdout) == (0, True)
    as_json = json.loads(work("doctor", "--json", "none").stdout)
    assert as_json[0]["runs"] is False


def test_a_python_of_pyenv_is_found(work: Workplace) -> None:
    work.environment["PYENV_ROOT"] = str(work.folder / "with [odd] name")
    work.cell("box", "here:python3.99")
    for version, script in (("3.99.1", f'exec {sys.executable} "$@"'), ("3.99.2", "exit 127")):
        program = work.folder / "with [odd] name" / "versions" / version / "bin" / "python3.99"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    done = work.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_second_way_is_taken_where_the_first_lacks_something(work: Workplace) -> None:
    work.cell("box", "here:python9.9", "here")
    done = work.run("--no-selftest", "box")
    assert done.returncode == 0
    assert "not by here: no working python9.9" in done.stderr


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 7\n", "no working python-bad on"),
        (
            "#!/bin/sh\n[ \"$2\" = '' ] && exit 0\necho 'cannot start' >&2\nexit 7\n",
            "no Python answered: cannot start",
        ),
    ],
)
def test_a_python_that_does_not_answer(work: Workplace, script: str, said: str) -> None:
    bad = work.folder / "python-bad"
    bad.write_text(script)
    bad.chmod(0o755)
    work.environment["PATH"] = f"{work.folder}:{os.environ['PATH']}"
    work.cell("box", "here:python-bad")
    done = work.run("box")
    assert done.returncode == 3
    assert said in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cell.x]\nways = []\n", "has no ways"),
        ('[cell.x]\nways = ["teleport:mars"]\n', "no provider 'teleport'"),
        ('[cell.x]\nways = ["here"]\nfoo = 1\n', "unknown entry foo"),
        ('[cell.x]\nways = ["ssh"]\n', "needs a host that ssh reaches"),
        ('[cell."a/b"]\nways = ["here"]\n', "names files"),
        ("cell = 3\n", "cell is a number; a cell is written: "),
        ("= 3\n", "Invalid"),
    ],
)
def test_cells_that_are_none(work: Workplace, text: str, said: str) -> None:
    work.cells.write_text(text)
    done = work.run("x")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_usage(work: Workplace) -> None:
    work.cell("box", "here")
    assert work.run("nobody").returncode == 2
    assert "no cell 'nobody'" in work.run("nobody").stderr
    assert work.run("--jobs", "0", "box").returncode == 2
    assert work("baseline", "box", "--reason", "x").returncode == 2


def test_a_baseline_brought_from_elsewhere(work: Workplace) -> None:
    work.cell("box", "here")
    assert work.run("--no-selftest", "box").returncode == 0
    report = work.results("box") / "report.json"
    done = work("baseline", "box", "--import", str(report), "--reason", "measured there")
    assert done.returncode == 0, done.stderr
    recorded = Report.load(work.folder / "baselines" / "box.json")
    assert recorded.later["imported_from"] == str(report)
    shown = work("table", "--results", str(work.folder / "none"), "--format", "json")
    assert f"imported from {report}" in json.loads(shown.stdout)["columns"][0]["platform"]
    # Neither without a reason, nor a part of one.
    assert work("baseline", "box", "--import", str(report), "--reason", " ").returncode == 2
    document = json.loads(report.read_text())
    document["facts"] = {id: f for id, f in document["facts"].items() if id.startswith("abi.")}
    part = work.folder / "part.json"
    part.write_text(json.dumps(document))
    refused = work("baseline", "box", "--import", str(part), "--reason", "x")
    assert (refused.returncode, "incomplete report" in refused.stderr) == (2, True)
    # One of an older lab lacks what that did not ask yet.
    document = json.loads(report.read_text())
    document["environment"]["probes_hash"] = "0" * 64
    del document["facts"]["locks.flock_shared_by_fork"]
    part.write_text(json.dumps(document))
    older = work("baseline", "box", "--import", str(part), "--reason", "x")
    assert older.returncode == 0, older.stderr
    assert "a report of an older lab; it lacks locks.flock_shared_by_fork" in older.stderr
    # A cell of another platform takes none of ours.
    work.cells.write_text('[cell.bsd]\nways = ["here"]\nplatform = "freebsd"\n')
    refused = work("baseline", "bsd", "--import", str(report), "--reason", "x")
    assert refused.returncode == 2
    assert "which is not bsd" in refused.stderr


DEBIAN, UBUNTU = "Debian GNU/Linux 12 (bookworm)", "Ubuntu 24.04.3 LTS"
LINUX = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64, python="CPython 3.11.2")
I386 = replace(LINUX, distribution=DEBIAN, machine="i686", pointer_bits=32)
FREEBSD = Platform("FreeBSD", "14.3-RELEASE-p1", "amd64", "freebsd", "14.3", 64)


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("debian32", I386, replace(I386, emulated_32_bit=True), "its kernel has 64 bits"),
        ("debian32-userland", replace(I386, emulated_32_bit=True), I386, "kernel has 32 bits"),
        ("debian32", I386, replace(I386, pointer_bits=64), "its programs have 64 bits"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU), replace(LINUX, distribution=DEBIAN),
         "its release is not Ubuntu 24.04"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU),
         replace(LINUX, distribution=UBUNTU, hypervisor="gvisor"), "its kernel is gVisor"),
        ("gvisor", replace(LINUX, hypervisor="gvisor"), LINUX, "it is not gvisor"),
        ("musl", replace(LINUX, libc="musl"), LINUX, "it is not linux-musl"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU),
         replace(LINUX, distribution=UBUNTU, libc="musl"), "its C library is musl"),
        ("freebsd", FREEBSD, replace(FREEBSD, release="13.4-RELEASE"), "not FreeBSD 14"),
        ("freebsd15", replace(FREEBSD, release="15.0-RELEASE"), FREEBSD, "not FreeBSD 15"),
        ("freebsd", FREEBSD, replace(FREEBSD, release="140.1"), "not FreeBSD 14"),
        ("python3.9", replace(describe(""), python="CPython 3.9.18"),
         replace(describe(""), python="CPython 3.10.1"), "its Python is CPython 3.10.1"),
        ("here", describe(""), FREEBSD, "it is not this host"),
    ],
)  # fmt: skip
def test_a_report_of_another_platform(
    name: str, right: Platform, wrong: Platform, said: str
) -> None:
    cell = load_cells()[name]
    assert cell.explain_mismatch(right) == ""
    assert said in cell.explain_mismatch(wrong)


def test_every_baseline_is_of_its_cell() -> None:
    cells = load_cells()
    for path in BASELINES.glob("*.json"):
        if path.stem in cells and not cells[path.stem].is_here:
            assert cells[path.stem].explain_mismatch(Report.load(path).environment) == ""


def test_a_platform_that_is_not_what_it_is_called(work: Workplace) -> None:
    work.cells.write_text('[cell.bsd]\nways = ["here"]\nplatform = "freebsd"\n')
    done = work.run("--allow-missing", "bsd")
    assert done.returncode == 3
    assert "which is not bsd: it is not freebsd" in done.stdout


def test_the_oldest_python_is_held_against_its_own_baseline(work: Workplace) -> None:
    work.cell("old", "here:oldest")
    assert work.run("--no-selftest", "old").returncode == 0
    report = Report.load(work.results("old") / "report.json")
    minor = ".".join(report.environment.python.split()[1].split(".")[:2])
    (work.folder / "baselines").mkdir()
    report.save(work.folder / "baselines" / f"python{minor}.json")
    done = work.run("old")
    assert done.returncode == 0, done.stdout
    assert "0 changed" in done.stdout
    tried = f"no selftest: Python {minor}" if minor in ("3.9", "3.10") else "selftest 3/3"
    assert tried in done.stdout


def test_without_execnet_it_says_so(work: Workplace) -> None:
    work.cell("box", "here")
    work.command.insert(1, "-S")  # What is installed beside Python is not seen.
    for done in (work.run("box"), work("doctor", "box")):
        assert done.returncode == 3
        (line,) = done.stdout.splitlines()
        assert line.endswith(
            f"execnet is not installed: {sys.executable} -m pip install 'execnet>=2.1'"
        )
    # What the platform lacks is said first, and is all that there is to do about it.
    work.cell("none", "here:python9.9")
    assert work.run("none").stdout == "none  MISSING no working python9.9 on the PATH: install it\n"
    # One that is missing may be skipped; that this Python lacks execnet may not.
    assert work.run("--allow-missing", "none").returncode == 0
    assert work.run("--allow-missing", "box").returncode == 3


def test_execnet_that_cannot_be_installed(work: Workplace) -> None:
    work.cell("box", "here")
    work.cell("none", "here:python9.9")
    work.command.insert(1, "-S")
    work.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_TARGET": str(work.scratch)}
    done = work.run("--install", "box", "none")
    assert done.returncode == 3
    assert "none: installing execnet" not in done.stderr
    assert "box: installing execnet" in done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["none"].startswith("MISSING no working python9.9")
    assert re.search(
        r"FAILED execnet cannot be installed \(.*\); on a network: .* -m pip install", said["box"]
    )


def test_without_a_network_a_box_that_is_not_there_is_missing_at_once(work: Workplace) -> None:
    nowhere = "http://127.0.0.1:1/debian"
    work.environment |= {
        "MATRIX_CACHE": str(work.folder / "cache"), "MATRIX_MIRROR": nowhere,
        "VAGRANT_HOME": str(work.folder), "VAGRANT_SERVER_URL": nowhere, "no_proxy": "127.0.0.1",
    }  # fmt: skip
    work.cell("box", "here")
    for cell in ("freebsd", "debian32", "debian32-userland"):
        done = work.run(cell)
        assert done.returncode == 3
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{cell}  MISSING ")
        assert (
            "apt-get install" in line or "127.0.0.1 cannot be reached (Connection refused)" in line
        )
        # Nothing was begun.
        assert "fetching" not in done.stderr
    assert "or by qemu: " in work.run("debian32").stdout


def test_the_doctor_says_what_it_takes(work: Workplace) -> None:
    work.cell("box", "here")
    work.environment["MATRIX_CACHE"] = str(work.folder / "cache")
    work.environment["VAGRANT_HOME"] = str(work.folder / "vagrant")
    for row in json.loads(work("doctor", "--json").stdout):
        way, note = row["way"], row["note"]
        if row["runs"] and way in ("musl", "chroot:debian32", "qemu:debian32"):
            assert "is built at first use" in note
        if row["runs"] and way in ("vagrant:ubuntu", "vagrant:freebsd"):
            assert "needs a download" in note
        if row["runs"] and way.startswith(("vagrant", "qemu")):
            assert "with KVM" in note or "emulated, as " in note


def test_a_box_that_vagrant_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path))
    assert not vagrant._has_box("freebsd", "libvirt")
    (tmp_path / "boxes/roboxes-VAGRANTSLASH-freebsd14/4.3.12/amd64/libvirt").mkdir(parents=True)
    assert vagrant._has_box("freebsd", "libvirt")
    assert not vagrant._has_box("freebsd", "virtualbox")
    assert not vagrant._has_box("freebsd13", "libvirt")


@pytest.fixture
def blank() -> Iterator[Workplace]:
    """One whose path has a blank; and which gVisor, that gives root up, may enter."""
    with tempfile.TemporaryDirectory(prefix="a blank ") as name:
        os.chmod(name, 0o755)
        yield Workplace(Path(name))


def test_a_temporary_folder_with_a_blank(blank: Workplace) -> None:
    blank.cell("box", "here")
    done = blank.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


@needs("runsc")
def test_gvisor_and_a_temporary_folder_with_a_blank(blank: Workplace) -> None:
    blank.cell("box", "runsc")
    doctor = blank("doctor", "box")
    if doctor.returncode:
        pytest.skip(doctor.stdout)
    done = blank.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


def test_on_an_old_python_it_says_so() -> None:
    paths = [path for name in ("python3.9", "python3.10") for path in pythons._find_programs(name)]
    old = [path for path in paths if pythons._is_working(path)]
    if not old:
        pytest.skip("needs a Python 3.9 or 3.10 on the PATH or of pyenv: install one")
    command = [old[0], "-m", "matrix", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("matrix: needs Python 3.11 or newer; this is 3.")


def test_one_bad_cell_fails_the_run(work: Workplace) -> None:
    work.cell("good", "here")
    work.cell("none", "here:python9.9")
    for jobs in ("1", "2"):
        done = work.run("--no-selftest", "--jobs", jobs, "--json", "none", "good")
        assert done.returncode == 3, done.stderr
        outcomes = {each["cell"]: each for each in json.loads(done.stdout)}
        assert {name: each["status"] for name, each in outcomes.items()} == {"none": 3, "good": 0}
        assert outcomes["none"]["missing"] is True
        assert "no working python9.9" in outcomes["none"]["line"]
    done = work.run("--no-selftest", "--allow-missing", "none", "good")
    assert done.returncode == 0, done.stdout


def test_only_what_cannot_be_had_is_skipped(work: Workplace) -> None:
    """A platform that is there and fails is no missing one."""
    bad = work.folder / "python-bad"
    bad.write_text("#!/bin/sh\n[ \"$2\" = '' ] && exit 0\nexit 7\n")
    bad.chmod(0o755)
    work.environment["PATH"] = f"{work.folder}:{os.environ['PATH']}"
    work.cell("box", "here:python-bad")
    done = work.run("--allow-missing", "box")
    assert done.returncode == 3
    assert "box  here  FAILED no Python answered" in done.stdout


def test_results_that_cannot_be_written(work: Workplace) -> None:
    work.cell("box", "here")
    done = work("run", "--results", "/dev/null/x", "box")
    assert done.returncode == 3
    assert done.stdout == "box  FAILED /dev/null/x: Not a directory\n"
    (work.results("box") / "report.json").mkdir(parents=True)
    done = work.run("box")
    assert done.returncode == 3
    assert "report.json: Is a directory" in done.stdout


def test_a_broken_baseline_is_unreadable_input(work: Workplace) -> None:
    work.cell("box", "here")
    (work.folder / "baselines").mkdir()
    (work.folder / "baselines" / "box.json").write_text("{")
    done = work.run("--no-selftest", "box")
    assert done.returncode == 2
    assert "box.json: not JSON" in done.stdout


def test_nothing_measured_is_no_pass(here: Report) -> None:
    facts = {fact.id: replace(fact, status=BLOCKED, value=None, reason="-") for fact in here}
    cell = Cell("box", (("here", ""),), baselines="/nowhere")
    with pytest.raises(CommandError, match="nothing was measured") as raised:
        compare_with_baseline(
            cell, Report(here.environment, facts), CellOutcome("box"), (), require_all=False
        )
    assert raised.value.status == 3


def test_what_is_not_up_is_not_kept(work: Workplace) -> None:
    work.cell("box", "here")
    work.cell("none", "here:python9.9")
    work.run("--keep", "--no-selftest", "box", "none")
    assert os.listdir(work.scratch) == []


def _until_it_measures(
    work: Workplace, then: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str]:
    with subprocess.Popen(
        [*work.command, "run", "--results", str(work.folder / "results"), "box"],
        cwd=ROOT, env=work.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        read_until(process, "box: measuring")
        then(process)
        said = process.stdout.read()
        status = process.wait(60)
    until = time.monotonic() + 20
    # The far end removes its own, a moment after the near end is gone.
    while os.listdir(work.scratch):
        assert time.monotonic() < until, os.listdir(work.scratch)
        time.sleep(0.01)
    return status, said


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_everything_down(work: Workplace, signum: int) -> None:
    work.cell("box", "here")
    below: list[int] = []

    def interrupt(process: subprocess.Popen[str]) -> None:
        below.extend(descendants(process.pid))
        process.send_signal(signum)

    status, said = _until_it_measures(work, interrupt)
    assert status == 130
    assert "interrupted" in said
    until = time.monotonic() + 20
    while left := [pid for pid in below if runs(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_is_told_of_every_cell(work: Workplace, signum: int) -> None:
    """Also of those that had not begun; and a second one is one too many."""
    for name in ("one", "two", "three"):
        work.cell(name, "here")
    results = ("--results", str(work.folder / "results"))
    with subprocess.Popen(
        [*work.command, "run", *results, "--jobs", "1", "one", "two", "three"],
        cwd=ROOT, env=work.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert read_until(process, "one: measuring").count("\n") == 1
        process.send_signal(signum)
        process.send_signal(signum)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "matrix: interrupted; not finished: one, two, three; "
        "the same command measures all its cells again"
    )
    assert said.splitlines() == [
        "one    here  FAILED interrupted",
        "two    FAILED interrupted before it began",
        "three  FAILED interrupted before it began",
    ]
    until(lambda: not os.listdir(work.scratch))


@needs_linux
def test_an_interrupt_before_it_begins(work: Workplace) -> None:
    """While it imports: by a module that asks to be interrupted."""
    module = work.folder / "tomllib.py"
    module.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    work.environment["PYTHONPATH"] = str(work.folder)
    work.cell("box", "here")
    done = work.run("box")
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


@needs_linux
def test_a_platform_that_dies_in_the_middle(work: Workplace) -> None:
    work.cell("box", "here")

    def kill(process: subprocess.Popen[str]) -> None:
        children = descendants(process.pid)
        (cell,) = children[process.pid]
        (far_end,) = children[cell]
        # With all it runs, or is about to run: that would write its compiled modules anew.
        for pid in _stopped(far_end):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Nobody is left to remove what it had.
        for path in work.scratch.glob("matrix-*"):
            if path.name != "matrix-box":
                subprocess.run(["rm", "-rf", str(path)], check=False)

    status, said = _until_it_measures(work, kill)
    assert status == 3
    assert "lost the connection" in said


def _stopped(pid: int) -> set[int]:
    """Yield a process and all below it, stopped, so that none starts another."""
    stopped: set[int] = set()

    def look_again() -> bool:
        """Whether that were all.  One that was missed may have sent SIGCONT to the others."""
        before = set(stopped)
        stopped.update(each for each in descendants(pid) if runs(each))
        for each in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        # D: its vfork() waits for a child that is stopped itself, and it stops with the return.
        return stopped == before and all(state(each) in "TtDZ" for each in stopped)

    until(look_again)
    return stopped


def test_a_slow_far_end_is_not_kept_from_removing_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """execnet interrupts one that takes more than five seconds, as on a busy machine."""
    remove = shutil.rmtree

    def interrupted(path: str, ignore_errors: bool) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        remove(path, ignore_errors)

    class Channel(list[object]):
        """One without a request."""

        def send(self, answer: object) -> None: ...

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        remote_agent.serve(Channel())  # type: ignore[no-untyped-call]
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def test_what_a_guest_runs_is_plain() -> None:
    """No shell of Linux's, no /proc: FreeBSD has neither."""
    assert remote_agent.__file__
    text = Path(remote_agent.__file__).read_text()
    for word in ("bash", "/proc", "shell=True", "os.system"):
        assert word not in text


def test_the_manuals_commands_run(tmp_path: Path) -> None:
    block = read_block("Other platforms: matrix", "sh")
    commands = block.splitlines()[1:]  # The first makes the environment.
    assert len(commands) == 4
    for line in commands:
        command = line.partition("#")[0].replace(".matrix/bin/python", sys.executable).strip()
        if " -o " in command:
            before, _, after = command.partition(" -o ")
            command = f"{before} -o {tmp_path}/{after}"
        elif " run " in command:
            # Whatever this host is, its own baseline is none yet.
            command = command.replace(
                "matrix run", f"matrix --baselines {tmp_path} run --results {tmp_path}/results"
            )
        done = subprocess.run(
            ["sh", "-ec", command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "facts.md").stat().st_size > 1000
    assert (tmp_path / "atlas.html").stat().st_size > 10000
