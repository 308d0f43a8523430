"""Execute a run: start each subject, put it under load, measure its CPU time, record it.

A trial in the results folder is not repeated, so a run that was killed continues from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from probes import libc
from probes.errors import CommandError
from probes.probe import Unsupported

from ...load.constant_rate import LoadResult, Offered, drive
from .. import subjects
from ..results import folder as results
from ..results.folder import Description, Design, Trial, Window
from . import accounting, describe, paper
from .design import Planned, plan_trials

Say = Callable[[str], None]

_ATTEMPTS = 3
"""Attempts at a trial that is refused: another guest may have disturbed the load."""

_OVERHEAD = 1.5
"""Assumed seconds to start and end a subject, until a trial has been measured."""

_PSS_EVERY = 10
"""Windows between two readings of the memory."""

_STARTS, _ENDS = 60.0, 20.0
"""Seconds within which a load must connect, and a server must end."""


@dataclass(frozen=True)
class RunPlan:
    """The run that the user asked for."""

    folder: Path
    design: Design
    command: tuple[str, ...]


def execute(plan: RunPlan, say: Say) -> int:
    """Measure the trials that are missing; return 1 if a trial was refused, otherwise 0."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    # SIGTERM must end every process that was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        _lock_folder(plan.folder),
        tempfile.TemporaryDirectory(prefix="papaya-experiment-") as scratch,
    ):
        made, left_out = _build_subjects(plan.design, scratch, say)
        description = _describe_run(plan, made, left_out)
        todo = plan_trials(
            list(made), plan.design.connections, plan.design.repeats, plan.design.seed
        )
        with _Files(plan.folder) as files, _run_on(description.cores.load):
            done = {trial.key for trial in results.read_trials(plan.folder)}
            left = [each for each in todo if each.key not in done]
            if done:
                say(f"{len(todo) - len(left)} of {len(todo)} trials are already measured")
            started = time.monotonic()
            for number, each in enumerate(left):
                say(
                    _format_progress(
                        each, number, len(left), time.monotonic() - started, plan.design
                    )
                )
                for attempt in range(1, _ATTEMPTS + 1):
                    trial, windows = _measure_trial(each, made[each.subject], description, scratch)
                    if trial.status == results.OK:
                        break
                    again = "; trying again" if attempt < _ATTEMPTS else ""
                    say(f"refused: {trial.why}{again}")
                files.add(replace(trial, attempts=attempt), windows)
    refused = [c for c in results.read_trials(plan.folder) if c.status == results.REFUSED]
    if refused:
        say(f"{len(refused)} of {len(todo)} trials were refused and do not count")
    return 1 if refused else 0


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder.  Raise CommandError if another run uses it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CommandError(
            f"{folder}: another run is using it; wait for it to end or name another folder", 3
        ) from None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _run_on(cores: tuple[int, ...]) -> Iterator[None]:
    """Move this process to these cores, so that measuring does not disturb the server."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _format_progress(each: Planned, number: int, of: int, spent: float, design: Design) -> str:
    """Return a line about the next trial, with the time left: as planned, then as measured."""
    took = spent / number if number else design.warmup + design.seconds + _OVERHEAD
    minutes, seconds = divmod(int(took * (of - number)), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
    at = f"{each.connections} connection{'s' * (each.connections != 1)}"
    return f"{number + 1} of {of}: {each.subject}, {at}; {left} left"


def _build_subjects(
    design: Design, folder: str, say: Say
) -> tuple[dict[str, subjects.Made], dict[str, str]]:
    """Return the subjects that can be started, and why the others cannot."""
    made, left_out = {}, {}
    for subject in design.subjects:
        say(f"building {subject.name}")
        try:
            made[subject.name] = subjects.make(subject.name, folder)
        except subjects.Missing as missing:
            left_out[subject.name] = str(missing)
            say(f"left out: {subject.name}: {missing}")
    if not made:
        raise CommandError("none of the subjects can be built here; see the reasons above", 3)
    return made, left_out


def _describe_run(
    plan: RunPlan, made: dict[str, subjects.Made], left_out: dict[str, str]
) -> Description:
    """Return the description in ``run.json``; write it if there is none.

    Raise CommandError if the folder holds a run of another design or host.
    """
    path = plan.folder / "run.json"
    description = describe.describe_run(plan.design, plan.command, made, left_out)
    if path.exists():
        there = results.read_description(plan.folder)
        if there.design != plan.design:
            raise CommandError(
                f"{plan.folder}: holds a run with other options; name another folder in --output, "
                "or give the options of that run"
            )
        for what, was, now in (
            ("set of subjects", there.left_out.keys(), left_out.keys()),
            ("host", there.host, description.host),
            ("accounting", there.accounting.method, description.accounting.method),
            ("cores", there.cores, description.cores),
        ):
            if was != now:
                raise CommandError(
                    f"{plan.folder}: holds a run with another {what}; "
                    "name another folder in --output"
                )
        return there
    path.write_text(description.dumps(), encoding="utf-8")
    return description


class _Files:
    """The two files to which rows are appended."""

    def __init__(self, folder: Path) -> None:
        self.trials = _open_file(folder / "cells.csv", results.TRIAL_COLUMNS)
        self.windows = _open_file(folder / "windows.csv", results.WINDOW_COLUMNS)

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.trials)
        os.close(self.windows)

    def add(self, trial: Trial, windows: Sequence[Window]) -> None:
        """Append a trial and its windows; the trial last, because its row makes it count."""
        _append(self.windows, [window.row() for window in windows])
        _append(self.trials, [trial.row()])


def _open_file(path: Path, columns: list[str]) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    text = path.read_bytes()
    # An incomplete line that a killed run left would merge with the next line.
    os.ftruncate(descriptor, text.rfind(b"\n") + 1)
    if b"\n" not in text:
        _append(descriptor, [columns])
    return descriptor


def _append(descriptor: int, rows: Sequence[Sequence[str]]) -> None:
    data = results.format_rows(rows).encode()
    if os.write(descriptor, data) < len(data):
        raise CommandError(
            "the disk is full; free some space and run the same command again to continue", 3
        )
    os.fsync(descriptor)


def _measure_trial(
    each: Planned, made: subjects.Made, description: Description, scratch: str
) -> tuple[Trial, list[Window]]:
    design, cores = description.design, description.cores
    group = server = None

    def prepare() -> None:
        _end_with_runner()
        if group:
            group.join()
        if cores.server:
            os.sched_setaffinity(0, cores.server)

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            if description.accounting.method == "cgroup":
                with subjects.hold_signals():
                    group = accounting.make_group()
            server, address = subjects.start(made, folder, prepare)
            meter = group or accounting.find_meter(server.pid)
            sampled = _sample(each, made, server.pid, meter, address, design, cores.load)
            usage = _end_load(server)
            if meter.method == "rusage":
                # Starting and ending the server is not part of the load.
                server, _ = subjects.start(made, folder, prepare)
                usage = max(0.0, usage - _end_load(server))
        except subjects.NotStarted as error:
            return _refuse(each, f"the subject did not start: {error}"), []
        except CommandError as refused:
            return _refuse(each, str(refused)), []
        finally:
            with subjects.hold_signals():
                if server:
                    subjects.kill(server)
                if group:
                    group.close()
    return _judge_trial(each, made, sampled, usage, meter)


@dataclass
class _Sampled:
    """The readings of one trial."""

    outcome: LoadResult
    windows: list[Window]
    cpu: int
    """Nanoseconds."""
    seconds: float
    switches: tuple[int, int] | None
    steal: float | None
    pss: int | None


def _sample(
    each: Planned,
    made: subjects.Made,
    pid: int,
    meter: accounting.Meter,
    address: tuple[str, int],
    design: Design,
    cores: tuple[int, ...],
) -> _Sampled:
    """Put the server under load from another process, and measure it.

    Raise CommandError if the load could not be offered to the end.
    """
    chat = made.subject.work == results.CHAT
    bits = each.connections * design.mbps * 1e6
    offered = Offered(
        connections=each.connections,
        rate=design.chat_rate if chat else bits / 8 / design.size,
        size=design.chat_size if chat else design.size,
        seconds=design.seconds,
        # A whole life is measured, so the warm-up cannot be left out.
        warmup=0.0 if meter.method == "rusage" else design.warmup,
    )
    context = multiprocessing.get_context("fork")
    heard, telling = context.Pipe()
    load = context.Process(
        target=_run_load, args=(address, offered, made.key, cores, heard, telling)
    )
    try:
        with subjects.hold_signals():
            load.start()
        telling.close()
        if not heard.poll(_STARTS + design.warmup):
            raise CommandError(f"the load did not start within {_STARTS:.0f} s")
        _receive(heard)
        return _watch(each, heard, pid, meter, design)
    finally:
        with subjects.hold_signals():
            if load.pid:
                load.kill()
                load.join()
            heard.close()


def _receive(heard: Connection) -> object:
    try:
        word = heard.recv()
    except EOFError:
        raise CommandError("the load generator died", 3) from None
    if isinstance(word, CommandError):
        raise word
    return word


def _watch(
    each: Planned, heard: Connection, pid: int, meter: accounting.Meter, design: Design
) -> _Sampled:
    """Read the CPU time from the end of the warm-up until the load reports its end."""
    hz = accounting.TICK_HZ
    begun = at = time.monotonic()
    first = cpu = meter.read()
    steal, switches = accounting.read_steal(), accounting.read_switches(pid)
    ticks = accounting.read_ticks(pid) if design.paper else {}
    windows: list[Window] = []
    pss = accounting.read_pss(pid)
    over = False
    while not over:
        due = begun + design.window * (len(windows) + 1)
        over = heard.poll(max(0.0, due - time.monotonic()))
        now, read = time.monotonic(), meter.read()
        if over and now - at < design.window / 2:
            break  # The remainder is too short for a window.
        percents: tuple[float, float] | tuple[None, None] = (None, None)
        if design.paper:
            after = accounting.read_ticks(pid)
            percents = paper.compute_percents(ticks, after, now - at, hz)
            ticks = after
        exact = (read - cpu) / 1e7 / (now - at)
        windows.append(
            Window(
                each.block,
                each.subject,
                each.connections,
                each.aa,
                now - begun,
                now - at,
                exact,
                *percents,
            )
        )
        at, cpu = now, read
        if len(windows) % _PSS_EVERY == 0:
            pss = _keep_larger(pss, accounting.read_pss(pid))
        _show_live(each, None if meter.method == "rusage" else exact, now - begun, design.seconds)
    seconds, used = now - begun, read - first
    _receive(heard)
    after_switches, after_steal = accounting.read_switches(pid), accounting.read_steal()
    pss = _keep_larger(pss, accounting.read_pss(pid))
    heard.send(None)  # The load may now close its connections.
    outcome = _receive(heard)
    assert isinstance(outcome, LoadResult)
    return _Sampled(
        outcome,
        windows if meter.method != "rusage" else [],
        used,
        seconds,
        (after_switches[0] - switches[0], after_switches[1] - switches[1])
        if switches and after_switches
        else None,
        after_steal - steal if steal is not None and after_steal is not None else None,
        pss,
    )


def _keep_larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _show_live(each: Planned, percent: float | None, seconds: float, of: float) -> None:
    """Show the current use on a terminal; the next line overwrites it."""
    if sys.stderr.isatty():
        uses = "" if percent is None else f"{percent:6.1f} % of a core, "
        line = f"  {each.subject}, {each.connections}: {uses}{seconds:.0f} of {of:.0f} s"
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


def _run_load(
    address: tuple[str, int],
    offered: Offered,
    key: bytes | None,
    cores: tuple[int, ...],
    runners: Connection,
    told: Connection,
) -> None:
    """Run the load; this is the main function of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The runner ends this process.
    runners.close()  # With this end open, the death of the runner would go unnoticed.
    _end_with_runner()
    if cores:
        os.sched_setaffinity(0, cores)

    def report_end(at: float) -> None:
        told.send(at)
        told.recv()

    try:
        outcome = drive(address, offered, key=key, started=told.send, ended=report_end)
    except CommandError as refused:
        told.send(refused)
    except (EOFError, BrokenPipeError):
        return  # The runner has ended.
    except OSError as error:
        told.send(CommandError(f"the load: {error.strerror or error}", 3))
    else:
        told.send(outcome)


