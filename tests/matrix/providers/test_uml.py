"""Test User-mode Linux: with a stand-in for its kernel, and the real one."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.boxes import debian
from matrix.providers.uml import Uml
from probes import Report
from probes.fact import FAULTS
from tests.matrix.guest import Stage
from tests.matrix.workplace import Workplace, read_until
from tests.needs import needs
from tests.papaya.conftest import until
from tests.worlds import needs_linux

pytestmark = [
    needs_linux,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="Debian has it for x86_64 only"),
]

WAY = "uml:debian:bookworm"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(Workplace(tmp_path))
    stage.work.cell("box", WAY)
    stage.make_uml()
    yield stage
    if stage.is_running():
        os.kill(int(stage.pid.read_text()), signal.SIGKILL)


def test_a_guest_is_measured_tested_and_switched_off(stage: Stage) -> None:
    done = stage.work.run("box", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "box  uml  " in done.stdout
    assert "no baseline, selftest 3/3" in done.stdout
    # It ends with its channel, so it cannot be kept.
    assert os.listdir(stage.work.scratch) == []
    until(lambda: not stage.is_running())


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "sys.exit('ptrace: Operation not permitted')",
            "User-mode Linux did not start: ptrace: Operation not permitted",
        ),
        (
            "say('Kernel panic - not syncing: VFS'); say('---'); sys.exit(1)",
            "the guest ended during the boot: Kernel panic - not syncing: VFS",
        ),
        (
            "say('init: the channel ended with status 127'); say('sysrq: Power Off'); "
            "say('reboot: Power down'); sys.exit()",
            "the guest ended during the boot: init: the channel ended with status 127",
        ),
    ],
)
def test_a_guest_that_does_not_boot(stage: Stage, before: str, said: str) -> None:
    stage.make_uml(before)
    done = stage.work.run("box")
    assert done.returncode == 3, done.stdout + done.stderr
    assert said in done.stdout
    until(lambda: not stage.is_running())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["box: starting it", "box: measuring"])
def test_an_interrupt_leaves_nothing(stage: Stage, words: str, signum: signal.Signals) -> None:
    if words == "box: starting it":
        stage.make_uml("import time; time.sleep(1000)")
    with stage.work.start_run("box") as process:
        read_until(process, words)
        until(stage.pid.exists)
        process.send_signal(signum)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "Traceback" not in errors
    until(lambda: not stage.is_running())
    until(lambda: not os.listdir(stage.work.scratch))


def test_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: Stage) -> None:
    def explain(argument: str) -> str:
        return Uml(argument, str(tmp_path), print).explain_lack()

    assert explain("debian32") == "unknown guest 'debian32'; write uml:debian:RELEASE"
    assert explain("debian:jessie").startswith("unknown release 'jessie'; choose from bookworm")
    with monkeypatch.context() as patch:
        patch.setattr("platform.machine", lambda: "aarch64")
        assert explain("debian:bookworm").endswith(
            "runs on Linux x86_64, and this is Linux aarch64"
        )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert explain("debian:bookworm") == (
        "linux.uml is not installed: apt-get install user-mode-linux"
    )


class TestReal:
    """Minutes long if the box is not in the cache: then only with REQUIRE_ALL."""

    pytestmark = [
        needs("linux.uml", "mmdebstrap"),
        pytest.mark.skipif(
            not debian.find_built("bookworm:amd64") and not os.environ.get("REQUIRE_ALL"),
            reason="the box is not in the cache: python3 -m matrix box debian:bookworm:amd64",
        ),
    ]

    def test_the_lab_and_the_chat_run_on_it(self, tmp_path: Path) -> None:
        work = Workplace(tmp_path)
        work.cell("box", WAY)
        done = work.run("box")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no baseline, selftest 3/3" in done.stdout
        report = Report.load(work.results("box") / "report.json")
        assert report.environment.distribution.startswith("Debian GNU/Linux 12")
        assert [fact.id for fact in report if fact.status in FAULTS] == []
        until(lambda: not find_processes(work))

    def test_nothing_is_left_when_it_is_killed(self, tmp_path: Path) -> None:
        """Neither the program nor its child, which holds the pipes, gets to clean up."""
        work = Workplace(tmp_path)
        work.cell("box", WAY)
        with work.start_run("--no-selftest", "box") as process:
            read_until(process, "box: measuring")
            (guest,) = {os.getpgid(one) for one in find_processes(work)}
            cell = int(Path(f"/proc/{guest}/stat").read_text().rpartition(")")[2].split()[1])
            process.kill()
            os.kill(cell, signal.SIGKILL)
            until(lambda: not find_processes(work))


def find_processes(work: Workplace) -> list[int]:
    """Return the processes of this host that run for a guest."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(work.scratch) and (
                (entry / "exe").readlink().name == "linux.uml"
            ):
                found.append(int(entry.name))
    return found
