"""Test the connection to a platform."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.remote import Remote
from probes.errors import CommandError
from tests.matrix.workplace import ROOT, Workplace
from tests.worlds import needs_linux


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 7\n", "no working python-bad on"),
        (
            "#!/bin/sh\n[ \"$2\" = '' ] && exit 0\necho 'cannot start' >&2\nexit 7\n",
            "no Python answered: cannot start",
        ),
    ],
)
def test_a_python_that_does_not_answer(work: Workplace, script: str, said: str) -> None:
    bad = work.folder / "python-bad"
    bad.write_text(script)
    bad.chmod(0o755)
    work.environment["PATH"] = f"{work.folder}:{os.environ['PATH']}"
    work.cell("box", "here:python-bad")
    done = work.run("box")
    assert done.returncode == 3
    assert said in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("", "status 4"),
        ('{"schema": 1', "status 4, and its report is not JSON, or cut short (Expecting ',' "),
    ],
)
def test_a_report_that_cannot_be_read_is_told(
    out: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"status": 4, "out": out, "errors": ""}
    monkeypatch.setattr(Remote, "_request", lambda *_: answer)
    with pytest.raises(CommandError) as caught:
        Remote.__new__(Remote).measure(1)
    assert str(caught.value).startswith(f"the lab failed: {said}")


SIGNALLED = """
import os, signal, sys, threading, time
from matrix.remote import Remote

def stop(*_):
    raise KeyboardInterrupt

def is_asleep():
    with open(f"/proc/self/task/{os.getpid()}/stat") as stat:
        return stat.read().rpartition(") ")[2][0] == "S"

def send_signal():
    begun.wait()
    # Not only until the main thread waits for this one's turn to end.
    times = 0
    while times < 10:
        times = times + 1 if is_asleep() else 0
        time.sleep(0.01)
    # This thread takes it: the main thread sleeps on, as when it came just before the wait.
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

begun = threading.Event()
threading.Thread(target=send_signal, daemon=True).start()
signal.signal(signal.SIGTERM, stop)
remote = Remote("popen//python=" + sys.executable, sys.argv[1])
try:
    remote.execute(["sh", "-c", "echo begun; exec sleep 1000"], {}, False, 1000,
                   lambda said: begun.set())
except KeyboardInterrupt:
    print("stopped")
finally:
    remote.close()
"""


@needs_linux
def test_a_signal_that_does_not_wake_the_main_thread_is_seen(
    work: Workplace, tmp_path: Path
) -> None:
    """As when a terminal ends just before the wait for what its shell says."""
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED, str(tmp_path / "errors")],
        cwd=ROOT, env=work.environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.communicate(timeout=30)[0] == "stopped\n"
        finally:
            process.kill()
    assert os.listdir(work.scratch) == []
