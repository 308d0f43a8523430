"""Run cells side by side: bring each up, measure it, compare it, take it down.

Each cell has a process of its own, not a thread: an interrupt reaches each one wherever it is, and
each takes down itself what it started.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import papaya.engines
from probes.errors import CommandError

from . import providers
from .cell import Cell
from .errors import Say, Unavailable
from .execnet_package import require_execnet
from .gate import compare_with_baseline
from .interrupts import STOPPING, block_stopping
from .outcome import DOWN, FAILED, INTERRUPTED, CellOutcome, is_passed

if TYPE_CHECKING:
    from .remote import Remote


@dataclass(frozen=True)
class RunPlan:
    """How cells are run."""

    results: str
    """The folder whose ``CELL/`` takes report, selftest and log."""
    keep: bool = False
    """Leave the platforms up."""
    selftest: bool = True
    allow: tuple[str, ...] = ()
    """Globs of configured facts that may differ from the baseline."""
    require_all: bool = False
    """Fail if facts that need root were not asked."""
    install_execnet: bool = False
    """Install execnet if this Python lacks it."""
    packages: tuple[str, ...] = ()
    """Debian packages that the platform gets if its provider can add any."""
    deadline: float = 600.0
    """Seconds that the lab, the selftest or a user's command may take on the platform."""


_QUICK = ("here", "chroot")
"""The providers that boot nothing."""


Work = Callable[[Cell, RunPlan, CellOutcome, str, "Remote", Say], None]
"""What is done on a platform that is up: it takes the cell's folder of results as a string."""


class _MissingError(CommandError):
    """No provider could bring the platform up."""

    def __init__(self, line: str) -> None:
        super().__init__(line, DOWN)


def _set_stopping(handler: Any) -> dict[signal.Signals, Any]:
    """Set the handler of the signals that would stop this process; return those before.

    A SIGHUP that nohup(1) ignores stays ignored.
    """
    heard = [s for s in STOPPING if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]
    return {s: signal.signal(s, handler) for s in heard}


def _ignore(signum: int, frame: object) -> None:
    """Ignore a signal.

    Python complains on standard error if SIG_IGN is set after a signal came, and before its handler
    ran.
    """


def run_all(
    cells: list[Cell],
    plan: RunPlan,
    jobs: int,
    done: Callable[[CellOutcome], None],
    work: Work | None = None,
) -> list[CellOutcome]:
    """Run the cells, ``jobs`` at once, and return their outcomes; call ``done`` as each ends.

    ``work`` is done on each platform; without it the platform is measured and tested.

    An interrupt is passed on to all cells, and each takes down what it started.  Then the
    outcomes of those that ended, or were interrupted, are returned.
    """
    context = multiprocessing.get_context("fork")
    # Slow cells start first, so that the run does not end with everything waiting for one.
    left = sorted(cells, key=lambda cell: cell.ways[0][0] in _QUICK)
    running: dict[Any, tuple[Cell, Any]] = {}
    outcomes = []
    stopping = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        for _, process in running.values():
            if process.pid:
                os.kill(process.pid, signal.SIGINT)

    before = _set_stopping(stop)
    try:
        while running or (left and not stopping):
            while left and len(running) < jobs and not stopping:
                cell = left.pop(0)
                heard, telling = context.Pipe(duplex=False)
                process = context.Process(target=_run_in_process, args=(cell, plan, work, telling))
                with block_stopping():  # Until it handles signals itself, and `running` has its id.
                    process.start()
                    running[heard] = cell, process
                telling.close()
            for ready in wait(list(running), timeout=0.5):
                channel: Any = ready
                cell, process = running.pop(channel)
                try:
                    outcome = CellOutcome(**channel.recv())
                except EOFError:
                    outcome = CellOutcome(cell.name, DOWN, why="its process died")
                process.join()
                channel.close()
                outcomes.append(outcome)
                done(outcome)
        for cell in left:
            outcomes.append(CellOutcome(cell.name, INTERRUPTED, why="interrupted before it began"))
            done(outcomes[-1])
    finally:
        if running:  # The caller was interrupted in `done`: end what still runs.
            stop(signal.SIGINT, None)
            for _, process in running.values():
                process.join()
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return outcomes


def _run_in_process(cell: Cell, plan: RunPlan, work: Work | None, told: Connection) -> None:
    # A process group of its own: an interrupt at the terminal then arrives once, from the parent,
    # and does not hit the programs that this process has started.
    os.setpgid(0, 0)
    told.send(asdict(run_one(cell, plan, work)))
    told.close()


