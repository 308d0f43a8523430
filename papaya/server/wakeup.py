"""The multicast: SIGUSR1 to every sender, and how a sender waits for it.

SIGUSR1 is blocked before the first fork and stays blocked: a signal that arrives while a
sender is busy stays pending, and ends the sender's next wait.  Several pending signals
become one, which is enough, because a sender sends all new lines.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
from typing import TYPE_CHECKING

from .processes import close_inherited, fork_child, sigwait

if TYPE_CHECKING:
    from collections.abc import Callable

    from .event_log import EventLog
    from .scoreboard import Scoreboard

WAKEUP = int(signal.SIGUSR1)


def make_multicast(how: str, group: int, scoreboard: Scoreboard) -> Callable[[], None]:
    """Return a function that wakes every sender; ``how`` is the setting ``multicast``."""
    if how == "killpg":

        def wake_senders() -> None:
            # macOS reports EPERM for a group that has only zombies.
            try:  # noqa: SIM105 (cheaper than contextlib.suppress, for each line of each client)
                os.killpg(group, WAKEUP)
            except (ProcessLookupError, PermissionError):
                pass

    else:

        def wake_senders() -> None:
            for pid in scoreboard.list_senders():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, WAKEUP)

    return wake_senders


def make_wait(how: str) -> Callable[[], int]:
    """Return a function that waits for SIGUSR1 or SIGTERM, and returns the signal's number.

    ``how`` is the setting ``wait``.  Both signals must be blocked when the function is called.
    Call this before the fork, so that the senders share the memory that it takes.
    """
    signals = {WAKEUP, int(signal.SIGTERM)}
    if how == "sigwait":
        return functools.partial(sigwait, signals)
    if how == "sigtimedwait":

        def wait() -> int:
            while (found := signal.sigtimedwait(signals, 3600)) is None:
                pass
            return found.si_signo

        return wait
    return _make_wait_by_descriptor(signals)


def _make_wait_by_descriptor(signals: set[int]) -> Callable[[], int]:
    @functools.cache
    def open_descriptor() -> int:
        """Open the wakeup descriptor of the process that waits."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for signum in signals:
            signal.signal(signum, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return reading

    def wait() -> int:
        reading = open_descriptor()
        select.select([reading], [], [])
        received = os.read(reading, 4096)
        return signal.SIGTERM if signal.SIGTERM in received else WAKEUP

    return wait


class SenderGroup:
    """A process group for the senders only, so that the multicast wakes no other process.

    An idle process leads the group, because the number of a group without members may be
    reused.  The leader kills all members when the daemon has died.
    """

    def __init__(self, log_event: EventLog) -> None:
        self.daemon_alive, self._daemon_end = os.pipe()
        """``daemon_alive`` reads as closed once the daemon has died, if children close the
        daemon's end."""
        self.id = fork_child(self._lead, log_event)
        # Both the parent and the leader do this, so that the group exists for the next child
        # whichever of the two runs first.
        with contextlib.suppress(PermissionError):
            os.setpgid(self.id, self.id)

    def _lead(self) -> int:
        os.setpgid(0, 0)
        close_inherited(self.daemon_alive)
        os.read(self.daemon_alive, 1)
        os.killpg(0, signal.SIGKILL)
        return 0

    def join(self) -> None:
        """Make this process a member."""
        os.setpgid(0, self.id)

    def kill(self) -> None:
        """Kill every member."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id, signal.SIGKILL)
