"""Reading the log: from the history on, across rotations, and too late."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from papaya.server.log_cursor import FellBehind, LogReader
from papaya.server.message_log import LOCKS, MessageLog
from papaya.server.scoreboard import Scoreboard

SENDS = pytest.mark.parametrize("sendfile", [False, hasattr(os, "sendfile")])


class Chat:
    """A log, a reader, and a connected pair of sockets."""

    def __init__(self, path: Path, sendfile: bool, ends: tuple[socket.socket, socket.socket]):
        self.path = path
        scoreboard = Scoreboard(1)
        self.log = MessageLog(str(path), scoreboard, LOCKS["flock"])
        scoreboard.rotate = lambda: None
        self.log.recover()
        self.reader = LogReader(str(path), scoreboard, sendfile)
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
def chat(sendfile: bool, tmp_path: Path) -> Iterator[Chat]:
    ends = socket.socketpair()
    with ends[0], ends[1]:
        for end in ends:
            end.setblocking(False)
        yield Chat(tmp_path / "log", sendfile, ends)


@SENDS
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


@SENDS
def test_a_cursor_follows_a_rotation(chat: Chat) -> None:
    chat.log.append([b"a"])
    cursor = chat.reader.make_cursor(1)
    chat.log.append([b"b"])
    chat.rotate("old")
    chat.log.append([b"c"])
    cursor.advance(chat.server)
    assert chat.receive() == [b"a", b"b", b"c"]


@SENDS
def test_a_cursor_that_missed_a_whole_file_is_told(chat: Chat) -> None:
    cursor = chat.reader.make_cursor(0)
    chat.log.append([b"a"])
    for name in ("first", "second"):
        chat.rotate(name)
        chat.log.append([b"lost?"])
    with pytest.raises(FellBehind):
        cursor.advance(chat.server)


@SENDS
def test_new_lines_are_read_once(chat: Chat) -> None:
    chat.log.append([b"a"])
    start, data = chat.reader.read_new()
    assert (start, data[21:]) == (0, b"a\n")
    assert chat.reader.read_new() == (len(data), b"")
