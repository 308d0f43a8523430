"""Every probe in a process of its own: with a deadline, several at a time, nothing left behind.

Those that only ask and change nothing (`Probe.light`) share one, a family at a time.
The runner's process becomes the reaper of orphans where the platform has one
(Linux, FreeBSD), so that a probe that forks and leaves is found and killed too.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from . import command, libc
from .fact import BLOCKED, BROKEN, MEASURED, TIMED_OUT, UNSTABLE, UNSUPPORTED, Fact, show
from .harness import ending, out_of_room
from .probe import Blocked, Probe, Sample, Unsupported

DEADLINE = 10.0
"""Seconds a probe may take, on a machine on which a child is made and reaped in CALIBRATED."""
CALIBRATED = 0.004
LARGEST_ANSWER = 1 << 20

Progress = Callable[[int, int, str], None]
"""Told how many probes are done, of how many, and the id of the last."""


@dataclass
class _Running:
    """A process under way, and the probes it is asked, in turn."""

    probes: list[Probe]
    pid: int
    answer: int
    """Where its answers are read, a line each."""
    scratch: str
    started: float
    """When it began with the probe it is at."""
    limit: float
    text: bytearray = field(default_factory=bytearray)
    facts: list[Fact] = field(default_factory=list)
    status: Optional[int] = None

    @property
    def deadline(self) -> float:
        return self.started + self.limit

    @property
    def spoiled(self) -> bool:
        """Whether a probe broke: what it left behind is not for the others to meet."""
        return bool(self.facts) and self.facts[-1].status == BROKEN

    @property
    def over(self) -> bool:
        return (
            self.status is not None
            or self.spoiled
            or len(self.facts) == len(self.probes)
            or len(self.text) > LARGEST_ANSWER
        )

    def take(self, data: bytes) -> None:
        """What came from it: turn whole lines into facts."""
        self.text += data
        while b"\n" in self.text and not self.spoiled and len(self.facts) < len(self.probes):
            line, _, self.text = self.text.partition(b"\n")
            now = time.monotonic()
            fact = _fact(self.probes[len(self.facts)], bytes(line), 1000 * (now - self.started))
            self.facts.append(fact)
            self.started = now


def run(
    probes: Mapping[str, Probe],
    *,
    jobs: Optional[int] = None,
    deadline: Optional[float] = None,
    repeat: int = 1,
    progress: Optional[Progress] = None,
) -> dict[str, Fact]:
    """Ask every probe and give its fact, by id.

    ``jobs`` run at once (default: enough to wait in parallel).  ``deadline`` is
    seconds a probe; without one it is DEADLINE, stretched on a slow machine.
    Each is asked ``repeat`` times; one that does not always answer the same is
    ``unstable``.  Must be called in the main thread of a process that has no
    other threads and no children of its own: `probes.measure` sees to that.
    """
    runner = _Runner(jobs or 2 * (os.cpu_count() or 1), progress)
    with runner.prepared():
        limit = DEADLINE * runner.slowness() if deadline is None else deadline
        samples = runner.ask(_grouped(probes.values()) * repeat, limit)
    runner.stop_if_asked()
    return {id: _agreed(samples[id]) for id in probes}


class _Runner:
    def __init__(self, jobs: int, progress: Optional[Progress]) -> None:
        self.jobs = jobs
        self.progress = progress
        self.running: dict[int, _Running] = {}
        self.folder = ""
        self.folders = 0
        self.free: list[str] = []
        """Scratch folders of probes that left them as they found them."""
        self.reaper = False
        self.asked_to_stop = 0
        """The signal that asked for the end, if one did."""

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """A scratch folder, child deaths that wake us, and the end of everything at the end."""
        self.reaper = libc.become_reaper()
        ended, wake = os.pipe()
        os.set_blocking(ended, False)
        os.set_blocking(wake, False)
        self.ended = ended
        old_wake = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        old_handlers = {
            signum: signal.signal(signum, handler)
            for signum, handler in (
                (signal.SIGCHLD, lambda *_: None),
                (signal.SIGINT, self._stop),
                (signal.SIGTERM, self._stop),
                (signal.SIGHUP, self._stop),
            )
            # nohup(1) asked for SIGHUP to stay ignored, and a shell for SIGINT in the background.
            if signum == signal.SIGCHLD or signal.getsignal(signum) != signal.SIG_IGN
        }
        old_mask = signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        )
        old_environment = dict(os.environ)
        try:
            self.folder = _scratch_folder()
            # Here and not in each probe: fewer pages to copy.
            os.environ.update(TZ="UTC", LC_ALL="C", HOME=self.folder, TMPDIR=self.folder)
            self.changed = _dispositions()
            self.pid = os.getpid()
            yield
        finally:
            for running in list(self.running.values()):
                self._end(running)
            self._end_strays()
            if self.folder:
                _remove(self.folder)
            os.environ.clear()
            os.environ.update(old_environment)
            signal.set_wakeup_fd(old_wake)
            for signum, handler in old_handlers.items():
                signal.signal(signum, handler)
            os.close(ended)
            os.close(wake)
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)

    def _stop(self, signum: int, frame: object) -> None:
        """Ask for the end.

        No exception from here: it could come between a child's end and the note of it.
        The byte that the signal wrote wakes the loop, which looks.
        """
        self.asked_to_stop = signum

    def stop_if_asked(self) -> None:
        """Raise KeyboardInterrupt, or SystemExit with 128 + the signal, if one asked for it."""
        if self.asked_to_stop == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked_to_stop:
            raise SystemExit(128 + self.asked_to_stop)

    def slowness(self) -> float:
        """How many times slower than CALIBRATED this machine makes and reaps a child, or 1."""
        started = time.monotonic()
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        return max(1.0, (time.monotonic() - started) / CALIBRATED)

    def ask(self, groups: list[list[Probe]], limit: float) -> dict[str, list[Fact]]:
        """Ask every probe, each group in one process.

        The facts by id, one for each time it was asked.
        """
        facts: dict[str, list[Fact]] = {}
        total, done = sum(map(len, groups)), 0
        waiting = groups[::-1]
        with selectors.DefaultSelector() as selector:
            selector.register(self.ended, selectors.EVENT_READ)
            while True:
                self.stop_if_asked()
                while waiting and len(self.running) < self.jobs:
                    started = self._start(waiting.pop(), limit)
                    selector.register(started.answer, selectors.EVENT_READ, started)
                if not self.running:
                    return facts
                first = min(running.deadline for running in self.running.values())
                for key, _ in selector.select(max(0.0, first - time.monotonic())):
                    if key.data is not None:
                        self._read(selector, key.data)
                _drain(self.ended)
                now = time.monotonic()
                for running in list(self.running.values()):
                    self._reap(running)
                    if not running.over and now < running.deadline:
                        continue
                    with contextlib.suppress(KeyError):
                        selector.unregister(running.answer)
                    for fact in self._end(running):
                        facts.setdefault(fact.id, []).append(fact)
                        done += 1
                        if self.progress:
                            self.progress(done, total, fact.id)
                    # One that failed took these with it: they are asked anew.
                    left = running.probes[len(running.facts) :]
                    if left:
                        waiting.append(left)

    def _start(self, probes: list[Probe], limit: float) -> _Running:
        scratch = self.free.pop() if self.free else self._new_scratch()
        reading, writing = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if not pid:
            _answer_all(probes, scratch, writing, self.changed, self.pid)
        os.close(writing)
        os.set_blocking(reading, False)
        running = _Running(probes, pid, reading, scratch, started, limit)
        self.running[pid] = running
        return running

    def _new_scratch(self) -> str:
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
            # Its end of the pipe is closed; its death, if it is one, wakes us by SIGCHLD.
            selector.unregister(running.answer)

    def _reap(self, running: _Running) -> None:
        if running.status is None:
            pid, status = os.waitpid(running.pid, os.WNOHANG)
            if pid:
                running.status = status

    def _end(self, running: _Running) -> list[Fact]:
        """End whatever is left of the process, and tell what came of its probes.

        The last of the facts may be that of a probe that failed, and ended the process.
        """
        elapsed = 1000 * (time.monotonic() - running.started)
        killed = running.status is None
        if libc.FREEBSD and self.reaper:
            libc.reaper_kill(signal.SIGKILL, running.pid)
        for kill in (os.killpg, os.kill):
            # The group even where its leader is gone; the process even before it leads a group.
            if kill is os.killpg or killed:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(running.pid, signal.SIGKILL)
        if running.status is None:
            _, running.status = os.waitpid(running.pid, 0)
        del self.running[running.pid]
        self._take_rest(running)
        if not _closed(running.answer):
            self._end_strays()
        os.close(running.answer)
        if not _is_untouched(running.scratch):
            _remove(running.scratch)
        else:
            # Making a folder and removing it takes the disk longer than the probe.
            self.free.append(running.scratch)
        if not running.spoiled and len(running.facts) < len(running.probes):
            failed = running.probes[len(running.facts)]
            running.facts.append(_failed(failed, *_failure(running, killed, elapsed), elapsed))
        return running.facts

    def _take_rest(self, running: _Running) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(running.text) <= LARGEST_ANSWER:
                data = os.read(running.answer, 65536)
                if not data:
                    break
                running.take(data)

    def _end_strays(self) -> None:
        """Kill the orphans that came to us: our children that are no running probe.

        Each may have children that come to us in turn, so it is done until none is left.
        """
        for _ in range(1000):
            strays = [pid for pid in _children() - set(self.running) if _is_child(pid)]
            if not strays:
                return
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _scratch_folder() -> str:
    """A new folder for this run, where temporary files go: ``$TMPDIR``, else /tmp."""
    parent = os.environ.get("TMPDIR") or "/tmp"
    # Not tempfile: it would quietly go elsewhere, and the file system is part of what is measured.
    folder = os.path.join(os.path.realpath(parent), f"probes-{os.getpid()}-{os.urandom(4).hex()}")
    os.mkdir(folder, 0o700)
    return folder


def _is_untouched(scratch: str) -> bool:
    with contextlib.suppress(OSError):
        return not os.listdir(scratch) and os.stat(scratch).st_mode & 0o7777 == 0o700
    return False


def _answer_all(
    probes: list[Probe], scratch: str, writing: int, changed: Iterable[int], runner: int
) -> None:
    """In the child: leave the lab's surroundings behind, answer, and end."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # A probe begins as a program does: nothing blocked, and every disposition the default
        # but those Python itself sets (SIGPIPE and SIGXFSZ ignored).
        for signum in changed:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with contextlib.suppress(Unsupported, OSError):
            libc.die_with_parent(signal.SIGKILL)
        if os.getppid() != runner:
            return  # It ended before it could be asked to take this process along.
        libc.become_reaper()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        # Through a number out of the way, as `writing` may be 3 or the null device's.
        os.set_inheritable(writing, False)
        kept = os.dup(writing) if writing < 3 else writing
        os.closerange(3, kept)
        os.closerange(kept + 1, _most_descriptors())
        os.chdir(scratch)
        os.umask(0o022)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        parent = os.getpid()
        for probe in probes:
            document = {"id": probe.id, **_answer(probe)}
            if os.getpid() != parent:
                return  # A child of the probe's that came back from it.
            text = json.dumps(document).encode() + b"\n"
            while text:
                text = text[os.write(kept, text) :]
        code = 0
    finally:
        os._exit(code)


