"""A worker of the engine `pool` without a service: its end after the daemon's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import ROOT

DAEMON = """
import os, socket, sys
from papaya import config, key
from papaya.server.engine import ServiceContext
from papaya.server.processes import fork_child
from papaya.server.scoreboard import Scoreboard
from papaya.server.wakeup import SenderGroup
from papaya.settings import choose_settings
from papaya.engines._bells import Bells
from papaya.engines._worker import Worker
from probes import Platform, Report

settings = choose_settings(Report(Platform("Linux", "1", "amd64", "libc", "1", 64), {}))
options = config.load(None, {"key": "/k", "log": sys.argv[1]})
secret = b"k" * key.LENGTH
context = ServiceContext(
    options, settings, secret, Scoreboard(1), lambda line: print(line, flush=True)
)
context.make_log(5).recover()
group = SenderGroup(context.log_event)
ours, theirs = socket.socketpair()
if sys.argv[2] == "unread":
    theirs.sendall(b"1 left\\n")
elif sys.argv[2] == "refusing":
    ours.sendall(b"1 0\\n")  # A client without a descriptor: it must be refused.
ours.close()
worker = Worker(context, group, Bells(1, context.scoreboard), theirs, 0)
_, status = os.waitpid(fork_child(lambda: worker.run(os.getppid()), context.log_event), 0)
group.kill()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("left", ["nothing", "unread", "refusing"])
def test_it_ends_quietly_after_its_daemon(left: str, tmp_path: Path) -> None:
    """Also if the daemon never read its reports, which resets the channel."""
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(tmp_path / "log"), left],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *said, status = done.stdout.splitlines()
    assert (status, done.stderr) == ("0", ""), done
    assert [line for line in said if "refused a connection" not in line] == []
