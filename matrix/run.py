"""Cells side by side: each in a process of its own, brought up, measured, gated, taken down.

A process and not a thread: an interrupt reaches each where it is, and what it began it
takes down itself.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import papaya.engines
from papaya import settings
from probes import Report
from probes import baseline as baselines
from probes.allowances import find_allowances, load_allowances
from probes.errors import CommandError, ReportError
from probes.fact import FAULTS
from probes.load_catalogue import load_catalogue
from probes.probe import Probe
from probes.render_verdict import describe_change

from . import providers
from .cell import Cell

if TYPE_CHECKING:
    from .remote import Platform

Say = Callable[[str], None]

FAILED, DOWN, FAULTY, INTERRUPTED = 1, 3, 4, 130


@dataclass
class Outcome:
    """What came of one cell."""

    cell: str
    status: int = 0
    way: str = ""
    platform: str = ""
    facts: int = 0
    missing: bool = False
    """No way brought it up: the platform cannot be had here."""
    kept: str = ""
    """How to get into what was left up, and to end it."""
    changes: list[str] = field(default_factory=list)
    """A line each that is not as the baseline has it, and not allowed."""
    unasked: int = 0
    """Facts that root alone may ask, who measured the baseline."""
    baseline: str = ""
    """How the baseline was compared: empty where it was."""
    selftest: dict[str, dict[str, Any]] = field(default_factory=dict)
    untried: str = ""
    """Why papaya cannot be tried there."""
    why: str = ""
    """Why it did not get to the end."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Where the time went: up, send, measure, selftest, down."""

    @property
    def line(self) -> str:
        """What a user reads of it."""
        if self.why:
            return f"{self.why}"
        passed = sum(_passes(checks) for checks in self.selftest.values())
        parts = [f"{self.facts} facts"]
        parts.append(self.baseline or f"{len(self.changes)} changed")
        if self.unasked:
            parts.append(f"{self.unasked} not asked: needs root")
        if self.selftest:
            parts.append(f"selftest {passed}/{len(self.selftest)}")
        if self.untried:
            parts.append(f"no selftest: {self.untried}")
        return ", ".join([*parts, _duration(sum(self.seconds.values()))])


def _passes(checks: dict[str, Any]) -> bool:
    return bool(checks) and all(outcome is True for outcome in checks.values())


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


@dataclass(frozen=True)
class Plan:
    """How cells are run."""

    results: str
    """The folder whose ``CELL/`` takes report, selftest and log."""
    keep: bool = False
    """Leave the platform up."""
    selftest: bool = True
    allow: tuple[str, ...] = ()
    """Globs of configured facts that may answer otherwise."""
    require_all: bool = False
    """What only root may ask has to be asked too."""
    install: bool = False
    """Install execnet where this Python has none."""
    deadline: float = 600.0
    """Seconds the lab, and the selftest, may take there."""


_QUICK = ("here", "chroot")
"""The ways that boot nothing."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Missing(CommandError):
    """No way works."""

    def __init__(self, line: str) -> None:
        super().__init__(line, DOWN)


@contextmanager
def _held() -> Iterator[None]:
    """What would stop us waits meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_stop(handler: Any) -> dict[signal.Signals, Any]:
    """What would stop us goes to ``handler``; where it went before.  nohup(1) has its way."""
    heard = [s for s in _STOPPING if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]
    return {s: signal.signal(s, handler) for s in heard}