def _answer(probe: Probe) -> dict[str, Any]:
    try:
        value = probe()
    except Unsupported as why:
        return {"status": UNSUPPORTED, "reason": str(why)}
    except Blocked as why:
        return {"status": BLOCKED, "reason": str(why)}
    except BaseException as error:
        full = out_of_room(error)
        if full:
            return {"status": BLOCKED, "reason": str(full)}
        return {"status": BROKEN, "reason": _described(error)}
    if isinstance(value, Sample):
        return {"status": MEASURED, "value": value.value, "raw": value.raw}
    return {"status": MEASURED, "value": value}


def _described(error: BaseException) -> str:
    """What went wrong and where, in one line."""
    where = ""
    trace = error.__traceback__
    while trace:
        frame = trace.tb_frame
        where = f" ({os.path.basename(frame.f_code.co_filename)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}".replace("\n", " ")


def _grouped(probes: Iterable[Probe]) -> list[list[Probe]]:
    """The probes that are asked in one process: the light ones of a family, each other alone.

    The largest groups come first, lest all others wait for one at the end.
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


def _failed(probe: Probe, status: str, reason: str, elapsed: float) -> Fact:
    return Fact(probe.id, status, None, probe.scope, None, reason, elapsed)


def _fact(probe: Probe, line: bytes, elapsed: float) -> Fact:
    """The fact in a line that a probe's process wrote."""
    try:
        document = json.loads(line)
        if document.pop("id") != probe.id:
            raise ValueError("it is another's")
        document.update(scope=probe.scope, milliseconds=elapsed)
        document.setdefault("value", None)
        return Fact.from_json(probe.id, document)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        return _failed(probe, BROKEN, f"its answer could not be read: {error}", elapsed)


