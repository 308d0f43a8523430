"""What can go wrong with real guests: one clear line, the status, and nothing left.

Minutes long, so not among the tests that run by default: ``tox -e guests``.  As root, with
Vagrant, libvirt and the box debian32.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from probes import Report
from tests.matrix.reports import WIDTHS
from tests.matrix.workplace import ROOT, Workplace, read_until
from tests.papaya.conftest import descendants

VIRSH = ("virsh", "-q", "-c", "qemu:///system")


def virsh(*arguments: str) -> list[str]:
    """Return the words that a command lists."""
    done = subprocess.run([*VIRSH, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


def guests() -> set[str]:
    """Everything libvirt has of ours: guests and their disks."""
    words = [*virsh("list", "--all", "--name"), *virsh("vol-list", "default")]
    return {Path(word).name for word in words if word.startswith("papaya-lab-")}


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = guests()
    yield
    assert guests() == before


@dataclass
class Guest:
    """One that Vagrant brought up and that was kept."""

    config: str
    """For ssh."""
    work: Workplace
    end: str
    """The command that ends it, as the matrix says it."""

    def __call__(self, script: str) -> str:
        """Run it there as root."""
        command = ["ssh", "-F", self.config, "debian32", f"sudo sh -c {shlex.quote(script)}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout.strip()

    def measured(self, work: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Measure it as any host one reaches by ssh."""
        work.cell("box", f"ssh:-F {self.config} debian32")
        return work.run("--no-selftest", *arguments, "box")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    work = Workplace(tmp_path_factory.mktemp("guest"))
    work.cell("guest", "vagrant:debian32")
    done = work.run("--keep", "--no-selftest", "guest")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"kept: ssh -F (\S+) debian32; to end it: (.*)", done.stderr)
    assert found, done.stderr
    up = Guest(found[1], work, found[2])
    try:
        yield up
    finally:
        subprocess.run(up.end, shell=True, check=True, cwd=ROOT, capture_output=True)


def test_a_32_bit_system_differs_where_it_must(guest: Guest) -> None:
    report = Report.load(guest.work.results("guest") / "report.json")
    assert (report.environment.machine, report.environment.pointer_bits) == ("i686", 32)
    assert report.environment.emulated_32_bit is False
    assert report.later["way"] == "vagrant/libvirt"
    assert {id: report[id].value for id in WIDTHS} == WIDTHS


def test_no_python(guest: Guest, work: Workplace) -> None:
    guest("cd /usr/bin && mkdir aside && mv python3* aside/")
    try:
        done = guest.measured(work)
    finally:
        guest("cd /usr/bin && mv aside/* . && rmdir aside")
    assert done.returncode == 3
    assert "has no Python 3; install" in done.stdout


def test_a_clock_that_is_wrong(guest: Guest, work: Workplace) -> None:
    guest("date -s @1000000000")
    try:
        done = guest.measured(work)
    finally:
        guest(f"date -s @{time.time():.0f}")
    assert done.returncode == 3
    assert re.search(r"its clock is off by -\d+ s; set it", done.stdout), done.stdout


def test_a_full_disk(guest: Guest, work: Workplace) -> None:
    guest("cat /dev/zero >/full 2>/dev/null || true")
    try:
        done = guest.measured(work)
    finally:
        guest("rm /full")
    assert done.returncode == 3
    (line,) = done.stdout.splitlines()
    assert "its disk is full" in line or "No space left on device" in line
    assert guest("ls -d /tmp/matrix-* 2>/dev/null || true") == ""


def test_it_is_measured_as_before(guest: Guest, work: Workplace) -> None:
    """After all that, by another way: the same facts."""
    assert guest.measured(work).returncode == 0
    before = Report.load(guest.work.results("guest") / "report.json")
    after = Report.load(work.results("box") / "report.json")
    differing = {
        id: (fact.answer, after[id].answer)
        for id, fact in before.facts.items()
        # One was root there and the other is not.
        if after[id].status == "measured" and after[id].value != fact.value
    }
    assert {id for id in differing if before[id].scope == "inherent"} == set()