def run_one(cell: Cell, plan: RunPlan, work: Work | None = None) -> CellOutcome:
    """Bring a cell up, do the work there, take it down.

    The caller is a process of its own that has blocked the stopping signals.
    """
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        # A second interrupt must not keep it from cleaning up.
        _set_stopping(_ignore)
        raise KeyboardInterrupt

    outcome = CellOutcome(cell.name)
    try:
        try:
            _set_stopping(stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            _run_with_log(cell, plan, outcome, work or _measure_and_test)
        finally:
            _set_stopping(_ignore)
    except BaseException as error:
        # An interrupt may arrive here as another exception that it caused.
        if stopped:
            outcome.status, outcome.why = INTERRUPTED, "interrupted"
        elif isinstance(error, CommandError):
            outcome.status, outcome.why = error.status, str(error)
            outcome.missing = isinstance(error, _MissingError)
        elif isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            outcome.status, outcome.why = DOWN, f"{where}{error.strerror or error}"
        else:
            raise
    log = os.path.join(plan.results, cell.name, "log")
    with suppress(OSError), open(log, "a", encoding="utf-8") as file:
        print(f"{time.strftime('%H:%M:%S')} {outcome.line}", file=file)
    return outcome


def _run_with_log(cell: Cell, plan: RunPlan, outcome: CellOutcome, work: Work) -> None:
    folder = os.path.join(plan.results, cell.name)
    os.makedirs(folder, exist_ok=True)
    for name in ("report.json", "selftest.json"):
        # The result of an earlier run must not be taken for this one's.
        _remove_file(os.path.join(folder, name))
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:

        def say(line: str) -> None:
            stamp = time.strftime("%H:%M:%S")
            print(f"{stamp} {line}", file=log, flush=True)
            print(f"{cell.name}: {line}", file=sys.stderr, flush=True)

        scratch = ""
        try:
            with block_stopping():
                scratch = tempfile.mkdtemp(prefix=f"matrix-{cell.name}-")
            _run_cell(cell, plan, outcome, folder, scratch, say, work)
        finally:
            if scratch and not outcome.kept:
                shutil.rmtree(scratch, ignore_errors=True)


def _run_cell(
    cell: Cell,
    plan: RunPlan,
    outcome: CellOutcome,
    folder: str,
    scratch: str,
    say: Say,
    work: Work,
) -> None:
    begun: list[providers.Provider] = []
    specification = ""
    try:
        try:
            with time_step(outcome, "up"):
                specification = _bring_up(cell, plan, scratch, say, begun)
            outcome.way = begun[0].label or type(begun[0]).__name__.lower()
            errors = os.path.join(folder, "errors")
            _remove_file(errors)
            from .remote import Remote  # It imports execnet, which was installed only just now.

            remote = Remote(specification, errors)
            try:
                work(cell, plan, outcome, folder, remote, say)
            finally:
                remote.close()
        finally:
            _set_stopping(_ignore)
    finally:
        for provider in begun:
            if plan.keep and specification and (kept := provider.explain_kept()):
                outcome.kept = f"{kept}; rm -r {shlex.quote(scratch)}"
                say(f"kept: {outcome.kept}")
            else:
                with time_step(outcome, "down"):
                    provider.down()


def _bring_up(
    cell: Cell, plan: RunPlan, scratch: str, say: Say, begun: list[providers.Provider]
) -> str:
    """Return the gateway of the first provider that works, which ``begun`` then holds.

    If none works, raise _MissingError with the reason of the provider that got furthest, or with
    what each provider lacks.
    """
    lacking, failed = [], []
    for name, argument in cell.ways:
        provider = providers.load_provider(name)(argument, scratch, say)
        if plan.packages:
            provider.add_packages(plan.packages)
        lack = provider.explain_lack()
        if lack:
            lacking.append(f"by {name}: {lack}" if len(cell.ways) > 1 else lack)
            if (name, argument) != cell.ways[-1]:
                say(f"not by {name}: {lack}")
            continue
        # Only now, so that what the platform lacks is said first.
        require_execnet(plan.install_execnet, say)
        begun[:] = [provider]
        try:
            return provider.up()
        except Unavailable as error:
            with block_stopping():
                provider.down()
            failed.append(str(error))
            say(f"not by {name}: {error}")
    raise _MissingError(failed[0] if failed else "; or ".join(lacking))


def _measure_and_test(
    cell: Cell, plan: RunPlan, outcome: CellOutcome, folder: str, remote: Remote, say: Say
) -> None:
    with time_step(outcome, "send"):
        remote.send()
    with time_step(outcome, "measure"):
        say("measuring")
        report = remote.measure(plan.deadline).with_later(cell=cell.name, way=outcome.way)
        report.save(os.path.join(folder, "report.json"))
        outcome.platform = str(report.environment)
        outcome.facts = len(report)
    compare_with_baseline(cell, report, outcome, plan.allow, plan.require_all)
    if plan.selftest:
        with time_step(outcome, "selftest"):
            _run_selftest(plan, outcome, remote, say)
        with open(os.path.join(folder, "selftest.json"), "w", encoding="utf-8") as file:
            json.dump(outcome.selftest, file, indent=1)


def _run_selftest(plan: RunPlan, outcome: CellOutcome, remote: Remote, say: Say) -> None:
    if tuple(map(int, remote.python.split("."))) < (3, 11):
        outcome.untried = f"Python {remote.python}"
        say(f"no selftest: papaya needs Python 3.11, and this is {remote.python}")
        return
    engines = papaya.engines.list_engines()
    say(f"selftest of {', '.join(engines)}")
    outcome.selftest = remote.selftest(engines, plan.deadline)
    for engine, checks in outcome.selftest.items():
        if not is_passed(checks):
            outcome.status = FAILED
            outcome.changes += [
                f"selftest: {engine}: {check}: {said}"
                for check, said in checks.items()
                if said is not True
            ]


@contextmanager
def time_step(outcome: CellOutcome, step: str) -> Iterator[None]:
    """Add the seconds of the block to a step of the outcome."""
    started = time.monotonic()
    try:
        yield
    finally:
        outcome.seconds[step] = outcome.seconds.get(step, 0.0) + time.monotonic() - started


def _remove_file(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
