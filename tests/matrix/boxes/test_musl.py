"""The box musl where it cannot be built; that it can, and what is measured, `tests/guests` has."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from matrix.boxes import musl
from tests.matrix.workplace import ROOT, Workplace

needs_what_it_is_built_with = pytest.mark.skipif(
    bool(musl.explain_lack()), reason=musl.explain_lack()
)


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    work = Workplace(tmp_path)
    work.environment["MATRIX_CACHE"] = str(tmp_path / "cache")
    return work


def left(work: Workplace) -> list[str]:
    """Return what the cache has of it."""
    return [path.name for path in (work.folder / "cache").iterdir()]


def test_what_is_missing_is_said_with_its_package(work: Workplace) -> None:
    work.environment["PATH"] = str(work.folder)
    work.cell("box", "musl")
    done = work.run("box")
    assert done.returncode == 3
    assert "dpkg-source, gcc, make, musl-gcc" in done.stdout
    _, _, packages = done.stdout.partition("apt-get install ")
    assert {"dpkg-dev", "gcc", "make", "musl-tools"} <= set(packages.split())
    assert done.stdout.count("\n") == 1


@needs_what_it_is_built_with
def test_a_mirror_that_has_nothing(work: Workplace) -> None:
    work.environment["MATRIX_MIRROR"] = f"file:{work.folder}/nowhere"
    done = work("box", "musl")
    assert done.returncode == 3
    *_, said = done.stderr.splitlines()
    assert said.startswith("matrix: musl cannot be built: apt-get: E: "), done.stderr
    assert left(work) == ["musl.lock"]


def _first_request(mirror: socket.socket) -> socket.socket:
    """Return the first connection that asks for something: before it comes the look if one can."""
    while True:
        asking, _ = mirror.accept()
        asking.settimeout(60)
        if asking.recv(1 << 16):
            return asking
        asking.close()


@needs_what_it_is_built_with
def test_an_interrupt_leaves_nothing(work: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mirror:
        mirror.settimeout(60)
        work.environment["MATRIX_MIRROR"] = f"http://127.0.0.1:{mirror.getsockname()[1]}/"
        work.environment |= {"no_proxy": "127.0.0.1", "APT_CONFIG": "/dev/null"}
        with subprocess.Popen(
            [*work.command, "box", "musl"],
            cwd=ROOT, env=work.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        ) as process:  # fmt: skip
            with _first_request(mirror) as asking:
                # It waits for an answer that never comes, and is ended itself.
                process.send_signal(signal.SIGINT)
                while asking.recv(1 << 16):
                    pass
            said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert left(work) == ["musl.lock"]