def _failure(running: _Running, killed: bool, elapsed: float) -> tuple[str, str]:
    """Why a process ended without an answer, as a status and a reason."""
    if len(running.text) > LARGEST_ANSWER:
        return BROKEN, f"its answer is longer than {LARGEST_ANSWER} bytes"
    if killed:
        return TIMED_OUT, f"no answer within {elapsed / 1000:.1f} s"
    assert running.status is not None
    return BROKEN, f"its process {ending(running.status)} without an answer"


def _agreed(facts: list[Fact]) -> Fact:
    """One fact of many samples: the first if all answer alike, else `unstable`."""
    answers = [(fact.status, type(fact.value), fact.value) for fact in facts]
    if len(set(answers)) == 1:
        return facts[0]
    said = ", ".join(show(fact.value) if fact.measured else fact.status for fact in facts)
    reason = f"{len(facts)} times asked, it answered {said}"
    first = facts[0]
    return Fact(first.id, UNSTABLE, None, first.scope, None, reason, first.milliseconds)


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _closed(descriptor: int) -> bool:
    """Whether nobody holds the other end of this non-blocking pipe any more."""
    try:
        return not os.read(descriptor, 1)
    except BlockingIOError:
        return False


def _dispositions() -> list[int]:
    """The signals that a caller ignores or this process handles, but those Python ignores."""
    known = (signal.SIG_DFL, None)
    python = (signal.SIGPIPE, signal.SIGXFSZ)
    return [
        s for s in signal.valid_signals() if signal.getsignal(s) not in known and s not in python
    ]


