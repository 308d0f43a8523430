"""Trace a probe with strace(1), and keep the system calls that are the probe's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

from . import libc
from .ask import MARK, make_output_file
from .errors import CommandError


def trace(arguments: list[str]) -> tuple[int, bytes]:
    """Run ``probes debug ARGUMENTS`` in strace; return its exit status and the probe's calls.

    The calls of the lab around the probe are left out.  Raises CommandError if strace is not
    installed, or may not trace here.
    """
    strace = _find_strace()
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "probes", "debug", *arguments]
    with make_output_file() as output:
        tracer = subprocess.Popen(
            [strace, "-f", "-s", "256", "-o", output, *command],
            env={**os.environ, "PYTHONPATH": path},
        )
        with _pass_signals_on(output):
            status = tracer.wait()
        with open(output, "rb") as file:
            calls = _keep_calls_of_probe(file)
    if status not in (0, 2, 3, 4) or not (calls or status == 2):
        raise CommandError(
            f"strace ended with {status}: it may not trace here; allow ptrace "
            "(in a container by --cap-add SYS_PTRACE), or leave --strace out",
            3,
        )
    return status, calls


def _find_strace() -> str:
    if not libc.LINUX:
        raise CommandError(
            f"strace traces Linux, and this is {libc.SYSTEM}; put the system's own tracer "
            "(truss -f, ktruss, dtruss) in front of the command, with --here",
            3,
        )
    found = shutil.which("strace")
    if not found:
        raise CommandError(
            "strace is not installed: apt install strace (Debian, Ubuntu), "
            "dnf install strace (Fedora) or apk add strace (Alpine)",
            3,
        )
    return found


@contextlib.contextmanager
def _pass_signals_on(output: str) -> Iterator[None]:
    """Pass SIGTERM and SIGHUP on to the traced lab, because strace ignores them; end after it.

    SIGINT comes from a terminal, which sends it to the traced lab too.
    """
    received: list[int] = []

    def pass_on(signum: int, frame: object) -> None:
        received.append(signum)
        with open(output, "rb") as file:
            pid = file.readline().split(b" ", 1)[0]
        if signum != signal.SIGINT and pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signum)

    signums = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {signum: signal.signal(signum, pass_on) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    if received:
        raise SystemExit(128 + received[0])


def _keep_calls_of_probe(lines: Iterator[bytes]) -> bytes:
    """Return the lines of a trace between the marks, without those of the lab's own processes.

    The lab's processes are those that made a call before the probe began.
    """
    kept = []
    lab: set[bytes] = set()
    inside = None
    for line in lines:
        pid = line.split(b" ", 1)[0]
        if f"{MARK}: begin".encode() in line:
            inside = pid
        elif f"{MARK}: end".encode() in line:
            inside = None
        elif not inside:
            lab.add(pid)
        elif pid == inside or pid not in lab:
            kept.append(line)
    return b"".join(kept)
