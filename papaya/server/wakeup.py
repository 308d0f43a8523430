"""The multicast: SIGUSR1 to every sender, and how a sender waits for it.

SIGUSR1 is blocked before the first fork and stays so: one that comes while a sender
is at work is pending, and its next wait takes it.  Several that come together are one,
which is enough, as a sender sends all that is new.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
from collections.abc import Callable

from .event_log import Say
from .processes import close_all_but, fork, sigwait
from .scoreboard import Board

RING = int(signal.SIGUSR1)


def ringer(how: str, group: int, board: Board) -> Callable[[], None]:
    """What tells every sender of a new line; ``how`` is the setting ``multicast``."""
    if how == "killpg":

        def ring() -> None:
            # A group of zombies alone is no permission on macOS.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, RING)

    else:

        def ring() -> None:
            for pid in board.senders():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, RING)

    return ring


def waiter(how: str) -> Callable[[], int]:
    """What waits for SIGUSR1 or SIGTERM and tells which; ``how`` is the setting ``wait``.

    To be called with both blocked; made before the fork, it is memory that senders share.
    """
    signals = {RING, int(signal.SIGTERM)}
    if how == "sigwait":
        return functools.partial(sigwait, signals)
    if how == "sigtimedwait":

        def timed() -> int:
            while (found := signal.sigtimedwait(signals, 3600)) is None:
                pass
            return found.si_signo

        return timed
    return _by_descriptor(signals)


def _by_descriptor(signals: set[int]) -> Callable[[], int]:
    @functools.cache
    def woken() -> int:
        """The descriptor, of the process that waits."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for signum in signals:
            signal.signal(signum, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return reading

    def wait() -> int:
        reading = woken()
        select.select([reading], [], [])
        came = os.read(reading, 4096)
        return signal.SIGTERM if signal.SIGTERM in came else RING

    return wait


class Group:
    """A process group for the senders alone, so that the multicast wakes nobody else.

    A process that does nothing leads it: a group's number may become another's once it
    has no member.  It ends them all when the daemon is gone.
    """

    def __init__(self, say: Say) -> None:
        self.life, self._daemons_end = os.pipe()
        """``life`` reads its end when the daemon is gone, if children close the daemon's end."""
        self.id = fork(self._lead, say)
        # Here as well as there: whoever is forked next finds the group, whichever ran first.
        with contextlib.suppress(PermissionError):
            os.setpgid(self.id, self.id)

    def _lead(self) -> int:
        os.setpgid(0, 0)
        close_all_but(self.life)
        os.read(self.life, 1)
        os.killpg(0, signal.SIGKILL)
        return 0

    def join(self) -> None:
        """Become a member."""
        os.setpgid(0, self.id)

    def end(self) -> None:
        """Kill every member."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id, signal.SIGKILL)
