"""Becoming a daemon: the pid file, and root."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from papaya.server import daemonize
from probes.errors import CommandError
from tests.worlds import ROOT, needs_root


def test_a_pid_file_is_held_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("what one left that was killed")
    held = daemonize.write_pid(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(CommandError, match=f"already running as process {os.getpid()}"):
        daemonize.write_pid(str(path))
    daemonize.remove_pid(str(path), held)
    os.close(held)
    assert not path.exists()


def test_a_pid_file_that_was_removed_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pid"
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        path.unlink()  # The process that held it ends at this moment.
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    held = daemonize.write_pid(str(path))
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)


@pytest.mark.parametrize("kind", ["link", "name", "folder", "fifo"])
def test_a_pid_file_that_may_be_anothers_is_refused(kind: str, tmp_path: Path) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    other.write_text("precious")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "name":
        path.hardlink_to(other)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(CommandError, match=rf"^{path}: ") as raised:
        daemonize.write_pid(str(path))
    assert raised.value.status == 3
    assert other.read_text() == "precious"


@needs_root
def test_a_pid_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1")
    os.chown(path, 65534, 65534)
    with pytest.raises(CommandError, match="belongs to user 65534"):
        daemonize.write_pid(str(path))
    assert path.read_text() == "1"


@needs_root
@pytest.mark.parametrize("how", ["setresuid", "setuid"])
@pytest.mark.parametrize("ids", ["0, 0, 0", "0, 65534, 0", "65534, 65534, 0", "0, 65534, 65534"])
def test_root_is_given_up_whichever_id_it_is(ids: str, how: str) -> None:
    program = f"""if True:
        import os
        from papaya.server.daemonize import drop_root
        os.setgroups([0])
        os.setresuid({ids})
        drop_root("nobody", "{how}")
        print(os.getresuid(), os.getresgid(), os.getgroups())
    """
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{(65534,) * 3} {(65534,) * 3} [65534]\n", done.stderr
