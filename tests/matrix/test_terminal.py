"""Test the escape of a shell; the command's tests open real ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest

from matrix.terminal import Keys
from tests.matrix.workplace import ROOT

EARLY = """
import os, sys, types
from matrix import terminal
from matrix.outcome import CellOutcome

class Remote:
    \"\"\"A connection that is slow to start the shell, and says what it is told.\"\"\"

    def start_shell(self, *arguments):
        print("starting", end="\\r\\n", flush=True)
        open(sys.argv[1]).read()
        print("started", end="\\r\\n", flush=True)

    def resize(self, size):
        print("size", *size, end="\\r\\n", flush=True)

    def type(self, data):
        print("typed", data.decode(), end="\\r\\n", flush=True)
        os.write(ended, b"x")

    def follow_shell(self, say):
        os.read(wait, 1)
        return 0

wait, ended = os.pipe()
cell = types.SimpleNamespace(title="", name="box")
terminal.open_shell(
    cell, terminal.ShellPlan("results"), CellOutcome("box"), "", Remote(), lambda line: None
)
"""


def test_what_is_typed_before_the_shell_begins_is_for_the_shell(tmp_path: Path) -> None:
    """The far end would take it for a request."""
    go = tmp_path / "go"
    os.mkfifo(go)
    terminal = pexpect.spawn(
        sys.executable, ["-c", EARLY, str(go)], cwd=str(ROOT), timeout=60,
        encoding="utf-8", dimensions=(31, 97),
    )  # fmt: skip
    terminal.expect_exact("starting")
    terminal.send("a")
    terminal.setwinsize(20, 60)
    go.write_bytes(b"")
    terminal.expect(pexpect.EOF)
    terminal.close()
    said = str(terminal.before).split("\r\n")
    assert said[1] == "started"
    assert set(said[2:]) == {"", "size 20 60", "typed a"}
    assert terminal.exitstatus == 0


@pytest.mark.parametrize(
    ("typed", "escaped"),
    [
        (b"~.", True),
        (b"ls\r~.", True),
        (b"ls\n~.", True),
        (b"ls ~.\r", False),
        (b"cd ~\r.", False),
        (b"\r~x.", False),
    ],
)
def test_the_escape_stands_at_the_beginning_of_a_line(typed: bytes, escaped: bool) -> None:
    keys = Keys()
    assert any(keys.has_escape(bytes([key])) for key in typed) is escaped
    # Pasted at once, or in two pieces.
    assert Keys().has_escape(typed) is escaped
    keys = Keys()
    assert (keys.has_escape(typed[:-1]) or keys.has_escape(typed[-1:])) is escaped
