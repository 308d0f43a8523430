"""A process of the engine `pool`, by itself: its end when the daemon's comes first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import ROOT

DAEMON = """
import os, socket, sys
from papaya import config, key
from papaya.server.scoreboard import Board
from papaya.server.session import Chat
from papaya.server.wakeup import Group
from papaya.server.processes import fork
from papaya.settings import Settings
from papaya.engines._worker import Worker
from probes import Platform, Report

settings = Settings.from_report(Report(Platform("Linux", "1", "amd64", "libc", "1", 64), {}))
options = config.load(None, {"key": "/k", "log": sys.argv[1]})
chat = Chat(options, settings, b"k" * key.LENGTH, Board(1), lambda line: print(line, flush=True))
chat.log().begin()
group = Group(chat.say)
ours, theirs = socket.socketpair()
if sys.argv[2] == "unread":
    theirs.sendall(b"1 welcome\\n")
elif sys.argv[2] == "refusing":
    ours.sendall(b"1\\n")  # A client without a descriptor: it must be refused.
ours.close()
worker = Worker(chat, group, lambda: None, theirs, 0)
_, status = os.waitpid(fork(lambda: worker.run(os.getppid()), chat.say), 0)
group.end()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("left", ["nothing", "unread", "refusing"])
def test_it_ends_quietly_after_its_daemon(left: str, tmp_path: Path) -> None:
    """Also if what it told was never read, which resets the channel, or cannot be told."""
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(tmp_path / "log"), left],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *said, status = done.stdout.splitlines()
    assert (status, done.stderr) == ("0", ""), done
    assert [line for line in said if "a connection was refused" not in line] == []
