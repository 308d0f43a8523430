"""Run another program and read what it says.

Not by `subprocess`: that and what it imports do work in every process that is
forked afterwards, and the lab forks some six hundred.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Optional


def run(
    command: Sequence[str],
    *,
    errors_too: bool = False,
    seconds: Optional[float] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> tuple[int, str]:
    """Run a program, its input empty; its wait status, and its output as text.

    What it writes to standard error is part of the output if ``errors_too``, else
    thrown away.  After ``seconds`` it is killed.  Raises OSError where there is no
    such program.
    """
    reading, writing = os.pipe()
    errors = (
        (os.POSIX_SPAWN_DUP2, writing, 2)
        if errors_too
        else (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    )
    with open(reading, "rb", buffering=0) as output:
        try:
            pid = os.posix_spawnp(
                command[0],
                list(command),
                os.environ if environment is None else environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writing, 1),
                    errors,
                ],
                # Python ignores them; other programs expect them.
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                # A group of its own: what it started is killed with it.
                setpgroup=0,
            )
        finally:
            os.close(writing)
        said = b""
        try:
            give_up = None if seconds is None else time.monotonic() + seconds
            while True:
                left = None if give_up is None else max(0.0, give_up - time.monotonic())
                if not select.select([output], [], [], left)[0]:
                    os.killpg(pid, signal.SIGKILL)
                    break
                data = output.read(65536)
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
