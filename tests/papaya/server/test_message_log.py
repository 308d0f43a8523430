"""The chat's log: torn lines, short writes, locks."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.protocol import make_stamp, stamp_lines
from papaya.server.log_cursor import LogReader
from papaya.server.log_lock import LOCKS, LogLock
from papaya.server.message_log import MessageLog, find_line_start, find_stamp
from papaya.server.scoreboard import COMMITTED, GENERATION, LINES, REPAIRED, Scoreboard
from probes.errors import CommandError
from tests.worlds import ROOT


def open_log(path: Path, scoreboard: Scoreboard, lock: str = "flock") -> MessageLog:
    log = MessageLog(str(path), scoreboard, LogLock(lock, 5), print)
    log.recover()
    return log


def find_end(scoreboard: Scoreboard) -> int:
    """Return the end of the log's whole lines."""
    return scoreboard[scoreboard.locate(scoreboard[GENERATION], COMMITTED)]


def test_what_was_torn_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthr")
    scoreboard = Scoreboard(1)
    assert MessageLog(str(path), scoreboard, LogLock("flock", 5), print).recover() == 3
    assert path.read_bytes() == b"one\ntwo\n"
    assert find_end(scoreboard) == 8


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
    assert find_end(scoreboard) == path.stat().st_size


def test_no_lines_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    log.append([b"a"])
    before = path.read_bytes(), list(scoreboard.numbers)
    monkeypatch.setattr("papaya.server.message_log.time.time", lambda: 2e9)
    assert log.append([]) == (0, "")
    log.close()
    assert (path.read_bytes(), list(scoreboard.numbers)) == before
    monkeypatch.undo()
    assert log.append([b"b"]) == (1, "")
    assert [line[-1:] for line in path.read_bytes().splitlines()] == [b"a", b"b"]


def test_a_short_write_is_cut_back_to_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    kept, why = log.append([b"a", b"b", b"c"])
    assert (kept, why) == (1, f"{path}: {os.strerror(errno.ENOSPC)}")
    assert path.read_bytes().count(b"\n") == 1
    assert find_end(scoreboard) == path.stat().st_size == 23
    monkeypatch.undo()
    assert log.append([b"d"]) == (1, "")
    assert path.read_bytes().endswith(b" d\n")


def test_a_line_is_sent_though_the_log_was_truncated_just_before_its_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    log.append([b"before"])
    cursor = LogReader(str(path), scoreboard).make_cursor(0)
    write = os.write

    def truncate_and_write(fd: int, data: bytes) -> int:
        os.truncate(path, 0)
        return write(fd, data)

    monkeypatch.setattr(os, "write", truncate_and_write)
    assert log.append([b"line"]) == (1, "")
    monkeypatch.undo()
    assert find_end(scoreboard) == path.stat().st_size
    server, client = socket.socketpair()
    with server, client:
        cursor.advance(server)
        client.setblocking(False)
        assert client.recv(100) == path.read_bytes()
    assert path.read_bytes().endswith(b" line\n")


def test_a_log_truncated_just_before_a_failed_write_is_not_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = open_log(path, Scoreboard(1))
    log.append([b"before"])

    def truncate_and_fail(fd: int, data: bytes) -> int:
        os.truncate(path, 0)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", truncate_and_fail)
    assert log.append([b"lost"]) == (0, f"{path}: {os.strerror(errno.ENOSPC)}")
    monkeypatch.undo()
    assert path.read_bytes() == b""
    assert log.append([b"line"]) == (1, "")
    assert path.read_bytes().endswith(b" line\n")


