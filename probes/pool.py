"""The runner's pool of processes: several probes run at once, each with a deadline.

Probes that change nothing (`Probe.light`) share a process, one family per process.
"""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import os
import selectors
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from . import compiler, libc, limits, refusals
from .fact import BLOCKED, BROKEN, TIMED_OUT, UNSTABLE, Fact, show
from .harness.children import describe_ending
from .probe import Probe
from .sandbox import answer_all, list_changed_signals
from .strays import end_strays, is_untouched, remove

DEADLINE = 10.0
"""Seconds that a probe may take on a machine that makes and reaps a child in CALIBRATED."""
CALIBRATED = 0.004
LARGEST_ANSWER = 1 << 20
SPARE_DESCRIPTORS = 32
"""Descriptors that are left for the runner itself if the limit is low."""


@dataclass
class _Running:
    """A running process, and the probes that it answers in turn."""

    probes: list[Probe]
    pid: int
    answer: int
    """The pipe from which its answers are read, one line each."""
    scratch: str
    started: float
    """When it started the current probe, by time.monotonic()."""
    limit: float
    text: bytearray = field(default_factory=bytearray)
    facts: list[Fact] = field(default_factory=list)
    status: Optional[int] = None
    crowded: bool = False
    """Whether another probe's process ran at the same time."""

    @property
    def deadline(self) -> float:
        return self.started + self.limit

    @property
    def is_spoiled(self) -> bool:
        """Whether a probe broke: the next one must not run in what it left behind."""
        return bool(self.facts) and self.facts[-1].status == BROKEN

    @property
    def is_over(self) -> bool:
        return (
            self.status is not None
            or self.is_spoiled
            or len(self.facts) == len(self.probes)
            or len(self.text) > LARGEST_ANSWER
        )

    def take(self, data: bytes) -> None:
        """Turn the whole lines received so far into facts."""
        self.text += data
        while b"\n" in self.text and not self.is_spoiled and len(self.facts) < len(self.probes):
            line, _, self.text = self.text.partition(b"\n")
            now = time.monotonic()
            fact = _read_fact(
                self.probes[len(self.facts)], bytes(line), 1000 * (now - self.started)
            )
            self.facts.append(fact)
            self.started = now


class Stopped(Exception):
    """A signal told the runner to end, or the caller's process is gone."""


@contextlib.contextmanager
def run_all(*steps: Callable[[], None]) -> Iterator[None]:
    """Run every step at the end, the last first.  Raise the first exception, not a later one."""
    with contextlib.ExitStack() as stack:
        for step in steps:
            stack.callback(step)
        try:
            yield
        except BaseException as first:
            try:
                stack.close()
            except BaseException:
                raise first from None
            raise


