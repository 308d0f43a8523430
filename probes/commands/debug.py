"""Ask one probe and show everything: what it prints, whole tracebacks, its system calls."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Optional

from .. import libc, runner, sandbox, strays
from ..fact import UNSTABLE, Fact, printable, show
from ..files import write_standard_output
from ..harness import children
from ..probe import Probe

_MARK = "probes debug"
"""In a trace, the calls between two that name this are the probe's."""


_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")


class CannotTrace(Exception):
    """The system calls cannot be traced here.  The message says why, and what to do."""


def ask_here(probe: Probe, repeat: int) -> Fact:
    """Ask the probe in this process, so that a debugger can stop in it.

    It shares the terminal, the session and the signal handlers with this process, and no
    deadline ends it.
    """

    def ask() -> Fact:
        with _scratch():
            started, pid = time.monotonic(), os.getpid()
            raised: list[BaseException] = []
            answer = sandbox.ask(_showing(probe, raised.append))
            if os.getpid() != pid:
                os._exit(1)  # A child of the probe's that came back from it.
            if raised and isinstance(raised[0], KeyboardInterrupt):
                raise raised[0]
            elapsed = 1000 * (time.monotonic() - started)
            return Fact(probe.id, scope=probe.scope, milliseconds=elapsed, **answer)

    return _repeat(probe, repeat, ask)


def ask_in_child(probe: Probe, repeat: int, deadline: Optional[float]) -> Fact:
    """Ask the probe in a process that the runner makes, as it does for a report.

    The one difference: standard output and error are a file, which is shown at the end.
    """

    def ask() -> Fact:
        with _output() as path:
            shown = _showing(probe, lambda _: None, path)
            try:
                facts = runner.run({probe.id: shown}, jobs=1, deadline=deadline)
            finally:
                with open(path, "rb") as file:
                    write_standard_output(file.read())
            return facts[probe.id]

    return _repeat(probe, repeat, ask)


def _repeat(probe: Probe, repeat: int, ask: Callable[[], Fact]) -> Fact:
    """Ask several times and show each answer; return one fact, as a report would have it."""
    _say(f"{probe.id}: {probe.question}")
    facts = []
    for number in range(1, repeat + 1):
        fact = ask()
        count = f"{number}/{repeat} " if repeat > 1 else ""
        said = show(fact.value) if fact.measured else fact.reason
        sample = "" if fact.raw is None else f", raw {fact.raw!r}"
        _say(f"{count}{fact.status}: {said}{sample} ({fact.milliseconds:.1f} ms)")
        if any(name in fact.reason for name in _CRASHES) and "PYTHONFAULTHANDLER" not in os.environ:
            _say("set PYTHONFAULTHANDLER=1 to see where it was")
        facts.append(fact)
    answers = Counter((fact.answer, type(fact.value)) for fact in facts)
    if len(answers) == 1:
        return facts[0]
    said = ", ".join(f"{answer} ({count})" for (answer, _), count in answers.items())
    _say(f"{UNSTABLE}: answered {said}")
    return Fact(probe.id, UNSTABLE, scope=probe.scope, reason=f"answered {said}")


def _say(line: str) -> None:
    write_standard_output(f"{printable(line)}\n".encode("utf-8", "backslashreplace"))


def _showing(
    probe: Probe, tell: Callable[[BaseException], None], path: Optional[str] = None
) -> Probe:
    """Return the probe with its output written to ``path`` if given, and tracebacks in it."""

    def function(*arguments: Any) -> Any:
        if path is not None:
            _write_to(path)
        fork = children.fork

        def showing(function: Callable[[children.Channel], Any]) -> children.Child:
            sys.stdout.flush()  # The child must not print it again.
            return fork(_with_traceback(function))

        children.fork = showing
        os.access(f"{_MARK}: begin", os.F_OK)
        try:
            return _with_traceback(probe.function, tell)(*arguments)
        finally:
            os.access(f"{_MARK}: end", os.F_OK)
            children.fork = fork
            sys.stdout.flush()

    return replace(probe, function=function)


