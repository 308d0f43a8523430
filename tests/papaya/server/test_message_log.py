"""The chat's log: torn lines, short writes, locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.server.message_log import LOCKS, MessageLog, find_line_start
from papaya.server.scoreboard import COMMITTED, LINES, REPAIRED, Scoreboard
from probes.errors import CommandError
from tests.worlds import ROOT


def open_log(path: Path, scoreboard: Scoreboard, lock: str = "flock") -> MessageLog:
    log = MessageLog(str(path), scoreboard, LOCKS[lock])
    log.recover()
    return log


def test_what_was_torn_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthr")
    scoreboard = Scoreboard(1)
    assert MessageLog(str(path), scoreboard, LOCKS["flock"]).recover() == 3
    assert path.read_bytes() == b"one\ntwo\n"
    assert scoreboard[COMMITTED] == 8


def test_what_a_killed_writer_left_is_taken_over_and_its_torn_line_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    log.append([b"a"])
    with path.open("ab") as file:
        file.write(b"whole\ntorn")
    assert log.append([b"b"]) == (1, "")
    first, whole, last = path.read_bytes().splitlines()
    assert (first[-2:], whole, last[-2:]) == (b" a", b"whole", b" b")
    assert b"torn" not in path.read_bytes()
    assert (scoreboard[LINES], scoreboard[REPAIRED]) == (3, 1)
    assert scoreboard[COMMITTED] == path.stat().st_size


def test_a_short_write_is_cut_back_to_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    kept, why = log.append([b"a", b"b", b"c"])
    assert (kept, why) == (1, os.strerror(errno.ENOSPC))
    assert path.read_bytes().count(b"\n") == 1
    assert scoreboard[COMMITTED] == path.stat().st_size == 23
    monkeypatch.undo()
    assert log.append([b"d"]) == (1, "")
    assert path.read_bytes().endswith(b" d\n")


def test_a_torn_line_that_cannot_be_cut_off_is_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    monkeypatch.setattr(os, "ftruncate", fails)
    # What append() returned must stay true after the next append().
    assert log.append([b"a", b"b"]) == (1, os.strerror(errno.ENOSPC))
    assert (scoreboard[LINES], scoreboard[COMMITTED]) == (1, 23)
    monkeypatch.undo()
    assert log.append([b"c"]) == (1, "")
    assert [line[-1:] for line in path.read_bytes().splitlines()] == [b"a", b"c"]
    assert scoreboard[LINES] == 2


@pytest.mark.parametrize("kind", ["device", "fifo", "folder"])
def test_a_log_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    if kind == "device":
        path = Path(os.devnull)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(
        CommandError, match=rf"^{path}: (not a regular file|Is a directory)$"
    ) as raised:
        open_log(path, Scoreboard(1))
    assert raised.value.status == 3


WRITERS = """
import os, sys
from papaya.server.scoreboard import COMMITTED, LINES, Scoreboard
from papaya.server.message_log import LOCKS, MessageLog

path, lock = sys.argv[1:]
scoreboard = Scoreboard(1)
MessageLog(path, scoreboard, LOCKS[lock]).recover()
for number in range(4):
    if not os.fork():
        log = MessageLog(path, scoreboard, LOCKS[lock])
        for _ in range(250):
            log.append([b"%d" % number])
        os._exit(0)
for _ in range(4):
    os.wait()
print(scoreboard[LINES], scoreboard[COMMITTED])
"""


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_each_lock_keeps_processes_apart(lock: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, str(path), lock],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1000", str(path.stat().st_size)]
    assert path.read_bytes().count(b"\n") == 1000


def test_without_a_lock_they_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the test above can fail: without the lock a line is lost."""
    scoreboard = Scoreboard(1)
    path = tmp_path / "log"
    first = open_log(path, scoreboard)
    second = MessageLog(str(path), scoreboard, lambda descriptor, take: None)
    first.append([b"a"])
    write = os.write

    def write_late(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        first.append([b"b"])
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", write_late)
    second.append([b"c"])
    assert scoreboard[COMMITTED] != path.stat().st_size


@given(st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"\n", b"")), max_size=8))
def test_newlines_are_found_from_the_end(lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines)
    descriptor = os.memfd_create("x") if hasattr(os, "memfd_create") else os.open("/dev/null", 0)
    try:
        os.write(descriptor, text)
        for count in range(1, len(lines) + 3):
            kept = lines[len(lines) - count + 1 :] if count <= len(lines) + 1 else lines
            start = len(text) - sum(len(line) + 1 for line in kept)
            assert find_line_start(descriptor, len(text), count) == (
                start if count <= len(lines) else 0
            )
    finally:
        os.close(descriptor)
