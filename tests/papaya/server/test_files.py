"""Files that the service may write, and those that it holds while it runs."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.protocol import make_stamp, stamp_lines
from papaya.server import files
from papaya.server.log_lock import LogLock
from papaya.server.message_log import MessageLog
from papaya.server.scoreboard import Scoreboard
from probes.errors import CommandError
from tests.worlds import ROOT, needs_root

MOST = 100
LINE = stamp_lines([b"ann: hello"], 0)
LONGEST = stamp_lines([b"x" * MOST], 0)


@pytest.mark.parametrize("kind", ["same", "symbolic link", "hard link", "folder", "descriptor"])
def test_one_file_by_two_names_is_found(kind: str, tmp_path: Path) -> None:
    path, other = tmp_path / "key", tmp_path / "other"
    path.write_text("precious")
    descriptor = os.open(path, os.O_RDONLY)
    if kind == "same":
        other = path
    elif kind == "symbolic link":
        other.symlink_to(path)
    elif kind == "hard link":
        other.hardlink_to(path)
    elif kind == "folder":
        other.symlink_to(tmp_path)
        other = other / "key"
    else:
        other = Path(f"/dev/fd/{descriptor}")
    with pytest.raises(CommandError, match="--log is the same file as --key; choose") as raised:
        files.check_distinct({"--key": str(path), "--pid-file": "/pid", "--log": str(other)})
    assert raised.value.status == 2
    os.close(descriptor)


def test_two_names_of_a_file_that_does_not_exist_yet_are_one(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    with pytest.raises(CommandError, match="same file"):
        files.check_distinct({"--log": str(tmp_path / "new"), "--pid-file": str(link)})
    files.check_distinct({"--log": str(tmp_path / "new"), "--pid-file": str(tmp_path / "pid")})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        LINE,
        b"ann: a line of papayaChat 1.0\n",
        b"x" * 1000 + b"\n",
        # The first line was torn.
        LINE[:-1],
        LONGEST[:-1],
        LINE[:21],
        # Another line was torn.
        LINE + LINE[:-1],
        LINE + LINE[:1],
        LONGEST + LONGEST[:-1],
        b"x" * 1000 + b"\n" + LINE + LONGEST[:-1],
    ],
)
def test_a_log_that_papaya_can_continue(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    files.check_log(str(path), MOST)
    assert path.read_bytes() == content
    whole = content[: content.rfind(b"\n") + 1]
    MessageLog(str(path), Scoreboard(1), LogLock("flock", 5), print).recover()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 1000,
        b"4711",  # It could be a year.
        LINE[:20],
        b"ann: hello",
        b"ann: hello\nbob: hi",
        b"ann: hello\n" + LINE[:-1],
        LINE + b"bob: hi",
        LINE + b"\0" * 50,
        LINE + LONGEST[:-1] + b"x",
        LONGEST[:-1] + b"x",
        LONGEST[:-1] + b"x\n" + LINE[:-1],
        LINE[:-1] + b"\n" + b"20x",
    ],
)
def test_a_file_with_another_end_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=f"^{path}: the last line is unfinished") as raised:
        files.check_log(str(path), MOST)
    assert raised.value.status == 3
    assert path.read_bytes() == content


@given(
    st.lists(st.binary(max_size=MOST).map(lambda b: b.replace(b"\n", b"")), max_size=4), st.data()
)
def test_every_log_that_papaya_was_killed_at_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    # A write of less than the time happens only on a full disk, when another line precedes.
    written = stamp_lines(lines, make_stamp(1e9))
    cut = data.draw(st.integers(21 if written else 0, len(written)))
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(written[:cut])
    files.check_log(str(path), MOST)


def test_a_large_log_costs_a_look_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "log", []
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    pread = os.pread

    def count(descriptor: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", count)
    with pytest.raises(CommandError):
        files.check_log(str(path), MOST)
    assert 0 < sum(read) < 1000


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("fifo", "not a regular file"),
        ("folder", "Is a directory"),
        ("missing folder", "does not exist; create it"),
        ("hard link", "has other hard links"),
        ("public", r"others can write it \(mode 0622\); chmod o-w it or change --log"),
    ],
)
def test_a_log_that_papaya_must_not_write(kind: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "missing folder":
        path = path / "log"
    else:
        path.write_bytes(LINE)
        path.chmod(0o622 if kind == "public" else 0o600)
    if kind == "hard link":
        (tmp_path / "other").hardlink_to(path)
    with pytest.raises(CommandError, match=problem) as raised:
        files.check_log(str(path), MOST)
    assert raised.value.status == 3


def test_a_log_on_another_disk_or_made_by_logrotate(tmp_path: Path) -> None:
    path, link = tmp_path / "log", tmp_path / "link"
    link.symlink_to(path)
    files.check_log(str(link), MOST)  # It does not exist yet.
    path.write_bytes(LINE)
    path.chmod(0o664)
    files.check_log(str(link), MOST)


@needs_root
@pytest.mark.parametrize("kind", ["log", "link"])
def test_a_log_of_a_third_user_is_refused(kind: str, tmp_path: Path) -> None:
    path, link = tmp_path / "log", tmp_path / "link"
    path.write_bytes(LINE)
    link.symlink_to(path)
    os.lchown(path if kind == "log" else link, 65534, 65534)
    with pytest.raises(CommandError, match="user 65534"):
        files.check_log(str(link), MOST)


HOLDER = """
import os, sys, time
from papaya.server.files import hold_file
hold_file(sys.argv[1], "--pid-file")
child = os.fork() if "fork" in sys.argv else 0  # With all descriptors that its parent has.
if child or "fork" not in sys.argv:
    print(os.getpid(), child, flush=True)
