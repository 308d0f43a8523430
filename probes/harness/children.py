"""Start, stop and wait for children, and exchange messages with them."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import time
from typing import Any, Callable, Optional

from .. import lens, refusals, run_program
from ..probe import Blocked, Unsupported


class ChildDied(Exception):
    """A child ended before it sent the message that is due.  The text says how it ended."""


class Channel:
    """One end of a two-way connection between two processes of this interpreter: two pipes.

    A message is None, a bool, a number, a string, or lists and dicts of those.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing
        self.received = b""
        """Bytes that were read, and are not yet part of a message that was returned."""

    @classmethod
    def create_pair(cls) -> tuple[Channel, Channel]:
        """Return both ends of a new connection."""
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        return cls(reading, writing), cls(their_reading, their_writing)

    def send(self, message: Any = None) -> None:
        # Not JSON: marshal is done in C, and touches a quarter of the memory, which a
        # forked process copies page by page.
        data = marshal.dumps(message)
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self.writing, data) :]

    def receive(self) -> Any:
        """Return the next message.  Raise EOFError if the other process closes its end first."""
        return marshal.loads(self._take(int.from_bytes(self._take(4), "big")))

    def _take(self, count: int) -> bytes:
        while len(self.received) < count:
            self._read()
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def _read(self) -> None:
        data = os.read(self.reading, 65536)
        if not data:
            raise EOFError("the other process ended without a message")
        self.received += data

    def is_readable(self, seconds: float = 0) -> bool:
        """Wait at most ``seconds``; return whether a message or the end can be received."""
        return bool(self.received or select.select([self.reading], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Child(Channel):
    """A forked process and the connection to it.

    As a context manager it kills and reaps the process at the end, however the probe ends.
    """

    def __init__(self, pid: int, end: Channel) -> None:
        super().__init__(end.reading, end.writing)
        self.pid = pid
        self.status: Optional[int] = None

    def _read(self) -> None:
        try:
            super()._read()
        except EOFError:
            raise ChildDied(f"a child of the probe {describe_ending(self.wait())}") from None

    def receive(self) -> Any:
        message = super().receive()
        if isinstance(message, dict) and "raised" in message:
            raise _EXCEPTIONS.get(message["raised"], RuntimeError)(message["message"])
        return message

    def wait(self) -> int:
        """Reap the process if that is still to be done; return its wait status."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        return self.status

    def kill(self, signum: int = signal.SIGKILL) -> None:
        if self.status is None:
            os.kill(self.pid, signum)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        # A process that changed its user id may not be signalled; the runner ends it as a stray.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.kill()
        with contextlib.suppress(ChildProcessError):
            self.wait()
        self.close()


_EXCEPTIONS: dict[str, type[Exception]] = {"Unsupported": Unsupported, "Blocked": Blocked}


def fork(function: Callable[[Channel], Any]) -> Child:
    """Run ``function`` in a child; its last message is what the function returns.

    The function gets the child's end of the connection.  `Child.receive` raises again the
    Unsupported or Blocked that the function raises.
    """
    ours, theirs = Channel.create_pair()
    pid = lens.fork_process()
    if pid:
        theirs.close()
        return Child(pid, ours)
    code = 1
    try:
        ours.close()
        try:
            theirs.send(function(theirs))
            code = 0
        except Exception as error:
            theirs.send(_describe_exception(error))
    finally:
        os._exit(code)


def _describe_exception(error: Exception) -> dict[str, str]:
    error = refusals.explain(error) or error
    return {"raised": type(error).__name__, "message": f"{error}" or repr(error)}


def run_in_child(function: Callable[[], Any]) -> Any:
    """Return what ``function`` returns in a child, which ends then."""
    with fork(lambda _: function()) as child:
        return child.receive()


class Shell(Child):
    """A child that runs sh(1).  Each line it prints is a message; its input is a pipe."""

    def receive(self) -> str:
        while b"\n" not in self.received:
            self._read()
        line, _, self.received = self.received.partition(b"\n")
        return line.decode()

    def close_input(self) -> None:
        """Let the shell read the end of its input; its output can still be received."""
        os.close(self.writing)
        self.writing = run_program.open_nothing()


def start_shell(script: str, before: Callable[[], Any] = lambda: None) -> Shell:
    """Start a child that runs ``before`` and then becomes sh(1) with ``script``.

    Raises what ``before`` raises, as `fork` does.
    """
    if not os.access("/bin/sh", os.X_OK):
        raise Blocked("needs /bin/sh, which is not here: install a shell")
    ours, theirs = Channel.create_pair()
    # exec closes it.  A message there says why sh(1) does not run.
    failure, failed = Channel.create_pair()
    os.set_inheritable(failed.writing, False)
    pid = lens.fork_process()
    if pid:
        theirs.close()
        failed.close()
        child = Shell(pid, ours)
        try:
            message = failure.receive()
        except EOFError:
            return child
        finally:
            failure.close()
        with child:
            raise _EXCEPTIONS.get(message["raised"], RuntimeError)(message["message"])
    try:
        before()
        os.dup2(theirs.reading, 0)
        os.dup2(theirs.writing, 1)
        os.execv("/bin/sh", ["sh", "-c", script])
    except Exception as error:
        failed.send(_describe_exception(error))
    finally:
        os._exit(127)


def describe_ending(status: int) -> str:
    """Return ``was killed by SIGSEGV`` or ``exited with 3``, for a wait status."""
    if os.WIFSIGNALED(status):
        return f"was killed by {name_signal(os.WTERMSIG(status))}"
    if os.WIFSTOPPED(status):
        return f"was stopped by {name_signal(os.WSTOPSIG(status))}"
    return f"exited with {os.WEXITSTATUS(status)}"


def name_signal(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


ASLEEP = "SI"
STOPPED = "T"
ENDED = "Z"


def wait_for_state(pid: int, wanted: str, unless: Callable[[], bool] = lambda: False) -> bool:
    """Wait until the process is seen in one of the states ``wanted``, letters of ps(1).

    Returns False if ``unless`` becomes true first.  The only time limit is the probe's.
    """
    lens.watch()  # If states cannot be seen, raise Blocked even if `unless` is true already.
    pause = 0.00002
    while not unless():  # Before the state is read, as that may start a ps(1).
        seen = lens.get_state(pid)
        # And after it: a child that sent a message and then sleeps has sent a message.
        if unless():
            break
        if seen and seen in wanted:
            return True
        if not seen or (seen == "Z" and "Z" not in wanted):
            raise ChildDied("a child of the probe ended before it was seen waiting")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.005)
    return False


def wait_until_asleep(child: Child) -> bool:
    """Wait until the child sleeps in a call.  Return False if it sends a message instead."""
    return wait_for_state(child.pid, ASLEEP, unless=child.is_readable)


def wait_until_ended(pid: int) -> None:
    """Wait until a child has ended and its SIGCHLD has been sent, and do not reap it."""
    if hasattr(os, "waitid"):  # Python for macOS lacks it before 3.13, and PyPy does.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return
    wait_for_state(pid, ENDED)
    # Linux shows state Z a moment before it sends the signal, under a lock that every waitpid()
    # for an existing process takes, even if that process is not a child.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(os.getpid(), os.WNOHANG)
