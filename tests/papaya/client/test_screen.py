"""The terminal client in a real pseudo-terminal, its screen read by a terminal emulator."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from papaya.load.chat import Load
from papaya.selftest import Server
from tests.papaya.conftest import Fake, Serve


class Terminal:
    """``papaya chat`` in a pseudo-terminal of 24 by 80."""

    def __init__(self, options: list[str], home: Path) -> None:
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.ByteStream(self.screen)
        # These variables would override the size.
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        arguments = ["-m", "papaya", "chat", *options]
        self.child = pexpect.spawn(
            sys.executable,
            arguments,
            cwd=str(Path(__file__).parents[3]),
            dimensions=(24, 80),
            env={**environment, "TERM": "xterm-256color", "HOME": str(home)},
            timeout=1,
        )

    def take(self) -> str:
        """Return the text on the screen."""
        with contextlib.suppress(pexpect.TIMEOUT):
            data: Any = self.child.read_nonblocking(65536, timeout=0.05)
            self.stream.feed(data)
        return "\n".join(self.screen.display)

    def until(self, condition: Callable[[str], object]) -> str:
        end = time.monotonic() + 20
        while not condition(shown := self.take()):
            assert time.monotonic() < end, shown
        return shown

    def until_shown(self, text: str) -> str:
        return self.until(lambda shown: text in shown)


def options(server: Server, name: str) -> list[str]:
    host, port = server.address
    return [f"{host}:{port}", "--key", server.key_path, "--name", name]


@pytest.fixture
def chatting(serve: Serve, tmp_path: Path) -> Iterator[tuple[Server, Terminal]]:
    server = serve("--engine", "coroutines")
    terminal = Terminal(options(server, "ann"), tmp_path)
    terminal.until_shown("connected")
    yield server, terminal
    terminal.child.close(force=True)


def test_type_receive_resize_and_leave(chatting: tuple[Server, Terminal]) -> None:
    server, ann = chatting
    ann.child.send("grüezi mitenand\r")
    ann.until(lambda shown: re.search(r"\d\d:\d\d ann grüezi mitenand", shown))
    with Load(server.address, server.key) as load:
        (bob,) = load.join(1)
        # Messages that arrive do not garble the input line.
        ann.child.send("half a li")
        ann.until_shown("half a li")
        load.say(bob, b"bob: \x1b[2Jhello \x07ann\n")
        shown = ann.until_shown("bob [2Jhello ann")
        assert "half a li" in shown
        ann.child.send("ne\r")
        ann.until(lambda shown: re.search(r"ann half a line", shown))
        # The arrow keys show earlier lines.
        ann.child.send("\x1b[A\x1b[A")
        ann.until(lambda shown: shown.count("grüezi mitenand") == 2)
        ann.screen.resize(30, 100)
        ann.child.setwinsize(30, 100)
        ann.until(lambda shown: "connected" in shown.splitlines()[29])
        # After scrolling back, new messages are counted.
        for number in range(60):
            load.say(bob, b"bob: line %d\n" % number)
        ann.until_shown("bob line 59")
        ann.child.send("\x1b[5~")
        ann.until(lambda shown: "bob line 59" not in shown)
        load.say(bob, b"bob: news\n")
        ann.until_shown("1 unread below")
        ann.child.send("\x1b[6~\x1b[6~")
        ann.until(lambda shown: "bob news" in shown and "unread" not in shown)
    ann.child.send("\x03")
    ann.child.expect(pexpect.EOF, timeout=20)
    ann.child.close()
    assert ann.child.exitstatus == 0


def test_it_connects_again_by_itself(chatting: tuple[Server, Terminal], serve: Serve) -> None:
    server, ann = chatting
    ann.child.send("before\r")
    ann.until_shown("ann before")
    server.process.send_signal(signal.SIGTERM)
    ann.until_shown("reconnecting in")
    server.process.wait()
    serve("--engine", "coroutines", "--listen", f"127.0.0.1:{server.address[1]}")
    ann.until(lambda shown: " · connected" in shown)
    ann.child.send("after\r")
    shown = ann.until_shown("ann after")
    assert shown.count("ann before") == 1


def test_a_line_that_may_be_lost_is_said(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with fake.listening:
        ann = Terminal(fake.options, tmp_path)
        with fake.accept(b"bob: hi\n* to you alone\n") as client:
            ann.until_shown("bob hi")
            ann.child.send("one\r")
            ann.take()
            assert client.recv(100) == b"ann: one\n"
            client.sendall(b"ann: one\n")
            ann.until_shown("ann one")
            ann.child.send("two\r")
            assert client.recv(100) == b"ann: two\n"
        shown = ann.until_shown("may be lost, as it did not come back: two")
        assert shown.count("may be lost") == 1
        # Notices, and messages that are sent again, are shown again.
        with fake.accept(b"bob: hi\nann: one\n* to you alone\nbob: hi\n"):
            shown = ann.until(lambda shown: shown.count("bob hi") == 2)
            assert (shown.count("ann one"), shown.count("to you alone")) == (1, 2)
        ann.child.close(force=True)


def test_a_wrong_key_is_said(chatting: tuple[Server, Terminal], tmp_path: Path) -> None:
    server, _ = chatting
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 128)
    wrong.chmod(0o600)
    server.key_path = str(wrong)
    eve = Terminal(options(server, "eve"), tmp_path)
    eve.until_shown("is the key right?")
    eve.child.close(force=True)
