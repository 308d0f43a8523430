"""Run another program and read its output.

`subprocess` is not used, because after its import every forked process has more work, and the lab
forks some six hundred.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Optional

from . import refusals
from .probe import Blocked

_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
_HAS_SPAWN = hasattr(os, "posix_spawnp")


def run(
    command: Sequence[str],
    *,
    errors_too: bool = False,
    seconds: Optional[float] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> tuple[int, str]:
    """Run a program with empty input; return its wait status and its output as text.

    With ``errors_too``, its standard error is part of the output; otherwise it is discarded.
    Raises OSError if the program cannot be run, Blocked if a limit allows no more processes, and
    TimeoutError if it has not ended after ``seconds``; then it is killed together with the
    processes that it started.
    """
    nothing = open_nothing()
    try:
        reading, writing = os.pipe()
        with open(reading, "rb", buffering=0) as output:
            try:
                descriptors = (nothing, writing, writing if errors_too else nothing)
                start = _spawn if _HAS_SPAWN else _fork
                pid = start(
                    command, descriptors, os.environ if environment is None else environment
                )
            except BlockingIOError:
                raise Blocked(refusals.PROCESSES) from None
            finally:
                os.close(writing)
            return _read(pid, output.fileno(), command[0], seconds)
    finally:
        os.close(nothing)


def open_nothing() -> int:
    """Open a descriptor that has no input and discards output."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:
        # There is no /dev: use a file that has been unlinked.
        folder = os.environ.get("TMPDIR") or "/tmp"
        path = os.path.join(folder, f"nothing-{os.getpid()}")
        nothing = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        os.unlink(path)
        return nothing


def _read(pid: int, output: int, name: str, seconds: Optional[float]) -> tuple[int, str]:
    said = b""
    give_up = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            left = None if give_up is None else max(0.0, give_up - time.monotonic())
            if not select.select([output], [], [], left)[0]:
                raise TimeoutError(errno.ETIMEDOUT, f"did not end within {seconds:g} s", name)
            data = os.read(output, 65536)
            if not data:
                break
            said += data
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    return status, said.decode(errors="replace")


def _spawn(
    command: Sequence[str], descriptors: Sequence[int], environment: Mapping[str, str]
) -> int:
    return os.posix_spawnp(
        command[0],
        list(command),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, descriptor, number)
            for number, descriptor in enumerate(descriptors)
        ],
        # Python ignores these signals; other programs expect the default.
        setsigdef=_PYTHON_IGNORES,
        # In a new group, so that the processes that it starts can be killed with it.
        setpgroup=0,
    )


def _fork(
    command: Sequence[str], descriptors: Sequence[int], environment: Mapping[str, str]
) -> int:
    """Start a program with fork() on a Python without posix_spawnp(), such as PyPy."""
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except BlockingIOError:
        os.close(reading)
        os.close(writing)
        raise
    if not pid:
        try:
            os.setpgid(0, 0)
            for signum in _PYTHON_IGNORES:
                signal.signal(signum, signal.SIG_DFL)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.execvpe(command[0], list(command), environment)
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(writing)
    with open(reading, "rb") as failure:
        # Empty once the program runs, because it does not inherit the other end.
        said = failure.read()
    if said:
        os.waitpid(pid, 0)
        raise OSError(int(said), os.strerror(int(said)), command[0])
    return pid
