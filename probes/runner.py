"""Ask every probe, each in a process of its own, and leave nothing behind.

Two processes look after the probes.  The caller's process forks the runner, which starts, watches
and ends the probes' processes (see `pool`), and waits for its report.  Each learns of the other's
death by the end of a pipe and cleans up in its place, so nothing is left whichever is killed.  Both
become the reaper of orphans if the platform has one (Linux, FreeBSD), so that a process a probe
leaves behind is found and killed too.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, NoReturn, Optional

from . import lens, libc, limits, refusals
from .fact import Fact
from .harness.children import describe_ending
from .pool import Pool, Stopped, all_of
from .probe import Probe
from .sandbox import described
from .strays import end_strays, remove, scratch_folder

Progress = Callable[[int, int, str], None]
"""Receives how many probes are done, of how many, and the id of the last."""


def run(
    probes: Mapping[str, Probe],
    *,
    jobs: Optional[int] = None,
    deadline: Optional[float] = None,
    repeat: int = 1,
    progress: Optional[Progress] = None,
) -> dict[str, Fact]:
    """Ask every probe and return its fact, by id.

    ``jobs`` run at once (default: enough to wait in parallel; fewer where a limit allows no
    more).  ``deadline`` is seconds a probe; without one it is DEADLINE, stretched on a slow
    machine.  Each is asked ``repeat`` times; one that does not always answer the same is
    ``unstable``.  Must be called in the main thread of a process that has no other threads and
    no children of its own, as `probes.measure` arranges.  Raises OSError if the runner cannot
    be started, or ends without its report.
    """
    asked = _Asked(progress)
    with asked.prepared():
        lens.look(asked.folder)
        asked.start(lambda runner: runner.measure(probes, jobs, deadline, repeat))
        facts = asked.hear()
    return {id: Fact(*fact) for id, fact in facts.items()}


class _Asked:
    """The caller's process: it starts the runner, and ends what a dead runner leaves."""

    def __init__(self, progress: Optional[Progress]) -> None:
        self.progress = progress
        self.folder = ""
        self.runner = 0
        self.word = -1
        """The pipe on which the runner's messages are read."""
        self.lifeline = -1
        """A pipe whose end tells the runner that this process has ended."""
        self.groups: set[int] = set()
        """Process groups of the running probes, on a platform that has no reaper."""
        self.signalled = 0

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the scratch folder, pass signals on to the runner, and clean up at the end."""
        libc.become_reaper()
        old_handlers = {
            signum: signal.signal(signum, self._pass_on)
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # nohup(1) asked for SIGHUP to stay ignored, and a shell for SIGINT in the background.
            if signal.getsignal(signum) != signal.SIG_IGN
        }
        if signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
            # If the caller ignores it, the kernel throws the statuses of children away.
            old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        old_mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, set(old_handlers))
        # With another umask the lab might not be allowed into its own folder.
        old_umask = os.umask(0o022)

        def restore() -> None:
            for signum, handler in old_handlers.items():
                signal.signal(signum, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            os.umask(old_umask)

        with limits.forbid_core_files(), all_of(restore, self._end):
            self.folder = scratch_folder()
            yield
        self._raise_if_signalled()

    def _pass_on(self, signum: int, frame: object) -> None:
        """Pass the signal on to the runner.

        Raise nothing: an exception could come between the end of a child and its record.
        """
        self.signalled = signum
        if self.runner:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.runner, signum)

    def _raise_if_signalled(self) -> None:
        """Raise KeyboardInterrupt, or SystemExit with 128 + the signal, if a signal came."""
        if self.signalled == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signalled:
            raise SystemExit(128 + self.signalled)

    def start(self, work: Callable[[Pool], dict[str, Any]]) -> None:
        """Fork the runner, which says what ``work`` returns."""
        self._raise_if_signalled()
        reading, writing = os.pipe()
        held, lifeline = os.pipe()
        # A signal between the fork and the record of it must reach both processes.
        with _held():
            try:
                runner = os.fork()
            except BlockingIOError:
                raise OSError(None, refusals.PROCESSES) from None
            if not runner:
                _run(work, self.folder, writing, held, (reading, lifeline))
            self.runner = runner
        os.close(held)
        os.close(writing)
        self.word, self.lifeline = reading, lifeline

    def hear(self) -> dict[str, Any]:
        """Return the runner's report.  Raise OSError if it ends without one, or says it failed."""
        with open(self.word, "rb", closefd=False) as words:
            while True:
                try:
                    kind, told = marshal.load(words)
                except (EOFError, ValueError, TypeError):
                    break
                if kind == "done":
                    return dict(told)
                if kind == "failed":
                    raise OSError(None, told)
                if kind == "progress" and self.progress:
                    self.progress(*told)
                elif kind == "group":
                    self.groups ^= {told}
        self._raise_if_signalled()
        _, status = os.waitpid(self.runner, 0)
        self.runner = 0
        raise OSError(None, f"the lab's runner {describe_ending(status)}; nothing is left running")

    def _end(self) -> None:
        """Wait until the runner has ended, and end whatever a killed one left."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            os.close(self.word)
        if self.runner:
            # It ends by itself: it has sent its report, or sees the end of the lifeline.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.runner, 0)
            self.runner = 0
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        end_strays(set())
        if self.folder and os.path.lexists(self.folder):
            remove(self.folder)


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """Block the signals that end the lab."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(
    work: Callable[[Pool], dict[str, Any]],
    folder: str,
    word: int,
    lifeline: int,
    others: Iterable[int],
) -> NoReturn:
    """In the child: be the runner, say what came of ``work``, and end."""
    try:
        for end in others:
            os.close(end)
        runner = Pool(folder, word, lifeline)
        told: Optional[tuple[str, Any]] = None
        try:
            with runner.prepared():
                told = ("done", work(runner))
        except Stopped:
            told = None
        except BaseException as error:
            told = ("failed", str(refusals.explain(error) or described(error)))
        if told:
            runner.say(*told)
    finally:
        os._exit(0)
