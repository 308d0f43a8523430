"""The readers of papaya that get bytes from others, and what must hold whatever they get.

A target takes any bytes, and raises if something does not hold.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from papaya import config, key
from papaya.client.connection import MessageSplitter
from papaya.client.text import is_safe
from papaya.protocol import (
    LineSplitter,
    format_request,
    parse_request,
    read_stamp,
    split_time,
    stamp_lines,
)
from papaya.server.files import check_log
from papaya.server.log_cursor import LogReader
from papaya.server.log_lock import LogLock
from papaya.server.message_log import MessageLog, find_line_start, find_stamp
from papaya.server.scoreboard import Scoreboard
from probes.errors import CommandError

MOST = 64
"""The length of the longest line: short, so that few bytes reach it."""


def split_lines(data: bytes) -> None:
    """Check that what a client sends makes the same clean lines, however it arrives."""
    whole = LineSplitter(MOST)
    lines, refused = whole.feed(data)
    lines += whole.finish()
    for line in lines:
        assert 0 < len(line) <= MOST
        assert b"\n" not in line
        assert line.decode() == line.decode().rstrip()
        assert not any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in line.decode())
    size = data[0] + 1 if data else 1
    parts, again = LineSplitter(MOST), []
    for at in range(0, len(data), size):
        some, more = parts.feed(data[at : at + size])
        again += some
        refused -= more
    assert again + parts.finish() == lines
    assert refused == 0


def read_request(data: bytes) -> None:
    """Check that what comes with a key is a request only if it is one to the last byte."""
    stamp = parse_request(data)
    assert not stamp or format_request(stamp) == data


def read_time(data: bytes) -> None:
    """Check that a line has one time, or none, for all readers."""
    stamp = read_stamp(data)
    at, rest = split_time(data.decode(errors="replace"))
    assert stamp >= 0
    if at:
        assert len(at) == 20
        assert stamp_lines([rest.encode()], stamp) == data.decode(errors="replace").encode() + b"\n"


def load_key(data: bytes) -> None:
    """Check that a key is the key as it was made, or refused."""
    with _file(data) as path:
        path.chmod(0o600)
        try:
            found = key.load(str(path))
        except CommandError:
            return
        assert data.rstrip(b"\r\n") == found
        assert len(bytes.fromhex(found.decode())) == key.LENGTH // 2


def load_config(data: bytes) -> None:
    """Check that a configuration is valid, or refused in one line."""
    with _file(data) as path:
        problem = ""
        try:
            config.load(str(path), {})
        except CommandError as error:
            problem = str(error)
        assert "\n" not in problem


def show_messages(data: bytes) -> None:
    """Check that nothing that a server sends controls the terminal."""
    splitter = MessageSplitter()
    size = data[0] + 1 if data else 1
    for at in range(0, len(data), size):
        for message in splitter.feed(data[at : at + size]):
            for text in (message.name, message.text):
                assert all(character == "\t" or is_safe(character) for character in text)


def read_log(data: bytes) -> None:
    """Check that any log is refused, or goes on with whole lines for everyone."""
    with _file(data) as path:
        with contextlib.suppress(CommandError):
            check_log(str(path), MOST)
        scoreboard = Scoreboard(1)
        log = MessageLog(str(path), scoreboard, LogLock("flock", 1), lambda line: None)
        with contextlib.ExitStack() as stack:
            cut = log.recover()
            stack.callback(os.close, log.descriptor)
            size = len(data) - cut
            assert cut == len(data) - (data.rfind(b"\n") + 1)
            start = find_line_start(log.descriptor, size, 3)
            assert start == 0 or data[start - 1 : start] == b"\n"
            assert -1 <= find_stamp(log.descriptor, size, 20261128000000, MOST) <= size
            reader = LogReader(str(path), scoreboard)
            stack.callback(reader.file.close)
            cursor = reader.make_cursor(2, 20261128000000)
            assert log.append([b"a: line"]) == (1, "")
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            cursor.advance(ours)
            sent = theirs.recv(1 << 20)
            assert path.read_bytes().endswith(sent)
            assert sent.endswith(b" a: line\n")


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        yield path


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        split_lines, read_request, read_time, load_key, load_config, show_messages, read_log,
    )
}  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "split_lines": [b"ann: hi\r\n\tb\xff\xc2\x85\n", b"x" * MOST + b"\n"],
    "read_request": [format_request(20261128235959)],
    "read_time": [b"2026-11-28T23:59:59Z ann: hi"],
    "load_key": [b"0f" * 64, b"\r\n"],
    "load_config": [b'listen = ["[::1]:7722"]\nhistory = 7\nset = {lock = "ofd"}\n'],
    "show_messages": [b"\x082026-11-28T23:59:59Z \x1b[2Jann: \xe2\x80\xae\n* notice\0x\n"],
    "read_log": [b"2026-11-28T23:59:59Z ann: hi\n2026-11-2", b"a\n\nb"],
}
