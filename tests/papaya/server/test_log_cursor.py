"""Reading the log: from the history on, across rotations, and too late."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from papaya.server.log_cursor import FellBehind, LogReader
from papaya.server.log_lock import LogLock
from papaya.server.message_log import MessageLog
from papaya.server.scoreboard import Scoreboard


class Chat:
    """A log, a reader, and a connected pair of sockets."""

    def __init__(self, path: Path, ends: tuple[socket.socket, socket.socket]):
        self.path = path
        scoreboard = Scoreboard(1)
        self.log = MessageLog(str(path), scoreboard, LogLock("flock", 5), print)
        scoreboard.rotate = lambda: None
        self.log.recover()
        self.reader = LogReader(str(path), scoreboard)
        self.server, self.client = ends

    def rotate(self, name: str) -> None:
        os.rename(self.path, self.path.with_name(name))
        assert self.log.rotate()

    def receive(self) -> list[bytes]:
        """Return what has arrived, without the times."""
        with contextlib.suppress(BlockingIOError):
            return [line[21:] for line in self.client.recv(65536).splitlines()]
        return []


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    ends = socket.socketpair()
    with ends[0], ends[1]:
        for end in ends:
            end.setblocking(False)
        yield Chat(tmp_path / "log", ends)


def test_a_cursor_begins_with_the_history_and_sends_what_is_new(chat: Chat) -> None:
    chat.log.append([b"a", b"b", b"c"])
    cursor = chat.reader.make_cursor(2)
    cursor.advance(chat.server)
    assert chat.receive() == [b"b", b"c"]
    chat.log.append([b"d"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"d"]
    cursor.advance(chat.server)
    assert chat.receive() == []


def test_a_cursor_follows_a_rotation(chat: Chat) -> None:
    chat.log.append([b"a"])
    cursor = chat.reader.make_cursor(1)
    chat.log.append([b"b"])
    chat.rotate("old")
    chat.log.append([b"c"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"a", b"b", b"c"]


def test_a_cursor_that_missed_a_whole_file_is_told(chat: Chat) -> None:
    cursor = chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    for name in ("first", "second"):
        chat.rotate(name)
        chat.log.append([b"lost?"])
    with pytest.raises(FellBehind):
        cursor.advance(chat.server)


def test_new_lines_are_read_once(chat: Chat) -> None:
    chat.log.append([b"a"])
    start, data = chat.reader.read_new()
    assert (start, data[21:]) == (0, b"a\n")
    assert chat.reader.read_new() == (-1, b"")


def test_a_cursor_without_lines_to_send_misses_a_file_too(chat: Chat) -> None:
    cursor = chat.reader.make_cursor(0)
    chat.rotate("first")
    chat.log.append([b"missed"])
    chat.rotate("second")
    with pytest.raises(FellBehind):
        cursor.advance(chat.server)


def test_a_cursor_passes_files_without_lines(chat: Chat) -> None:
    cursor = chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    for name in ("first", "second", "third"):
        chat.rotate(name)
    chat.log.append([b"b"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"a", b"b"]


def test_a_truncation_is_survived_by_who_was_sent_everything_before(chat: Chat) -> None:
    """The others missed lines, and must reconnect; they are not sent the rest as if it were all."""
    cursor, behind = chat.reader.make_cursor(0), chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    for one in (cursor, behind):
        one.advance(chat.server)
    chat.log.append([b"b"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"a", b"a", b"b"]
    os.truncate(chat.path, 0)
    chat.log.append([b"c", b"d"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"c", b"d"]
    with pytest.raises(FellBehind):
        behind.advance(chat.server)


def test_a_truncation_while_a_client_is_sent_to_is_noticed(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the end and the read, the file got another content of that length."""
    cursor = chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    pread = os.pread

    def truncate_first(*arguments: Any) -> bytes:
        monkeypatch.undo()
        os.truncate(chat.path, 0)
        chat.log.append([b"b"])
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", truncate_first)
    with pytest.raises(FellBehind):
        cursor.advance(chat.server)
    assert chat.receive() == []


def test_new_lines_are_not_read_of_a_truncated_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    scoreboard = Scoreboard(1)
    log = MessageLog(str(path), scoreboard, LogLock("flock", 5), print)
    log.recover()
    reader = LogReader(str(path), scoreboard)
    log.append([b"a"])
    pread = os.pread

    def truncate_first(*arguments: Any) -> bytes:
        monkeypatch.undo()
        os.truncate(path, 0)
        log.append([b"b"])
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", truncate_first)
    assert reader.read_new() == (-1, b"")
    start, data = reader.read_new()
    assert (start, data[-3:]) == (0, b" b\n")


def test_a_file_that_was_truncated_and_then_renamed_is_not_read_on(chat: Chat) -> None:
    """Between the two, a client that slept would be sent the second line as if it were all."""
    cursor = chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    cursor.advance(chat.server)
    os.truncate(chat.path, 0)
    chat.log.append([b"b"])
    chat.log.append([b"c"])
    chat.rotate("old")
    assert chat.receive() == [b"a"]
    with pytest.raises(FellBehind):
        cursor.advance(chat.server)
    assert chat.receive() == []
