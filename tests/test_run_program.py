"""Programs that the lab runs: started, read, ended."""

from __future__ import annotations

import errno
import os
import select
import signal
from pathlib import Path

import pytest

from probes import run_program
from probes.probe import Blocked


@pytest.fixture(params=["posix_spawnp", "fork"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start programs as CPython does, and as a Python without posix_spawnp() does."""
    monkeypatch.setattr(run_program, "_HAS_SPAWN", request.param == "posix_spawnp")


@pytest.mark.usefixtures("start")
def test_output_and_status() -> None:
    script = "echo out; echo err >&2; cat; exit 3"
    status, said = run_program.run(["sh", "-c", script])
    assert (os.WEXITSTATUS(status), said) == (3, "out\n")
    _, said = run_program.run(["sh", "-c", script], errors_too=True)
    assert said == "out\nerr\n"
    _, said = run_program.run(["sh", "-c", "echo $A"], environment={**os.environ, "A": "word"})
    assert said == "word\n"


@pytest.mark.usefixtures("start")
def test_the_program_begins_with_signals_at_their_default() -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    status, _ = run_program.run(["sh", "-c", "kill -PIPE $$"])
    assert os.WTERMSIG(status) == signal.SIGPIPE


@pytest.mark.usefixtures("start")
def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        run_program.run(["/nonexistent/program"])
    assert missing.value.filename == "/nonexistent/program"
    (tmp_path / "file").touch(mode=0o644)
    with pytest.raises(PermissionError):
        run_program.run([str(tmp_path / "file")])
    before = os.listdir("/dev/fd")
    with pytest.raises(FileNotFoundError):
        run_program.run(["/nonexistent/program"])
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.usefixtures("start")
def test_a_program_that_does_not_end_is_killed_with_its_children() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    with pytest.raises(TimeoutError, match=r"did not end within 0\.5 s"):
        run_program.run(["sh", "-c", "while :; do sleep 1000 & wait; done"], seconds=0.5)
    os.close(writing)
    # The pipe ends when the last process that holds it does.
    assert select.select([reading], [], [], 60)[0]
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.usefixtures("start")
def test_without_a_null_device_an_empty_file_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "devnull", "/nonexistent/null")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # What goes to standard error does not come back by standard input.
    _, said = run_program.run(["sh", "-c", "echo error >&2; echo out; cat"])
    assert said == "out\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("start")
def test_a_limit_of_processes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the next program of a probe may find it, though its first was started."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawnp", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir("/dev/fd")
    with pytest.raises(Blocked, match="too few processes"):
        run_program.run(["sh"])
    assert len(os.listdir("/dev/fd")) == len(before)
