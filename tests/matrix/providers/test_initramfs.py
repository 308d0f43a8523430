"""Test cells of guests that boot from an initramfs, with stand-ins for mmdebstrap and QEMU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.errors import Unavailable
from matrix.providers import _initramfs
from tests.matrix.guest import Stage, make_root
from tests.matrix.workplace import Workplace, read_until
from tests.needs import needs
from tests.papaya.conftest import until
from tests.worlds import needs_linux, needs_root

pytestmark = needs_linux

WAY = "qemu:debian:bookworm:s390x"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(Workplace(tmp_path))
    stage.work.cell("box", WAY)
    yield stage
    if stage.is_running():
        os.kill(int(stage.pid.read_text()), signal.SIGKILL)


def test_a_guest_is_measured_tested_and_switched_off(stage: Stage) -> None:
    done = stage.work.run("box")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "box  qemu/emulated  " in done.stdout
    assert "no baseline, selftest 3/3" in done.stdout
    assert "box: starting it, emulated (another processor)" in done.stderr
    assert not stage.is_running()


def fail(stage: Stage, status: int = 3) -> str:
    """Run the cell, which must fail; return its line."""
    done = stage.work.run("box")
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stdout.splitlines()
    assert not stage.is_running()
    return line


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "sys.exit('qemu-system-s390x: unsupported machine type')",
            "QEMU did not start: qemu-system-s390x: unsupported machine type",
        ),
        ("sys.exit(1)", "QEMU did not start: no message"),
        (
            "say('\\x1b[31mbooting\\r\\nKernel panic - not syncing: VFS\\r\\n---'); sys.exit()",
            "the guest ended during the boot: Kernel panic - not syncing: VFS",
        ),
        (
            "say('Traceback'); say('init: the channel ended with status 127'); "
            "say('[   80.176379] reboot: Power down'); sys.exit()",
            "the guest ended during the boot: init: the channel ended with status 127",
        ),
        (
            "open('console.log', 'wb').write(bytes(range(256)) * 9); sys.exit()",
            "the guest ended during the boot: ",
        ),
    ],
)
def test_a_guest_that_does_not_boot(stage: Stage, before: str, said: str) -> None:
    stage.make_qemu(before)
    assert said in fail(stage)


def test_a_guest_that_is_never_ready(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_initramfs, "_TCG_LIMIT", 0.5)
    for name, value in stage.work.environment.items():
        monkeypatch.setenv(name, value)
    stage.make_qemu("say('waiting for the root device'); time.sleep(1000)")
    folder = tmp_path / "guest"
    folder.mkdir()
    guest = _initramfs.InitramfsGuest("bookworm:s390x", str(folder), lambda line: None)
    try:
        with pytest.raises(Unavailable, match="not ready within 0 s: waiting for the"):
            guest.up()
    finally:
        guest.down()
    guest.down()
    assert not stage.is_running()


def test_a_guest_that_is_killed_in_the_middle(stage: Stage) -> None:
    with stage.work.start_run("box") as process:
        read_until(process, "box: measuring")
        os.killpg(int(stage.pid.read_text()), signal.SIGKILL)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 3, said + errors
    assert "lost the connection" in said
    # The lab of this guest is a process of this host, which goes on; only that remains.
    assert not list(stage.work.scratch.glob("matrix-box-*"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("mmdebstrap", "box: fetching"),
        ("boot", "box: starting it"),
        ("measure", "box: measuring"),
    ],
)
def test_an_interrupt_leaves_nothing(
    stage: Stage, where: str, words: str, signum: signal.Signals
) -> None:
    if where == "mmdebstrap":
        stage.make_mmdebstrap("exec sleep 1000")
    if where == "boot":
        stage.make_qemu("time.sleep(1000)")
    with stage.work.start_run("box") as process:
        read_until(process, words)
        if where == "boot":
            until(stage.pid.exists)
        process.send_signal(signum)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "Traceback" not in errors
    assert said == "box  qemu/emulated  FAILED interrupted\n" or said == "box  FAILED interrupted\n"
    until(lambda: not stage.is_running())
    until(lambda: not os.listdir(stage.work.scratch))


def test_a_clock_that_is_wrong(stage: Stage) -> None:
    """The guest's Python believes that it is 1970."""
    long_ago = "import time; time.time = lambda: 5.0; "
    stage.make_qemu(then=f"GATEWAY = {long_ago!r} + GATEWAY")
    assert "its clock is off by -" in fail(stage)


def test_a_guest_whose_python_does_not_run(stage: Stage) -> None:
    stage.make_qemu(then="channel.close(); continue")
    assert "no Python answered" in fail(stage)


def test_without_qemu(stage: Stage) -> None:
    (stage.programs / "qemu-system-s390x").unlink()
    stage.work.environment["PATH"] = str(stage.programs)
    assert fail(stage) == (
        "box  MISSING qemu-system-s390x is not installed: apt-get install qemu-system-misc"
    )


def test_an_unknown_architecture(stage: Stage) -> None:
    stage.work.cell("other", "qemu:debian:bookworm:s390")
    done = stage.work.run("other")
    assert done.returncode == 3
    assert "unknown architecture 's390'; choose from amd64, " in done.stdout


def test_a_guest_that_is_kept(stage: Stage) -> None:
    done = stage.work.run("box", "--keep", "--no-selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    pid = int(stage.pid.read_text())
    assert f"to end it: kill {pid}; rm -r " in done.stdout + done.stderr
    assert stage.is_running()


@needs("unshare")
@needs_root
@pytest.mark.parametrize("full", ["cache", "scratch"])
def test_a_full_disk_of_the_host(stage: Stage, full: str) -> None:
    """The box does not fit into the cache, or the guest's initramfs not into the scratch folder."""
    (stage.programs / "root.tar").write_bytes(make_root({"./usr/bin/large": os.urandom(1 << 20)}))
    small = stage.cache if full == "cache" else stage.work.scratch
    small.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o size=512k tmpfs {small} && exec "$@"'
    stage.work.command[:0] = ["unshare", "-m", "sh", "-c", mount, "sh"]
    line = fail(stage)
    assert "No space left on device" in line
    assert line.startswith("box  MISSING" if full == "cache" else "box  FAILED")