@contextlib.contextmanager
def running(work: Workplace, *ways: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run of a cell ``box`` in the background."""
    work.cell("box", *ways)
    with work.start_run("box") as process:
        try:
            yield process
        finally:
            process.kill()


def ended(work: Workplace, process: subprocess.Popen[str], below: list[int]) -> tuple[int, str]:
    """Its status and its line; nothing of it is left."""
    said, errors = process.communicate(timeout=240)
    assert "Traceback" not in errors
    limit = time.monotonic() + 30
    while left := [pid for pid in below if Path(f"/proc/{pid}").exists()] + os.listdir(
        work.scratch
    ):
        assert time.monotonic() < limit, left
        time.sleep(0.05)
    return process.returncode, said


@pytest.mark.parametrize(
    ("way", "stage"),
    [
        ("vagrant:debian32", "Creating domain"),
        ("vagrant:debian32", "Waiting for domain to get an IP address"),
        ("qemu:debian32", "starting it"),
        ("qemu:debian32", "measuring"),
        ("chroot:debian32", "measuring"),
        ("chroot:debian32", "selftest of"),
    ],
)
def test_an_interrupt(work: Workplace, way: str, stage: str) -> None:
    with running(work, way) as process:
        read_until(process, stage)
        below = list(descendants(process.pid))
        process.send_signal(signal.SIGINT)
        status, said = ended(work, process, below)
    assert status == 130, said
    (line,) = said.splitlines()
    assert "interrupted" in line


def test_a_guest_that_dies_in_the_middle(work: Workplace) -> None:
    before = {*virsh("list", "--name")}
    with running(work, "vagrant:debian32") as process:
        read_until(process, "measuring")
        (name,) = {*virsh("list", "--name")} - before
        virsh("destroy", name)
        below = list(descendants(process.pid))
        status, said = ended(work, process, below)
    assert status == 3
    assert "lost the connection" in said


def test_a_qemu_that_dies_while_it_starts(work: Workplace) -> None:
    with running(work, "qemu:debian32") as process:
        read_until(process, "starting it")
        limit = time.monotonic() + 30
        found: list[int] = []
        while not found:
            assert time.monotonic() < limit
            for pid in descendants(process.pid):
                with contextlib.suppress(OSError):
                    if "qemu-system" in Path(f"/proc/{pid}/comm").read_text():
                        found.append(pid)
        os.kill(found[0], signal.SIGKILL)
        status, said = ended(work, process, found)
    assert status == 3
    assert "ended while it started" in said or "QEMU did not start" in said


def test_a_box_that_cannot_be_fetched(work: Workplace) -> None:
    """Of a name nobody has: a private Vagrant that knows no box, and no server to ask."""
    work.environment |= {
        "VAGRANT_HOME": str(work.folder / "vagrant"),
        "VAGRANT_SERVER_URL": "http://127.0.0.1:1",
    }
    work.cell("box", "vagrant:ubuntu")
    done = work.run("box")
    assert done.returncode == 3
    (line,) = done.stdout.splitlines()
    assert re.search(
        r"not here, and 127.0.0.1 cannot be reached .*; on a network: vagrant box add", line
    )


def test_a_box_that_cannot_be_built(work: Workplace) -> None:
    """No box in the cache, and not the program that makes one."""
    programs = work.folder / "bin"
    programs.mkdir()
    for name in ("qemu-system-i386", "ssh", "sh", "uname"):
        path = subprocess.check_output(["sh", "-c", f"command -v {name}"], text=True).strip()
        (programs / name).symlink_to(path)
    work.environment |= {"PATH": str(programs), "MATRIX_CACHE": str(work.folder / "cache")}
    work.cell("box", "qemu:debian32")
    done = work.run("box")
    assert done.returncode == 3
    assert "apt-get install" in done.stdout, done.stdout