def _most_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One system call on Linux and FreeBSD however many; elsewhere a loop that must end.
    return min(soft, 65536) if soft > 0 else 65536


def _is_child(pid: int) -> bool:
    """Whether it is still our child, running or not: ps lists itself too, which has ended."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> set[int]:
    """Process ids whose parent is this process, and that of the ps that lists them."""
    me = os.getpid()
    found = set()
    if os.path.exists("/proc/self/stat"):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    if int(file.read().rpartition(b") ")[2].split()[1]) == me:
                        found.add(int(name))
        return found
    _, listed = command.run(["ps", "-ax", "-o", "pid=,ppid="])
    for line in listed.splitlines():
        pid, ppid = map(int, line.split())
        if ppid == me:
            found.add(pid)
    return found


QUEUE_NAME = "message-queue-"
"""A probe that makes a System V message queue first leaves an empty file of this name and the
queue's key in its scratch folder: the queue outlives every process, and this is how it is found
and removed, whenever the probe was killed."""


def _remove(folder: str) -> None:
    """Remove a scratch folder, whatever a killed probe left in it."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rmdir(folder)  # Most probes leave it empty.
            return
        except PermissionError:
            pass
        except OSError as error:
            if error.errno == errno.EBUSY:
                # A file system that a killed probe had mounted (not on Linux: see harness).
                command.run(["umount", folder])
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _remove(entry.path)
                    continue
                if entry.name.startswith(QUEUE_NAME):
                    with contextlib.suppress(OSError, ValueError):
                        queue = libc.call("msgget", int(entry.name[len(QUEUE_NAME) :]), 0)
                        libc.call("msgctl", queue, libc.IPC_RMID, None)
                os.unlink(entry.path)
        os.rmdir(folder)
