"""The engine `fork`: the death of a client's process."""

from __future__ import annotations

import os
import random
import signal

import pytest

from papaya.server.status import read_counters
from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    load_for,
    runs,
    until,
)
from tests.worlds import needs_linux


@needs_linux
@pytest.mark.parametrize("orphans", ["prctl", "pipe"])
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND"])
def test_a_child_that_is_killed_takes_one_client_along(
    which: str, orphans: str, serve: Serve
) -> None:
    server = serve("--set", f"orphans={orphans}")
    with load_for(server) as load:
        load.join(16)
        below = descendants(server.process.pid)
        receivers = [pid for pid in below[server.process.pid] if below[pid]]
        assert len(receivers) == 16
        receiver = random.choice(receivers)
        victim = receiver if which == "Child RECV" else below[receiver][0]

        def kill(sent: int) -> None:
            if sent == 100:
                os.kill(victim, signal.SIGKILL)

        load.exchange(30, after_each=kill, timeout=3)
        assert sum(member.closed for member in load.members) == 1
        # The log has every line of the other clients.
        others = [b"Z %s: " % member.name for member in load.members if not member.closed]
        until(lambda: all(server.read_log().count(name) == 1 + 30 for name in others), load)
        until(lambda: not runs(receiver) and not any(map(runs, below[receiver])))
        assert load.exchange(5).perfect
        check_streams(load, server.read_log)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 15)
