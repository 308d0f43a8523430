"""Ask one probe, and show what it prints and whole tracebacks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Optional

from . import libc, runner, sandbox, strays
from .fact import UNSTABLE, Fact, show
from .files import write_standard_output
from .harness import children
from .probe import Probe
from .text import make_printable

MARK = "probes debug"
"""A path that is accessed before and after the probe: in a trace, its calls are in between."""

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")


def ask_here(probe: Probe, repeat: int) -> Fact:
    """Ask the probe in this process, so that a debugger can stop in it.

    The probe shares the terminal, the session and the signal handlers with this process, and
    has no deadline.
    """

    def ask() -> Fact:
        with _use_scratch_folder():
            started, pid = time.monotonic(), os.getpid()
            raised: list[BaseException] = []
            answer = sandbox.ask(_add_output(probe, raised.append))
            if os.getpid() != pid:
                os._exit(1)  # A child of the probe returned from it.
            if raised and isinstance(raised[0], KeyboardInterrupt):
                raise raised[0]
            elapsed = 1000 * (time.monotonic() - started)
            return Fact(probe.id, scope=probe.scope, milliseconds=elapsed, **answer)

    return _repeat(probe, repeat, ask)


def ask_in_child(probe: Probe, repeat: int, deadline: Optional[float]) -> Fact:
    """Ask the probe in a process that the runner makes, as it does for a report.

    Only standard output and standard error differ: they go to a file, which is shown at the end.
    """

    def ask() -> Fact:
        with make_output_file() as path:
            shown = _add_output(probe, lambda _: None, path)
            try:
                facts = runner.run({probe.id: shown}, jobs=1, deadline=deadline)
            finally:
                with open(path, "rb") as file:
                    write_standard_output(file.read())
            return facts[probe.id]

    return _repeat(probe, repeat, ask)


def _repeat(probe: Probe, repeat: int, ask: Callable[[], Fact]) -> Fact:
    """Ask several times and print each answer; return one fact, as in a report."""
    _print_line(f"{probe.id}: {probe.question}")
    facts = []
    for number in range(1, repeat + 1):
        fact = ask()
        count = f"{number}/{repeat} " if repeat > 1 else ""
        said = show(fact.value) if fact.measured else fact.reason
        sample = "" if fact.raw is None else f", raw {fact.raw!r}"
        _print_line(f"{count}{fact.status}: {said}{sample} ({fact.milliseconds:.1f} ms)")
        if any(name in fact.reason for name in _CRASHES) and "PYTHONFAULTHANDLER" not in os.environ:
            _print_line("set PYTHONFAULTHANDLER=1 to see where it crashed")
        facts.append(fact)
    answers = Counter((fact.answer, type(fact.value)) for fact in facts)
    if len(answers) == 1:
        return facts[0]
    said = ", ".join(f"{answer} ({count})" for (answer, _), count in answers.items())
    _print_line(f"{UNSTABLE}: answered {said}")
    return Fact(probe.id, UNSTABLE, scope=probe.scope, reason=f"answered {said}")


def _print_line(line: str) -> None:
    write_standard_output(f"{make_printable(line)}\n".encode("utf-8", "backslashreplace"))


def _add_output(
    probe: Probe, on_error: Callable[[BaseException], None], path: Optional[str] = None
) -> Probe:
    """Return the probe with tracebacks printed, and its output written to ``path`` if given."""

    def function(*arguments: Any) -> Any:
        if path is not None:
            _redirect_output(path)
        fork = children.fork

        def fork_with_traceback(function: Callable[[children.Channel], Any]) -> children.Child:
            sys.stdout.flush()  # The child must not print it again.
            return fork(_print_traceback_of(function))

        children.fork = fork_with_traceback
        os.access(f"{MARK}: begin", os.F_OK)
        try:
            return _print_traceback_of(probe.function, on_error)(*arguments)
        finally:
            os.access(f"{MARK}: end", os.F_OK)
            children.fork = fork
            sys.stdout.flush()

    return replace(probe, function=function)


def _redirect_output(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    sys.stdout, sys.stderr = (open(number, "w", 1, closefd=False) for number in (1, 2))


def _print_traceback_of(
    function: Callable[..., Any], on_error: Callable[[BaseException], None] = lambda _: None
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException as error:
            on_error(error)
            with contextlib.suppress(OSError):
                traceback.print_exc()
            raise
        finally:
            # A child ends with _exit(), which does not flush.
            with contextlib.suppress(OSError):
                sys.stdout.flush()

    return call


@contextlib.contextmanager
def make_output_file() -> Iterator[str]:
    """Make an empty file, yield its path, and remove it at the end."""
    path = _make_path()
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        os.unlink(path)


def _make_path() -> str:
    folder = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    return os.path.join(folder, f"probes-debug-{os.getpid()}-{os.urandom(4).hex()}")


@contextlib.contextmanager
def _use_scratch_folder() -> Iterator[None]:
    """Prepare this process as the runner prepares a probe's, except session and descriptors."""
    folder = _make_path()
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
            # The probe may have given up root.
            sys.stderr.write(f"probes: {folder}: left behind ({error.strerror}); remove it\n")
