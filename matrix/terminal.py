"""Give the user's terminal a shell on a platform."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from probes.files import write_all

from .errors import Say
from .outcome import FAILED, CellOutcome
from .run import RunPlan, time_step

if TYPE_CHECKING:
    from .cell import Cell
    from .remote import Remote

ESCAPE = "Enter ~ . leaves it at once"
"""What users are told; the keys are those of ssh(1)."""


@dataclass(frozen=True)
class ShellPlan(RunPlan):
    """The shell that is opened."""

    files: bytes = b""
    """A tar archive of what is sent; empty if nothing is."""
    user: bool = False
    """Run the shell as an ordinary user."""


def open_shell(
    cell: Cell, plan: RunPlan, outcome: CellOutcome, folder: str, remote: Remote, say: Say
) -> None:
    """Connect the terminal of this process with a shell on a platform; see `run.Work`."""
    assert isinstance(plan, ShellPlan)
    if plan.files:
        with time_step(outcome, "send"):
            remote.unpack(plan.files)
    say(f"a shell on {cell.title or cell.name}; {ESCAPE}")
    environment = {"TERM": os.environ.get("TERM", "dumb")}
    # bash edits lines, which many a plain sh does not; not every platform has it.
    command = ["sh", "-c", "exec $(command -v bash || echo sh) -i"]
    with time_step(outcome, "run"), _make_raw():
        remote.start_shell(command, environment, plan.user, _find_size())
        with _pass_on_keys(remote):
            status = remote.follow_shell(partial(write_all, 1))
    outcome.exit_status = status
    outcome.status = FAILED if status else 0


def _find_size() -> tuple[int, int]:
    """Return the rows and columns of the terminal."""
    size = os.get_terminal_size(0)
    return size.lines, size.columns


@contextmanager
def _make_raw() -> Iterator[None]:
    """Let the terminal give every key as it is typed, until the block ends."""
    sys.stdout.flush()
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        with suppress(termios.error):  # The terminal is gone.
            termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _pass_on_keys(remote: Remote) -> Iterator[None]:
    """Pass on what is typed, and each new size of the terminal, until the block ends."""
    # A byte tells of a new size; the end of the pipe tells that the shell has ended.
    told, telling = os.pipe()
    reader = threading.Thread(target=_read_keys, args=(remote, told))
    resized = signal.signal(signal.SIGWINCH, lambda *_: os.write(telling, b"w"))
    os.write(telling, b"w")  # It may have changed since the shell was started.
    try:
        reader.start()
        yield
    finally:
        signal.signal(signal.SIGWINCH, resized)
        os.close(telling)
        reader.join()
        os.close(told)


def _read_keys(remote: Remote, told: int) -> None:
    """Pass on what is typed and new sizes until ``told`` ends.

    If the escape is typed, or the terminal is gone, end as if SIGTERM had come.
    """
    keys = Keys()
    while True:
        ready = select.select([0, told], [], [])[0]
        if told in ready:
            if not os.read(told, 1):
                return
            remote.resize(_find_size())
        elif not (data := _read_terminal()) or keys.has_escape(data):
            os.kill(os.getpid(), signal.SIGTERM)
            return
        else:
            remote.type(data)


def _read_terminal() -> bytes:
    try:
        return os.read(0, 1 << 10)
    except OSError:  # EIO: the terminal is gone.
        return b""


class Keys:
    """Find the escape in what is typed: ``~.`` at the beginning of a line."""

    def __init__(self) -> None:
        self._last = b"\r"

    def has_escape(self, data: bytes) -> bool:
        """Return whether ``data`` ends the escape; what was typed before counts."""
        typed = self._last + data
        self._last = typed[-2:]
        return any(end + b"~." in typed for end in (b"\r", b"\n"))
