"""The screen client in a real pseudo-terminal, its screen read by a terminal emulator."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from papaya.selftest import Server
from tests.papaya.conftest import Serve

SIZES = (24, 80), (10, 40)
every_size = pytest.mark.parametrize("size", SIZES)
"""Rows and columns."""


class Terminal:
    """``papaya chat`` in a pseudo-terminal."""

    def __init__(
        self,
        options: list[str],
        home: Path,
        size: tuple[int, int] = SIZES[0],
        before: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        rows, columns = size
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.output = b""
        # These variables would override the size.
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        command = [*before, sys.executable, "-m", "papaya", "chat", *options]
        self.child = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(Path(__file__).parents[3]),
            dimensions=size,
            env={**environment, "TERM": "xterm-256color", "HOME": str(home)},
            timeout=1,
            **settings,
        )
        self.child.delaybeforesend = None

    def take(self) -> str:
        """Return the text on the screen."""
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            data: Any = self.child.read_nonblocking(65536, timeout=0.05)
            self.output += data
            self.stream.feed(data)
        return "\n".join(self.screen.display)

    def until(self, condition: Callable[[str], object]) -> str:
        """Wait until the screen is as ``condition`` says, and return its text."""
        end = time.monotonic() + 20
        while not condition(shown := self.take()):
            assert time.monotonic() < end, shown
        return shown

    def until_shown(self, text: str) -> str:
        """Wait until ``text`` is on the screen."""
        return self.until(lambda shown: text in shown)

    def leave(self, keys: str = "\x03") -> int:
        """Press ``keys``, which end the client; return its exit status."""
        self.child.send(keys)
        return self.wait()

    def wait(self) -> int:
        """Wait until the client ends, and return its exit status, negative for a signal."""
        end = time.monotonic() + 20
        while self.child.isalive():
            assert time.monotonic() < end, self.take()
            self.take()
        self.take()
        self.child.close()
        if self.child.exitstatus is None:
            return -(self.child.signalstatus or 0)
        return int(self.child.exitstatus)


def options(server: Server, name: str) -> list[str]:
    """Return the options of a client of that server."""
    host, port = server.address
    return [f"{host}:{port}", "--key", server.key_path, "--name", name]


def read_texts(server: Server) -> list[str]:
    """Return the lines of the log, without their times."""
    return [line.partition(" ")[2] for line in server.read_log().decode().splitlines()]


@pytest.fixture
def chatting(
    serve: Serve, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Server, Terminal]]:
    """Yield a server and the terminal of one client, of the size of the test's parameter."""
    server = serve("--engine", "coroutines")
    size = request.node.callspec.params.get("size") if hasattr(request.node, "callspec") else None
    terminal = Terminal(options(server, "ann"), tmp_path, size or SIZES[0])
    terminal.until_shown("connected")
    yield server, terminal
    terminal.child.close(force=True)
