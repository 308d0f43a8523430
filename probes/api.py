"""Provide measure(), for programs that import the lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NoReturn, Optional

from .errors import ReportError
from .fact import Fact, Platform, Report

__all__ = ["Fact", "Platform", "Report", "ReportError", "measure"]


def measure(
    only: Iterable[str] = (),
    *,
    skip: Iterable[str] = (),
    jobs: Optional[int] = None,
    deadline: Optional[float] = None,
    repeat: int = 1,
    fresh: bool = True,
) -> Report:
    """Measure this platform: the facts whose ids match a glob of ``only``, or all.

    This is what ``python3 -m probes report`` does.  ``jobs`` probes run at once, each at most
    ``deadline`` seconds; ``repeat`` is the number of runs of each.

    The lab runs in a fresh interpreter, because in a fork of this process its threads,
    signal handlers, descriptors and children would affect the answers.  A program that has none of
    these, such as one that has just started, can save half of the time with ``fresh=False``,
    which measures in a fork of this process.

    Raises LookupError if a pattern matches nothing, ValueError for a number out of range,
    ReportError if the lab itself fails, and KeyboardInterrupt if the user interrupts it.  If a
    probe fails, its fact has that status, and no exception is raised.
    """
    if isinstance(only, str) or isinstance(skip, str):
        raise TypeError("only and skip are lists of globs, such as ['signals.*']")
    if fresh:
        return _measure_in_new_interpreter(list(only), list(skip), jobs, deadline, repeat)
    return _measure_in_fork(list(only), list(skip), jobs, deadline, repeat)


def _measure_in_new_interpreter(
    only: list[str],
    skip: list[str],
    jobs: Optional[int],
    deadline: Optional[float],
    repeat: int,
) -> Report:
    import subprocess  # Slow to import, and not needed by the command line.

    options = [f"--only={glob}" for glob in only] + [f"--skip={glob}" for glob in skip]
    if jobs is not None:
        options.append(f"--jobs={jobs}")
    if deadline is not None:
        options.append(f"--deadline={deadline}")
    options.append(f"--repeat={repeat}")
    # The folder, or the archive, that this package was imported from.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    lab = subprocess.run(
        [sys.executable, "-m", "probes", "report", "--format", "json", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if lab.returncode in (0, 3, 4) and lab.stdout:
        return Report.loads(lab.stdout)
    line = lab.stderr.strip().rpartition("\n")[2] or f"the lab exited with {lab.returncode}"
    if lab.returncode != 2:
        raise ReportError(line, 3)
    raise (LookupError if "matches" in line or "nothing is left" in line else ValueError)(line)


def _measure_in_fork(
    only: list[str],
    skip: list[str],
    jobs: Optional[int],
    deadline: Optional[float],
    repeat: int,
) -> Report:
    import marshal

    reading, writing = os.pipe()
    sys.stdout.flush()  # The child must not flush the same text again.
    pid = os.fork()
    if not pid:
        os.close(reading)
        _measure_and_exit(writing, only, skip, jobs, deadline, repeat)
    os.close(writing)
    try:
        with open(reading, "rb") as answer:
            text = answer.read()
    finally:
        _, status = os.waitpid(pid, 0)
    if not text:
        how = f"exit status {os.WEXITSTATUS(status)}"
        if os.WIFSIGNALED(status):
            how = f"killed by signal {os.WTERMSIG(status)}"
        raise ReportError(f"the lab could not measure this host ({how})", 3)
    kind, told = marshal.loads(text)
    if kind == "report":
        return Report.loads(told)
    if kind == "interrupt":
        raise KeyboardInterrupt
    errors = {"lookup": LookupError, "value": ValueError}
    raise errors[kind](told) if kind in errors else ReportError(told, 3)


def _measure_and_exit(
    writing: int,
    only: list[str],
    skip: list[str],
    jobs: Optional[int],
    deadline: Optional[float],
    repeat: int,
) -> NoReturn:
    """In the forked child: measure, write the report or the error to ``writing``, and exit."""
    try:
        import gc
        import marshal

        gc.disable()  # A garbage collection would copy the memory shared with the parent.
        from .failures import describe_failure
        from .files import write_all

        try:
            from .load_catalogue import load_catalogue
            from .measurement import RunOptions, explain_refusals, measure_probes
            from .selection import select

            try:
                options = RunOptions(jobs, deadline, repeat)
                chosen = select(load_catalogue(), only, skip)
            except LookupError as error:
                answer = ("lookup", str(error.args[0]))
            except ValueError as error:
                answer = ("value", str(error))
            else:
                with explain_refusals():
                    answer = ("report", measure_probes(chosen, options).dumps())
        except KeyboardInterrupt:
            answer = ("interrupt", "")
        except Exception as error:
            answer = ("failure", describe_failure(error, "probes")[1])
        write_all(writing, marshal.dumps(answer))
    finally:
        os._exit(3)
