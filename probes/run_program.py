"""Run another program and read its output.

Not by `subprocess`, because it and its imports cost time in every process that is forked
afterwards, and the lab forks some six hundred.
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

    Its standard error is part of the output if ``errors_too``, otherwise discarded.  Raises
    OSError if it cannot be run, and TimeoutError if it has not ended after ``seconds``; then it
    is killed together with what it started.
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
            finally:
                os.close(writing)
            return _read(pid, output.fileno(), command[0], seconds)
    finally:
        os.close(nothing)


def open_nothing() -> int:
    """Open a descriptor that reads end of file and discards what is written to it."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:
        # A root folder without /dev: an unlinked file serves as well.
        folder = os.environ.get("TMPDIR") or "/tmp"
        path = os.path.join(folder, f"nothing-{os.getpid()}")
        nothing = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        os.unlink(path)
        return nothing


def _read(pid: int, output: int, name: str, seconds: Optional[float]) -> tuple[int, str]:
    received = b""
    give_up = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            left = None if give_up is None else max(0.0, give_up - time.monotonic())
            if not select.select([output], [], [], left)[0]:
                raise TimeoutError(errno.ETIMEDOUT, f"did not end within {seconds:g} s", name)
            data = os.read(output, 65536)
            if not data:
                break
            received += data
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    return status, received.decode(errors="replace")


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
        # Python ignores them; other programs expect the default.
        setsigdef=_PYTHON_IGNORES,
        # A new group, so that what it starts can be killed with it.
        setpgroup=0,
    )


def _fork(
    command: Sequence[str], descriptors: Sequence[int], environment: Mapping[str, str]
) -> int:
    """Do the same for a Python without posix_spawnp(), such as PyPy."""
    reading, writing = os.pipe()
    pid = os.fork()
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
        received = failure.read()
    if received:
        os.waitpid(pid, 0)
        raise OSError(int(received), os.strerror(int(received)), command[0])
    return pid