def _end_with_runner() -> None:
    """Ask the kernel to kill this process when the runner ends, if the platform can."""
    with contextlib.suppress(Unsupported, OSError):
        libc.request_death_signal(signal.SIGKILL)


def _end_load(server: subprocess.Popen[bytes]) -> float:
    """End the server; return the CPU seconds of its whole life and its children's (wait4(2))."""
    server.terminate()
    until = time.monotonic() + _ENDS
    while time.monotonic() < until:
        pid, status, usage = os.wait4(server.pid, os.WNOHANG)
        if pid:
            server.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        time.sleep(0.002)
    raise CommandError(f"the server did not end within {_ENDS:.0f} s")


def _refuse(each: Planned, why: str) -> Trial:
    nothing = dict.fromkeys(results.TRIAL_COLUMNS[7:])
    nothing["accounting"] = ""
    return Trial(
        each.block, each.subject, each.connections, each.aa,
        results.REFUSED, why, 1, **nothing,  # type: ignore[arg-type]
    )  # fmt: skip


def _judge_trial(
    each: Planned, made: subjects.Made, sampled: _Sampled, usage: float, meter: accounting.Meter
) -> tuple[Trial, list[Window]]:
    outcome = sampled.outcome
    if outcome.refused:
        return _refuse(each, outcome.refused), []
    cpu, seconds = sampled.cpu / 1e9, sampled.seconds
    if meter.method == "rusage":
        cpu = usage
    uses = [window.exact_percent for window in sampled.windows]
    mean = statistics.fmean(uses) if uses else 0.0
    megabits = outcome.bytes * 8 / 1e6

    def share(of: float | None) -> float | None:
        return cpu * 1e6 / of if of else None

    trial = Trial(
        block=each.block, subject=each.subject, connections=each.connections, aa=each.aa,
        status=results.OK, why="", attempts=1,
        seconds=seconds, cpu_seconds=cpu, cpu_percent=100 * cpu / seconds,
        cv=statistics.stdev(uses) / mean if len(uses) > 1 and mean else None,
        offered_mbps=outcome.offered_mbps, achieved_mbps=outcome.achieved_mbps,
        bytes=outcome.bytes, messages=outcome.messages, deliveries=outcome.deliveries,
        us_per_message=share(outcome.messages), us_per_mbit=share(megabits),
        us_per_delivery=share(outcome.deliveries),
        voluntary=sampled.switches[0] if sampled.switches else None,
        involuntary=sampled.switches[1] if sampled.switches else None,
        pss_kib=sampled.pss, steal_seconds=sampled.steal,
        load_cpu_percent=outcome.load_cpu_percent, stalls=outcome.stalls,
        lost=outcome.lost, torn=outcome.torn, duplicated=outcome.duplicated,
        disordered=outcome.disordered, p50_ms=outcome.p50_ms, p99_ms=outcome.p99_ms,
        p999_ms=outcome.p999_ms, max_ms=outcome.max_ms, accounting=meter.method,
    )  # fmt: skip
    return trial, sampled.windows