def _write_to(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    sys.stdout, sys.stderr = (open(number, "w", 1, closefd=False) for number in (1, 2))


def _with_traceback(
    function: Callable[..., Any], tell: Callable[[BaseException], None] = lambda _: None
) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException as error:
            tell(error)
            with contextlib.suppress(OSError):
                traceback.print_exc()
            raise
        finally:
            # A child ends by _exit(), which flushes nothing.
            with contextlib.suppress(OSError):
                sys.stdout.flush()

    return wrapped


def _new_name() -> str:
    folder = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    return os.path.join(folder, f"{_MARK.replace(' ', '-')}-{os.getpid()}-{os.urandom(4).hex()}")


@contextlib.contextmanager
def _output() -> Iterator[str]:
    """Make an empty file that is removed at the end; give its path."""
    path = _new_name()
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        os.unlink(path)


@contextlib.contextmanager
def _scratch() -> Iterator[None]:
    """Prepare this process as the runner prepares a probe's, but for session and descriptors."""
    folder = _new_name()
    os.mkdir(folder, 0o700)
    before = os.open(".", os.O_RDONLY)
    environment = dict(os.environ)
    umask = os.umask(0o022)
    try:
        os.chdir(folder)
        os.environ.update(TZ="UTC", LC_ALL="C", HOME=folder, TMPDIR=folder)
        libc.become_reaper()
        yield
    finally:
        strays.end_strays(set())
        os.umask(umask)
        os.environ.clear()
        os.environ.update(environment)
        with contextlib.suppress(OSError):
            os.fchdir(before)
        os.close(before)
        try:
            strays.remove(folder)
        except OSError as error:
            # The probe gave up root, perhaps.
            sys.stderr.write(f"probes: {folder}: left behind ({error.strerror}); remove it\n")


# Traces -------------------------------------------------------------------------------


def trace(arguments: list[str]) -> tuple[int, bytes]:
    """Run ``probes debug ARGUMENTS`` by strace; return its exit status, and the probe's calls.

    The calls of the lab around the probe are left out.  Raises CannotTrace.
    """
    strace = _find_strace()
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "probes", "debug", *arguments]
    with _output() as written:
        tracer = subprocess.Popen(
            [strace, "-f", "-s", "256", "-o", written, *command],
            env={**os.environ, "PYTHONPATH": path},
        )
        with _passing_on(written):
            status = tracer.wait()
        with open(written, "rb") as file:
            calls = _calls_of_probe(file)
    if status not in (0, 2, 3, 4) or not (calls or status == 2):
        raise CannotTrace(
            f"strace ended with {status}: it may not trace here; allow ptrace "
            "(in a container by --cap-add SYS_PTRACE), or leave --strace out"
        )
    return status, calls


def _find_strace() -> str:
    if not libc.LINUX:
        raise CannotTrace(
            f"strace traces Linux, and this is {libc.SYSTEM}; put the system's own tracer "
            "(truss -f, ktruss, dtruss) in front of the command, with --here"
        )
    found = shutil.which("strace")
    if not found:
        raise CannotTrace(
            "strace is not installed; get it by apt install strace (Debian, Ubuntu), "
            "dnf install strace (Fedora) or apk add strace (Alpine)"
        )
    return found


@contextlib.contextmanager
def _passing_on(written: str) -> Iterator[None]:
    """Pass a signal that asks for the end on to the lab that is traced, and end after it.

    strace itself ignores them.  SIGINT comes from a terminal, which sends it to the traced
    lab too.
    """
    asked: list[int] = []

    def pass_on(signum: int, frame: object) -> None:
        asked.append(signum)
        with open(written, "rb") as file:
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
    if signal.SIGINT in asked:
        raise KeyboardInterrupt
    if asked:
        raise SystemExit(128 + asked[0])


def _calls_of_probe(lines: Iterator[bytes]) -> bytes:
    """Return the lines of a trace between the marks, without those of the lab's own processes.

    These were there before the probe began, and do what they do meanwhile at any moment.
    """
    kept = []
    lab: set[bytes] = set()
    inside = None
    for line in lines:
        pid = line.split(b" ", 1)[0]
        if f"{_MARK}: begin".encode() in line:
            inside = pid
        elif f"{_MARK}: end".encode() in line:
            inside = None
        elif not inside:
            lab.add(pid)
        elif pid == inside or pid not in lab:
            kept.append(line)
    return b"".join(kept)
