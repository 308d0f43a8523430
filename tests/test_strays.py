"""Processes that probes leave behind are killed, whatever the order in which they end."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.worlds import ROOT, needs_linux

LATE_ORPHAN = textwrap.dedent(
    """
    import os, signal, sys
    from probes import lens, libc, strays

    libc.become_reaper()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        if not os.fork():
            os.write(writing, str(os.getpid()).encode())
            while True:
                signal.pause()
        while True:
            signal.pause()
    grandchild = int(os.read(reading, 64))

    listed = lens.list_children

    def children():
        # The child ends after the list was made, so its own child is not in the list.
        lens.list_children = listed
        found = listed()
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        return found

    lens.list_children = children
    strays.end_strays(set())
    try:
        os.kill(grandchild, 0)
    except ProcessLookupError:
        sys.exit(0)
    os.kill(grandchild, signal.SIGKILL)
    sys.exit("the grandchild is left running")
    """
)


@needs_linux
def test_an_orphan_that_comes_after_the_others_were_listed_is_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE_ORPHAN],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
