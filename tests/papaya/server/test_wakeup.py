"""The multicast: a sender that is woken before it waits does not miss the signal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.worlds import ROOT

SENDER = """
import os, signal, sys
from papaya.server.processes import HANDLED
from papaya.server.scoreboard import SENDER, Scoreboard
from papaya.server.wakeup import WAKEUP, make_multicast, make_wait

how, multicast = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
os.setpgid(0, 0)
scoreboard = Scoreboard(1)
scoreboard.set_slot(0, SENDER, os.getpid())
wait, wake_senders = make_wait(how), make_multicast(multicast, os.getpgid(0), scoreboard)
for _ in range(3):
    wake_senders()
    print(wait() == WAKEUP)
os.kill(os.getpid(), signal.SIGTERM)
print(wait() == signal.SIGTERM)
"""


@pytest.mark.parametrize("multicast", ["killpg", "one by one"])
@pytest.mark.parametrize("how", ["sigwait", "sigtimedwait", "wakeup descriptor"])
def test_an_earlier_signal_ends_the_wait(how: str, multicast: str) -> None:
    if how == "sigtimedwait" and sys.platform in ("darwin", "openbsd"):
        pytest.skip("this platform has no sigtimedwait()")
    done = subprocess.run(
        [sys.executable, "-c", SENDER, how, multicast],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["True"] * 4, "")