class Pool:
    def __init__(self, folder: str, messages: int, lifeline: int) -> None:
        self.folder = folder
        self.messages = messages
        self.lifeline = lifeline
        self.jobs = 1
        self.running: dict[int, _Running] = {}
        self.folders = 0
        self.free: list[str] = []
        """Scratch folders that are empty again and serve the next probes."""
        self.reaper = False
        self.asked_to_stop = False

    def send(self, kind: str, content: Any) -> None:
        data = marshal.dumps((kind, content))
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self.messages, data) :]

    @contextlib.contextmanager
    def prepare(self) -> Iterator[None]:
        """Let the end of a child wake the loop; at the end, end every process."""
        # A signal to the caller's process group must not end the runner.
        os.setsid()
        self.reaper = libc.become_reaper()
        self.ended, wake = os.pipe()
        os.set_blocking(self.ended, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._stop)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        )
        # Here and not in each probe, because a forked process copies the pages it writes to.
        os.environ.update(TZ="UTC", LC_ALL="C", HOME=self.folder, TMPDIR=self.folder)
        os.environ.setdefault("PATH", os.defpath)  # gcc needs it to find its own parts.
        self.changed = list_changed_signals()
        self.pid = os.getpid()
        with run_all(
            lambda: remove(self.folder), lambda: end_strays(set(self.running)), self._end_all
        ):
            yield

    def _end_all(self) -> None:
        for running in list(self.running.values()):
            self._end(running)

    def _stop(self, signum: int, frame: object) -> None:
        """Note that the lab must end; the byte of set_wakeup_fd() wakes the loop."""
        self.asked_to_stop = True

    def stop_if_asked(self) -> None:
        """Raise Stopped if a signal told the lab to end."""
        if self.asked_to_stop:
            raise Stopped

    def measure(
        self,
        probes: Mapping[str, Probe],
        jobs: Optional[int],
        deadline: Optional[float],
        repeat: int,
    ) -> dict[str, Any]:
        """Ask every probe; return the fields of its fact, by id."""
        allowed = limits.get_descriptor_limit(10000) - SPARE_DESCRIPTORS
        self.jobs = min(jobs or 2 * (os.cpu_count() or 1), max(1, allowed))
        limit = DEADLINE * self.measure_slowness() if deadline is None else deadline
        # Below the probe's own limit, so that the reason names a compiler that hangs.
        compiler.patience = 0.8 * limit
        samples = self.ask(_group(probes.values()) * repeat, limit)
        self.stop_if_asked()
        facts = (_merge(samples[id]) for id in probes)
        return {
            fact.id: (
                fact.id,
                fact.status,
                fact.value,
                fact.scope,
                fact.raw,
                fact.reason,
                fact.milliseconds,
            )
            for fact in facts
        }

    def measure_slowness(self) -> float:
        """Return how many times slower than CALIBRATED this machine makes a child; at least 1."""
        started = time.monotonic()
        try:
            pid = os.fork()
        except BlockingIOError:
            return 1.0
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        return max(1.0, (time.monotonic() - started) / CALIBRATED)

    def ask(self, groups: list[list[Probe]], limit: float) -> dict[str, list[Fact]]:
        """Ask every probe, each group in one process.

        Return the facts by id, one for each time it was asked.
        """
        facts: dict[str, list[Fact]] = {}
        total, done = sum(map(len, groups)), 0
        waiting = groups[::-1]
        with selectors.DefaultSelector() as selector:
            selector.register(self.ended, selectors.EVENT_READ)
            selector.register(self.lifeline, selectors.EVENT_READ)
            while True:
                self.stop_if_asked()
                found = self._start_some(selector, waiting, limit)
                if self.running:
                    found += self._await_some(selector, waiting)
                elif not waiting and not found:
                    return facts
                for fact in found:
                    facts.setdefault(fact.id, []).append(fact)
                    done += 1
                    self.send("progress", (done, total, fact.id))

    def _start_some(
        self, selector: selectors.BaseSelector, waiting: list[list[Probe]], limit: float
    ) -> list[Fact]:
        """Start as many probes as may run at once; return the facts of those that cannot start."""
        tried_alone = False
        while waiting and len(self.running) < self.jobs:
            probes = waiting.pop()
            try:
                started = self._start(probes, limit)
            except OSError as error:
                why = _name_limit(error)
                if not why:
                    raise
                if not self.running:
                    if not tried_alone:
                        # Perhaps processes that an earlier probe left took everything.
                        end_strays(set())
                        waiting.append(probes)
                        tried_alone = True
                        continue
                    return [_make_failed(probe, BLOCKED, why, 0.0) for probe in probes]
                # Run fewer at once: one that ends makes room for the next.
                waiting.append(probes)
                self.jobs = len(self.running)
                break
            selector.register(started.answer, selectors.EVENT_READ, started)
        return []

    def _await_some(
        self, selector: selectors.BaseSelector, waiting: list[list[Probe]]
    ) -> list[Fact]:
        """Wait until something happens; return the facts of the processes that ended."""
        first = min(running.deadline for running in self.running.values())
        for key, _ in selector.select(max(0.0, first - time.monotonic())):
            if key.fd == self.lifeline:
                raise Stopped
            if key.data is not None:
                self._read(selector, key.data)
        _drain(self.ended)
        self._reap()
        found: list[Fact] = []
        now = time.monotonic()
        for running in list(self.running.values()):
            if not running.is_over and now < running.deadline:
                continue
            with contextlib.suppress(KeyError):
                selector.unregister(running.answer)
            for fact in self._end(running):
                if running.crowded and fact.reason in _SHARED_LIMITS:
                    # Perhaps the others took everything: try again, with fewer.
                    self.jobs = max(1, min(self.jobs, len(self.running) + 1) // 2)
                    waiting.insert(0, [p for p in running.probes if p.id == fact.id])
                else:
                    found.append(fact)
            # A probe that failed ended the process of these too: ask them again.
            left = running.probes[len(running.facts) :]
            if left:
                waiting.append(left)
        return found

    def _start(self, probes: list[Probe], limit: float) -> _Running:
        scratch = self.free.pop() if self.free else self._make_scratch()
        try:
            reading, writing = os.pipe()
            try:
                started = time.monotonic()
                pid = os.fork()
            except BaseException:
                os.close(reading)
                os.close(writing)
                raise
        except BaseException:
            self.free.append(scratch)
            raise
        if not pid:
            answer_all(probes, scratch, writing, self.changed, self.pid)
        os.close(writing)
        os.set_blocking(reading, False)
        running = _Running(probes, pid, reading, scratch, started, limit)
        self.running[pid] = running
        if len(self.running) > 1:
            for each in self.running.values():
                each.crowded = True
        if not self.reaper:
            self.send("group", pid)
        return running

    def _make_scratch(self) -> str:
        self.folders += 1
        scratch = os.path.join(self.folder, str(self.folders))
        os.mkdir(scratch, 0o700)
        return scratch

    def _read(self, selector: selectors.BaseSelector, running: _Running) -> None:
        try:
            data = os.read(running.answer, 65536)
        except BlockingIOError:
            return
        running.take(data)
        if not data:
            # The other end is closed; if the process has died, SIGCHLD wakes the loop.
            selector.unregister(running.answer)

    def _reap(self) -> None:
        """Reap every child that has ended: probes' processes, and adopted orphans."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid in self.running:
                    self.running[pid].status = status

    def _end(self, running: _Running) -> list[Fact]:
        """End whatever is left of the process; return the facts of its probes.

        The last fact may be that of a probe that failed and ended the process.
        """
        elapsed = 1000 * (time.monotonic() - running.started)
        killed = running.status is None
        if libc.FREEBSD and self.reaper:
            libc.kill_descendants(signal.SIGKILL, running.pid)
        for kill in (os.killpg, os.kill):
            # The group even if its leader is gone; the process even before it leads a group.
            if kill is os.killpg or killed:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(running.pid, signal.SIGKILL)
        if running.status is None:
            _, running.status = os.waitpid(running.pid, 0)
        del self.running[running.pid]
        if not self.reaper:
            self.send("group", running.pid)
        self._take_rest(running)
        # On FreeBSD kill_descendants() above has already found them.
        left_early = not libc.FREEBSD and (
            len(running.facts) < len(running.probes)
            or any(fact.status in (BLOCKED, BROKEN) for fact in running.facts)
        )
        if left_early or not _is_closed(running.answer) or _has_members(running.pid):
            end_strays(set(self.running))
        os.close(running.answer)
        if not is_untouched(running.scratch):
            remove(running.scratch)
        else:
            # Making and removing a folder would take longer than the probe.
            self.free.append(running.scratch)
        if not running.is_spoiled and len(running.facts) < len(running.probes):
            failed = running.probes[len(running.facts)]
            running.facts.append(
                _make_failed(failed, *_explain_failure(running, killed, elapsed), elapsed)
            )
        return running.facts

    def _take_rest(self, running: _Running) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(running.text) <= LARGEST_ANSWER:
                data = os.read(running.answer, 65536)
                if not data:
                    break
                running.take(data)


_SHARED_LIMITS = (
    refusals.PROCESSES,
    refusals.LIMITS[errno.EMFILE],
    refusals.LIMITS[errno.ENFILE],
    refusals.LIMITS[errno.ENOMEM],
    refusals.LIMITS[errno.ENOSPC],
)
"""Limits that probes which run at once share."""


def _name_limit(error: OSError) -> str:
    """Return the reason if a limit kept a process from being started, otherwise nothing."""
    return (
        refusals.PROCESSES
        if error.errno == errno.EAGAIN
        else refusals.LIMITS.get(error.errno or 0, "")
    )


def _group(probes: Iterable[Probe]) -> list[list[Probe]]:
    """Return the probes of each process: the light ones of a family together, the others alone.

    The largest groups come first, so that the report does not wait for one of them at the end.
    """
    groups: list[list[Probe]] = []
    light: dict[str, list[Probe]] = {}
    for probe in probes:
        if not probe.light:
            groups.append([probe])
        elif probe.family in light:
            light[probe.family].append(probe)
        else:
            groups.append(light.setdefault(probe.family, [probe]))
    return sorted(groups, key=len, reverse=True)


def _make_failed(probe: Probe, status: str, reason: str, elapsed: float) -> Fact:
    return Fact(probe.id, status, None, probe.scope, None, reason, elapsed)


def _read_fact(probe: Probe, line: bytes, elapsed: float) -> Fact:
    """Return the fact in a line that a probe's process wrote."""
    try:
        document = json.loads(line)
        if document.pop("id") != probe.id:
            raise ValueError("it belongs to another probe")
        document.update(scope=probe.scope, milliseconds=elapsed)
        document.setdefault("value", None)
        return Fact.from_json(probe.id, document)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        return _make_failed(probe, BROKEN, f"its answer could not be read: {error}", elapsed)


def _explain_failure(running: _Running, killed: bool, elapsed: float) -> tuple[str, str]:
    """Return the status and the reason of a probe whose process ended without an answer."""
    if len(running.text) > LARGEST_ANSWER:
        return BROKEN, f"its answer is longer than {LARGEST_ANSWER} bytes"
    if killed:
        return TIMED_OUT, f"no answer within {elapsed / 1000:.1f} s"
    assert running.status is not None
    if os.WIFSIGNALED(running.status) and os.WTERMSIG(running.status) == signal.SIGXCPU:
        return BLOCKED, refusals.PROCESSOR_TIME
    return BROKEN, f"its process {describe_ending(running.status)} without an answer"


def _merge(facts: list[Fact]) -> Fact:
    """Return one fact for many samples: the first if all are equal, otherwise `unstable`."""
    answers = [(fact.status, type(fact.value), fact.value) for fact in facts]
    if len(set(answers)) == 1:
        return facts[0]
    answered = ", ".join(show(fact.value) if fact.measured else fact.status for fact in facts)
    reason = f"{len(facts)} times asked, it answered {answered}"
    first = facts[0]
    return Fact(first.id, UNSTABLE, None, first.scope, None, reason, first.milliseconds)


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _has_members(group: int) -> bool:
    """Return whether a group whose leader was reaped still has members, even only zombies."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_closed(descriptor: int) -> bool:
    """Return whether every process has closed the other end of this non-blocking pipe."""
    try:
        return not os.read(descriptor, 1)
    except BlockingIOError:
        return False
