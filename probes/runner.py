"""Ask every probe, each in its own process, and leave nothing behind.

Two processes look after the probes.  The caller's process forks the runner, which starts, watches
and ends the probes' processes (see `pool`), and waits for its report.  Each sees the other's
death as the end of a pipe and cleans up for it, so nothing is left whichever is killed.  Both
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
from .pool import Pool, Stopped, run_all
from .probe import Probe
from .sandbox import describe_error
from .strays import end_strays, make_scratch_folder, remove

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

    ``jobs`` probes run at once: by default enough to wait in parallel, and fewer if a limit
    allows no more.  ``deadline`` is in seconds per probe; by default it is DEADLINE, longer on
    a slow machine.  Each probe is asked ``repeat`` times; if its answers differ the fact is
    ``unstable``.  Call this in the main thread of a process without other threads and children,
    as `probes.measure` does.  Raises OSError if the runner cannot be started, or ends without
    its report.
    """
    caller = _Caller(progress)
    with caller.prepare():
        lens.look(caller.folder)
        caller.start(lambda runner: runner.measure(probes, jobs, deadline, repeat))
        facts = caller.receive()
    return {id: Fact(*fact) for id, fact in facts.items()}


class _Caller:
    """The caller's process, which starts the runner and ends what a dead runner leaves."""

    def __init__(self, progress: Optional[Progress]) -> None:
        self.progress = progress
        self.folder = ""
        self.runner = 0
        self.messages = -1
        """The pipe from which the runner's messages are read."""
        self.lifeline = -1
        """A pipe by whose end the runner sees that this process has ended."""
        self.groups: set[int] = set()
        """Process groups of the running probes, on a platform without reapers."""
        self.signalled = 0

    @contextlib.contextmanager
    def prepare(self) -> Iterator[None]:
        """Make the scratch folder, pass signals on to the runner, and clean up at the end."""
        libc.become_reaper()
        old_handlers = {
            signum: signal.signal(signum, self._pass_on)
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # nohup(1) wants SIGHUP to stay ignored, as a shell wants SIGINT in the background.
            if signal.getsignal(signum) != signal.SIG_IGN
        }
        if signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
            # If it is ignored, the kernel discards the statuses of children.
            old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        old_mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, set(old_handlers))
        # With the caller's umask the lab might not be able to enter its own folder.
        old_umask = os.umask(0o022)

        def restore() -> None:
            for signum, handler in old_handlers.items():
                signal.signal(signum, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            os.umask(old_umask)

        with limits.forbid_core_files(), run_all(restore, self._end):
            self.folder = make_scratch_folder()
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
        """Fork the runner, which sends what ``work`` returns."""
        self._raise_if_signalled()
        reading, writing = os.pipe()
        held, lifeline = os.pipe()
        # A signal between the fork and its record must reach both processes.
        with _block_signals():
            try:
                runner = os.fork()
            except BlockingIOError:
                raise OSError(None, refusals.PROCESSES) from None
            if not runner:
                _run(work, self.folder, writing, held, (reading, lifeline))
            self.runner = runner
        os.close(held)
        os.close(writing)
        self.messages, self.lifeline = reading, lifeline

    def receive(self) -> dict[str, Any]:
        """Return the runner's report.  Raise OSError if the runner fails or ends without one."""
        with open(self.messages, "rb", closefd=False) as messages:
            while True:
                try:
                    kind, content = marshal.load(messages)
                except (EOFError, ValueError, TypeError):
                    break
                if kind == "done":
                    return dict(content)
                if kind == "failed":
                    raise OSError(None, content)
                if kind == "progress" and self.progress:
                    self.progress(*content)
                elif kind == "group":
                    self.groups ^= {content}
        self._raise_if_signalled()
        _, status = os.waitpid(self.runner, 0)
        self.runner = 0
        raise OSError(None, f"the lab's runner {describe_ending(status)}; nothing is left running")

    def _end(self) -> None:
        """Wait until the runner has ended, and end whatever a killed runner left."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            os.close(self.messages)
        if self.runner:
            # It ends without a signal: it has sent its report, or sees the lifeline's end.
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
def _block_signals() -> Iterator[None]:
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
    messages: int,
    lifeline: int,
    others: Iterable[int],
) -> NoReturn:
    """In the child: be the runner, send the result of ``work``, and exit."""
    try:
        for end in others:
            os.close(end)
        runner = Pool(folder, messages, lifeline)
        message: Optional[tuple[str, Any]] = None
        try:
            with runner.prepare():
                message = ("done", work(runner))
        except Stopped:
            message = None
        except BaseException as error:
            message = ("failed", str(refusals.explain(error) or describe_error(error)))
        if message:
            runner.send(*message)
    finally:
        os._exit(0)
