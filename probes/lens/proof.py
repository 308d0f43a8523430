"""Find and prove a thing once; if that fails, block every probe that needs it."""

from __future__ import annotations

import ctypes
import marshal
import os
import signal
import sys
from ctypes import c_int, c_void_p
from typing import Any, Callable, Union

from ..probe import Blocked, Unsupported
from ..refusals import PROCESSES, explain


class Unproven(Exception):
    """Something is not as expected.  The message says what was found and what was expected."""


_LOOKS: dict[str, Callable[[], Any]] = {}
_seen: dict[str, Union[Any, Blocked]] = {}


def look(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register the function that finds and proves the thing ``name``, once per process."""

    def register(find: Callable[[], Any]) -> Callable[[], Any]:
        _LOOKS[name] = find

        def look_once() -> Any:
            if name not in _seen:
                try:
                    _seen[name] = find()
                except Unproven as why:
                    _seen[name] = Blocked(f"{name} cannot be trusted here: {why}")
                except (Blocked, Unsupported) as why:
                    _seen[name] = why
                except OSError as error:
                    limit = explain(error)
                    _seen[name] = Blocked(str(limit or f"{name} cannot be asked for here: {error}"))
            found = _seen[name]
            if isinstance(found, (Blocked, Unsupported)):
                # A new one each time, because an exception raised again grows its traceback.
                raise type(found)(str(found))
            return found

        look_once.__doc__ = find.__doc__
        return look_once

    return register


def fork_process() -> int:
    """Call os.fork(); raise Blocked if a limit allows no more processes."""
    try:
        return os.fork()
    except BlockingIOError:
        raise Blocked(PROCESSES) from None


def run_trial(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``trial`` returns in a child; raise Unproven if the child ends without it.

    Raises Blocked if a limit or a sandbox keeps the child from its trial.
    """
    reading, writing = os.pipe()
    try:
        pid = fork_process()
    except Blocked:
        os.close(reading)
        os.close(writing)
        raise
    if not pid:
        try:
            begin_trial()
            try:
                answer = trial()
            except Unproven as why:
                answer = {"unproven": str(why)}
            except (Blocked, OSError, MemoryError) as error:
                answer = {"blocked": str(explain(error) or error)}
            os.write(writing, marshal.dumps(answer))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        answered = answers.read()
    _, status = os.waitpid(pid, 0)
    if not answered:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "an error"
        raise Unproven(f"its trial ended with {how}")
    found: dict[str, Any] = marshal.loads(answered)
    if "unproven" in found:
        raise Unproven(found["unproven"])
    if "blocked" in found:
        raise Blocked(found["blocked"])
    return found


def begin_trial() -> None:
    """In a child: leave the caller's signals alone, and end after 10 s whatever happens."""
    signal.set_wakeup_fd(-1)
    # Children inherit what the caller blocks or ignores.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.alarm(10)


ROOM = 256
"""Bytes: more than any structure here has on any platform."""
POINTER = ctypes.sizeof(c_void_p)
INT = ctypes.sizeof(c_int)


def read_word(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], sys.byteorder)


def write_word(buffer: Any, at: int, size: int, value: int) -> None:
    ctypes.memmove(
        ctypes.addressof(buffer) + at, (value % (1 << 8 * size)).to_bytes(size, sys.byteorder), size
    )