@pytest.mark.parametrize("left", [0, 30])
@pytest.mark.parametrize("cause", ["killed writer", "full disk"])
def test_a_log_truncated_just_before_a_torn_line_is_cut_off_is_not_filled_up(
    cause: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = open_log(path, scoreboard)
    log.append([b"a", b"b"])
    first = path.read_bytes()[:23]
    write, ftruncate = os.write, os.ftruncate
    if cause == "full disk":
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    else:
        with path.open("ab") as file:
            file.write(b"2026-01-01T00:00:00Z tor")

    def truncate_before(fd: int, size: int) -> None:
        monkeypatch.setattr(os, "ftruncate", ftruncate)
        os.truncate(path, left)
        ftruncate(fd, size)

    monkeypatch.setattr(os, "ftruncate", truncate_before)
    log.append([b"c", b"d"])
    monkeypatch.undo()
    assert log.append([b"e"]) == (1, "")
    data = path.read_bytes()
    assert find_end(scoreboard) == len(data)
    kept = [b"a"] if left else []
    added = [b"e"] if cause == "full disk" else [b"c", b"d", b"e"]
    assert [line[-1:] for line in data.splitlines()] == kept + added
    assert data.startswith(first if left else b"20")
    assert b"\0" not in data


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
    assert log.append([b"a", b"b"]) == (1, f"{path}: {os.strerror(errno.ENOSPC)}")
    assert (scoreboard[LINES], find_end(scoreboard)) == (1, 23)
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
from papaya.server.log_lock import LogLock
from papaya.server.scoreboard import LINES, Scoreboard
from papaya.server.message_log import MessageLog

path, lock = sys.argv[1:]
scoreboard = Scoreboard(1)
MessageLog(path, scoreboard, LogLock(lock, 5), print).recover()
for number in range(4):
    if not os.fork():
        log = MessageLog(path, scoreboard, LogLock(lock, 5), print)
        for _ in range(250):
            assert log.append([b"%d" % number]) == (1, "")
        os._exit(0)
for _ in range(4):
    os.wait()
print(scoreboard[LINES], scoreboard.count_bytes())
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
    unlocked = LogLock("flock", 5)
    unlocked.lock = lambda descriptor, operation: None
    second = MessageLog(str(path), scoreboard, unlocked, print)
    first.append([b"a"])
    write = os.write

    def write_late(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        first.append([b"b"])
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", write_late)
    second.append([b"c"])
    assert find_end(scoreboard) != path.stat().st_size


def make_service(path: Path, events: list[str]) -> tuple[MessageLog, MessageLog]:
    """Return the daemon's log and a writer's, in one process, as in `coroutines`."""
    scoreboard = Scoreboard(1)
    daemon, writer = (
        MessageLog(str(path), scoreboard, LogLock("flock", 5), events.append) for _ in range(2)
    )
    daemon.recover()

    def rotate() -> None:
        try:
            daemon.rotate()
        except CommandError as error:
            events.append(str(error))

    scoreboard.rotate = rotate
    return daemon, writer


@pytest.mark.parametrize("how", ["deleted", "replaced", "replaced by mv"])
def test_a_log_that_another_program_took_away_is_begun_anew(how: str, tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "old"
    _, writer = make_service(path, [])
    writer.append([b"a"])
    if how == "deleted":
        path.unlink()
    elif how == "replaced":
        path.rename(old)
        path.touch()
    else:
        (tmp_path / "new").write_bytes(b"2020-01-01T00:00:00Z x: there\n")
        (tmp_path / "new").rename(path)
    assert writer.append([b"b"]) == (1, "")
    assert path.read_bytes().endswith(b"Z b\n")
    assert path.read_bytes().count(b"\n") == (2 if how == "replaced by mv" else 1)


def test_a_renamed_log_is_written_until_the_signal(tmp_path: Path) -> None:
    """As logrotate needs it: it renames first, and then makes the new file by itself."""
    path, old = tmp_path / "log", tmp_path / "old"
    daemon, writer = make_service(path, [])
    writer.append([b"a"])
    path.rename(old)
    assert writer.append([b"b"]) == (1, "")
    assert not path.exists()
    assert old.read_bytes().count(b"\n") == 2
    assert daemon.rotate()
    assert writer.append([b"c"]) == (1, "")
    assert path.read_bytes().endswith(b"Z c\n")


def test_truncated_renamed_and_written_it_is_one_log_after_another(tmp_path: Path) -> None:
    """The daemon, whose record was the truncated file's, must not search for the log by name."""
    path, old = tmp_path / "log", tmp_path / "old"
    daemon, writer = make_service(path, [])
    writer.append([b"a"])
    os.truncate(path, 0)
    writer.append([b"b"])
    path.rename(old)
    assert daemon.rotate()
    assert writer.append([b"c"]) == (1, "")
    assert (old.read_bytes()[-3:], path.read_bytes()[-3:]) == (b" b\n", b" c\n")


def test_a_deleted_log_that_cannot_be_made_anew_takes_no_line(tmp_path: Path) -> None:
    path, events = tmp_path / "log", list[str]()
    _, writer = make_service(path, events)
    writer.append([b"a"])
    path.unlink()
    path.mkdir()
    with pytest.raises(CommandError, match=rf"^{path}: deleted, and no new file can be opened$"):
        writer.append([b"lost"])
    assert events == [f"{path}: Is a directory"]
    path.rmdir()
    assert writer.append([b"b"]) == (1, "")
    assert path.read_bytes().count(b"\n") == 1


def test_a_log_replaced_by_no_file_is_still_written(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "old"
    _, writer = make_service(path, [])
    writer.append([b"a"])
    path.rename(old)
    path.mkdir()
    assert writer.append([b"b"]) == (1, "")
    assert old.read_bytes().count(b"\n") == 2


def test_times_never_go_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, events = tmp_path / "log", list[str]()
    path.write_bytes(b"2026-11-22T10:00:05Z a: b\n")
    daemon, writer = make_service(path, events)
    for second in (3, 4, 6, 2, 1, 7):
        monkeypatch.setattr("time.time", lambda s=second: 1795341600 + s)
        writer.append([b"%d" % second])
    times = [line[17:19] for line in path.read_bytes().splitlines()]
    assert times == [b"05", b"05", b"05", b"06", b"06", b"06", b"07"]
    # Once for each time that the clock was set back, not for each line.
    behind = (
        "{}: the clock says 2026-11-22T10:00:{}Z, and the last line is of 2026-11-22T10:00:{}Z: "
        "new lines have that time until the clock has passed it"
    )
    assert events == [behind.format(path, "03", "05"), behind.format(path, "02", "06")]
    # Also after a line that a killed writer left.
    with path.open("ab") as file:
        file.write(b"2026-11-22T10:00:09Z left\n")
    writer.append([b"8"])
    assert path.read_bytes().endswith(b"09Z left\n2026-11-22T10:00:09Z 8\n")
    events.pop()
    # A new file begins with the clock's time.
    monkeypatch.setattr("time.time", lambda: 1795341600)
    path.rename(tmp_path / "old")
    assert daemon.rotate()
    writer.append([b"0"])
    assert path.read_bytes() == b"2026-11-22T10:00:00Z 0\n"


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


@given(
    steps=st.lists(st.integers(0, 2), max_size=30),
    text=st.sampled_from([b"", b"a: b", b"x" * 70, b"x" * 5000]),
    asked=st.integers(-1, 40),
    most=st.integers(0, 3000),
)
def test_a_stamp_is_found(steps: list[int], text: bytes, asked: int, most: int) -> None:
    at = [1000 + sum(steps[: number + 1]) for number in range(len(steps))]
    lines = [stamp_lines([text], make_stamp(seconds)) for seconds in at]
    whole = b"".join(lines)
    later = [number for number, seconds in enumerate(at) if seconds >= 1000 + asked]
    start = len(b"".join(lines[: later[0]])) if later else len(whole)
    with tempfile.TemporaryFile() as file:
        file.write(whole)
        file.flush()
        found = find_stamp(file.fileno(), len(whole), make_stamp(1000 + asked), most)
    # A line that begins just where the search does may be taken for the first.
    assert found in ((start,) if start >= len(whole) - most else (-1, len(whole) - most))


def test_a_rotation_that_fails_at_the_new_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after another program has then truncated it, which makes the daemon look again."""
    path, old = tmp_path / "log", tmp_path / "old"
    daemon, writer = make_service(path, [])
    writer.append([b"a"])
    path.rename(old)
    path.write_bytes(b"there\n")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr("papaya.server.message_log._read_last_stamp", fail)
        with pytest.raises(OSError, match="broken"):
            daemon.rotate()
    os.truncate(old, 0)
    monkeypatch.setattr(daemon.scoreboard, "rotate", lambda: None)
    assert writer.append([b"longer"]) == (1, "")
    assert old.read_bytes().endswith(b" longer\n")
    assert daemon.rotate()
    assert writer.append([b"c"]) == (1, "")
    assert path.read_bytes().endswith(b" c\n")
    assert daemon.scoreboard[LINES] == 3