sys.stdin.read()
"""


@contextmanager
def hold_elsewhere(path: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Hold the file in another process, which ends with the ``with`` block."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout
        holding, child = map(int, holder.stdout.readline().split())
        yield holder, holding, child


def test_a_file_is_held_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("4194304\n")  # A papaya that was killed left it.
    with hold_elsewhere(path) as (_, holding, _):
        assert path.read_text() == f"{holding}\n"
        problem = f"already running as process {holding}; stop it or change --pid-file"
        with pytest.raises(CommandError, match=problem):
            files.hold_file(str(path), "--pid-file")
        assert path.read_text() == f"{holding}\n"
    held = files.hold_file(str(path), "--pid-file")
    assert path.read_text() == f"{os.getpid()}\n"
    files.release_file(str(path), held)
    assert not path.exists()


def test_a_child_that_outlives_the_holder_does_not_hold_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with hold_elsewhere(path, "fork") as (holder, _, child):
        os.kill(child, signal.SIGSTOP)
        holder.kill()
        holder.wait()
        held = files.hold_file(str(path), "--pid-file")
        os.kill(child, signal.SIGKILL)
    files.release_file(str(path), held)


def test_a_file_that_was_removed_before_the_lock_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pid"
    lockf = fcntl.lockf

    def lock_late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        path.unlink()  # The process that held it ends at this moment.
        lockf(descriptor, how)

    monkeypatch.setattr(fcntl, "lockf", lock_late)
    held = files.hold_file(str(path), "--pid-file")
    assert os.path.samestat(os.fstat(held), path.stat())
    files.release_file(str(path), held)


def test_a_file_that_replaced_it_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    held = files.hold_file(str(path), "--pid-file")
    path.unlink()
    path.write_text("1\n")
    files.release_file(str(path), held)
    assert path.read_text() == "1\n"


@pytest.mark.parametrize("kind", ["link", "name", "folder", "fifo"])
def test_a_file_that_may_be_anothers_is_not_held(kind: str, tmp_path: Path) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    other.write_text("4711")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "name":
        path.hardlink_to(other)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(CommandError, match=rf"^{path}: ") as raised:
        files.hold_file(str(path), "--pid-file")
    assert raised.value.status == 3
    assert other.read_text() == "4711"


@pytest.mark.parametrize(
    "content",
    ["precious", "1\n2\n", "12x", "0x12", "-1", "\n", " " * 40, "1" + "\n" * 40, "1" * 33],
)
def test_a_file_with_content_that_is_no_process_id_is_not_held(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    with pytest.raises(CommandError, match="not a process id; remove it or change --pid-file"):
        files.hold_file(str(path), "--pid-file")
    assert path.read_text() == content


@needs_root
def test_a_file_of_another_user_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1")
    os.chown(path, 65534, 65534)
    with pytest.raises(CommandError, match="belongs to user 65534"):
        files.hold_file(str(path), "--pid-file")
    assert path.read_text() == "1"


def test_a_file_that_cannot_be_written_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "pid"
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(CommandError, match="No space left on device; make room or change --log"):
        files.hold_file(str(path), "--log")
    assert not path.exists()


def test_a_log_has_one_lock_by_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = (str(path), "log", "link", "folder/log", "./folder/link")
    assert {files.get_lock_path(name) for name in names} == {f"{path}.lock"}