def run_all(
    cells: list[Cell], plan: Plan, jobs: int, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Run them, ``jobs`` at once; ``done`` is called with each as it ends.

    An interrupt is passed on to all, and what they began is taken down; then the
    outcomes of those that ended, or were interrupted, come back.
    """
    context = multiprocessing.get_context("fork")
    # Those that take long begin first, lest all wait for one of them at the end.
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

    before = _on_stop(stop)
    try:
        while running or (left and not stopping):
            while left and len(running) < jobs and not stopping:
                cell = left.pop(0)
                heard, telling = context.Pipe(duplex=False)
                process = context.Process(target=_in_a_process, args=(cell, plan, telling))
                with _held():  # Until it hears for itself, and we know whom to tell.
                    process.start()
                    running[heard] = cell, process
                telling.close()
            for ready in wait(list(running), timeout=0.5):
                channel: Any = ready
                cell, process = running.pop(channel)
                try:
                    outcome = Outcome(**channel.recv())
                except EOFError:
                    outcome = Outcome(cell.name, DOWN, why="its process died")
                process.join()
                channel.close()
                outcomes.append(outcome)
                done(outcome)
        for cell in left:
            outcomes.append(Outcome(cell.name, INTERRUPTED, why="interrupted before it began"))
            done(outcomes[-1])
    finally:
        if running:  # Nobody reads what we say.
            stop(signal.SIGINT, None)
            for _, process in running.values():
                process.join()
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return outcomes


def _in_a_process(cell: Cell, plan: Plan, told: Connection) -> None:
    # Of its own: an interrupt at the terminal comes once, from our parent, and not at each
    # program that is just at work.
    os.setpgid(0, 0)
    told.send(asdict(run(cell, plan)))
    told.close()


def run(cell: Cell, plan: Plan) -> Outcome:
    """Bring it up, measure, compare, take it down; in a process of its own, `_held`."""
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        # One interrupt is enough to end it; a second does not keep it from cleaning up.
        _on_stop(signal.SIG_IGN)
        raise KeyboardInterrupt

    outcome = Outcome(cell.name)
    try:
        try:
            _on_stop(stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            _logged(cell, plan, outcome)
        finally:
            _on_stop(signal.SIG_IGN)
    except BaseException as error:
        # Also what an interrupt was made into on its way here.
        if stopped:
            outcome.status, outcome.why = INTERRUPTED, "interrupted"
        elif isinstance(error, CommandError):
            outcome.status, outcome.why = error.status, str(error)
            outcome.missing = isinstance(error, _Missing)
        elif isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            outcome.status, outcome.why = DOWN, f"{where}{error.strerror or error}"
        else:
            raise
    log = os.path.join(plan.results, cell.name, "log")
    with suppress(OSError), open(log, "a", encoding="utf-8") as file:
        print(f"{time.strftime('%H:%M:%S')} {outcome.line}", file=file)
    return outcome


def _logged(cell: Cell, plan: Plan, outcome: Outcome) -> None:
    folder = os.path.join(plan.results, cell.name)
    os.makedirs(folder, exist_ok=True)
    for name in ("report.json", "selftest.json"):
        # What an earlier run left is not to be taken for this one's.
        _remove(os.path.join(folder, name))
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:

        def say(line: str) -> None:
            stamp = time.strftime("%H:%M:%S")
            print(f"{stamp} {line}", file=log, flush=True)
            print(f"{cell.name}: {line}", file=sys.stderr, flush=True)

        scratch = ""
        try:
            with _held():
                scratch = tempfile.mkdtemp(prefix=f"matrix-{cell.name}-")
            _run(cell, plan, outcome, folder, scratch, say)
        finally:
            if scratch and not outcome.kept:
                shutil.rmtree(scratch, ignore_errors=True)


def _run(cell: Cell, plan: Plan, outcome: Outcome, folder: str, scratch: str, say: Say) -> None:
    begun: list[providers.Way] = []
    specification = ""
    try:
        try:
            with _timed(outcome, "up"):
                specification = _brought_up(cell, plan, scratch, say, begun)
            outcome.way = begun[0].label or type(begun[0]).__name__.lower()
            errors = os.path.join(folder, "errors")
            _remove(errors)
            from .remote import Platform  # It imports execnet, which is there now.

            _ask(cell, plan, outcome, folder, Platform(specification, errors), say)
        finally:
            _on_stop(signal.SIG_IGN)
    finally:
        for way in begun:
            if plan.keep and specification and (kept := way.kept()):
                outcome.kept = f"{kept}; rm -r {shlex.quote(scratch)}"
                say(f"kept: {outcome.kept}")
            else:
                with _timed(outcome, "down"):
                    way.down()


def _brought_up(cell: Cell, plan: Plan, scratch: str, say: Say, begun: list[providers.Way]) -> str:
    """The gateway of the first way that works; ``begun`` has the way then, to be taken down.

    Where none does: the way that got furthest says why, or each way what it lacks.
    """
    lacking, failed = [], []
    for name, argument in cell.ways:
        way = providers.load_provider(name)(argument, scratch, say)
        lacks = way.lacks()
        if lacks:
            lacking.append(f"by {name}: {lacks}" if len(cell.ways) > 1 else lacks)
            if (name, argument) != cell.ways[-1]:
                say(f"not by {name}: {lacks}")
            continue
        # Not before: what the platform lacks is said though execnet is lacking too.
        need_execnet(plan.install, say)
        begun[:] = [way]
        try:
            return way.up()
        except providers.Unavailable as error:
            with _held():
                way.down()
            failed.append(str(error))
            say(f"not by {name}: {error}")
    raise _Missing(failed[0] if failed else "; or ".join(lacking))


EXECNET = "execnet>=2.1"
_INSTALLING = f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(EXECNET)}"


def need_execnet(install: bool, say: Say) -> None:
    """Refuse where execnet is not there, or install it into this Python."""
    lacks = lacks_execnet()
    if not lacks:
        return
    if not install:
        raise CommandError(lacks, DOWN)
    with _alone():
        if not lacks_execnet():  # Another cell that runs beside this one has installed it.
            return
        say("installing execnet")
        # Without a network it ends at once; its own default is to try for half a minute.
        quick = ["--quiet", "--disable-pip-version-check", "--retries=0", "--timeout=2"]
        done = subprocess.run(
            [sys.executable, "-I", "-m", "pip", "install", *quick, EXECNET],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    if lacks_execnet():
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise CommandError(
            f"execnet cannot be installed ({said[0]}); on a network: {_INSTALLING}", DOWN
        )


def lacks_execnet() -> str:
    """Return that execnet is not there, and what to type; empty if it is."""
    importlib.invalidate_caches()
    there = importlib.util.find_spec("execnet") is not None
    return "" if there else f"execnet is not installed: {_INSTALLING}"


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes of this Python out."""
    descriptor = os.open(sys.prefix, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _ask(
    cell: Cell, plan: Plan, outcome: Outcome, folder: str, platform: Platform, say: Say
) -> None:
    try:
        with _timed(outcome, "send"):
            platform.send()
        with _timed(outcome, "measure"):
            say("measures")
            report = platform.measure(plan.deadline).with_later(cell=cell.name, way=outcome.way)
            report.save(os.path.join(folder, "report.json"))
            outcome.platform = str(report.environment)
            outcome.facts = len(report)
        _gate(cell, plan, outcome, report)
        if plan.selftest:
            with _timed(outcome, "selftest"):
                _selftest(plan, outcome, platform, say)
            with open(os.path.join(folder, "selftest.json"), "w", encoding="utf-8") as file:
                json.dump(outcome.selftest, file, indent=1)
    finally:
        platform.close()


def _gate(cell: Cell, plan: Plan, outcome: Outcome, report: Report) -> None:
    """Hold the report against the cell's baseline."""
    if why := cell.mismatch(report.environment):
        raise CommandError(f"it is {why}", DOWN)
    if not any(fact.measured for fact in report):
        raise CommandError("nothing was measured: each fact of its report says why", DOWN)
    faults = [fact.id for fact in report if fact.status in FAULTS]
    if faults:
        outcome.status = FAULTY
    path = cell.recorded_for(report.environment)
    baseline = _recorded(cell, path)
    if not baseline:
        outcome.baseline = "no baseline" + (f", {len(faults)} failed" if faults else "")
        outcome.changes = [f"{id}: {report[id].status}: {report[id].reason}" for id in faults]
        return
    try:
        verdict = baselines.judge(
            baseline,
            report,
            load_allowances(find_allowances(path)),
            allow=plan.allow,
            require_all=plan.require_all,
        )
    except ReportError as error:
        raise CommandError(str(error)) from None
    failing = verdict.failing(baselines.DRIFT, baselines.LOST, baselines.GONE, baselines.FAULT)
    probes = load_catalogue() if failing else {}
    outcome.changes = [*(_drifted(c, probes) for c in failing), *verdict.complaints]
    outcome.unasked = len(verdict.failing(baselines.UNASKED))
    outcome.status = verdict.status


def _recorded(cell: Cell, path: str) -> Report | None:
    """The baseline of the cell; of another host's Python there is none here."""
    if not os.path.exists(path):
        return None
    try:
        baseline = Report.load(path)
    except ReportError as error:
        raise CommandError(str(error)) from None
    why = cell.mismatch(baseline.environment)
    if why and not cell.is_here:
        raise CommandError(f"{path}: a baseline of {why}")
    return None if why else baseline


def _drifted(change: baselines.Change, probes: Mapping[str, Probe]) -> str:
    """What changed, what to do about it, and what of papaya rests on it."""
    names = [s.name for s in settings.SETTINGS if change.id in s.facts]
    resting = f"; of papaya's settings it bears on {', '.join(names)}" if names else ""
    return describe_change(change, probes) + resting


def _selftest(plan: Plan, outcome: Outcome, platform: Platform, say: Say) -> None:
    if tuple(map(int, platform.python.split("."))) < (3, 11):
        outcome.untried = f"Python {platform.python}"
        say(f"no selftest: papaya needs Python 3.11, and this is {platform.python}")
        return
    engines = papaya.engines.list_engines()
    say(f"selftest of {', '.join(engines)}")
    outcome.selftest = platform.selftest(engines, plan.deadline)
    for engine, checks in outcome.selftest.items():
        if not _passes(checks):
            outcome.status = FAILED
            outcome.changes += [
                f"selftest: {engine}: {check}: {said}"
                for check, said in checks.items()
                if said is not True
            ]


def status_of(outcomes: list[Outcome], allow_missing: bool) -> int:
    """The exit status of all: a failed gate or selftest weighs more than a missing platform."""
    statuses = {o.status for o in outcomes if not (allow_missing and o.missing)}
    order = (INTERRUPTED, FAILED, FAULTY, DOWN, 2)
    return next((status for status in order if status in statuses), 0)


@contextmanager
def _timed(outcome: Outcome, step: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        outcome.seconds[step] = outcome.seconds.get(step, 0.0) + time.monotonic() - started


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
