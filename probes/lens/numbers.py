"""Errors, signals and options: do Python's modules number them as the C library does?"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
from typing import Any

from .. import libc
from .proof import Unproven, look, run_trial


@look("the numbers of errors, signals and options")
def check_numbers() -> str:
    """Do Python's modules number errors, signals and options as the C library does?"""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    room = ctypes.create_string_buffer(1)
    try:
        failing = (
            ("EBADF", "close", (-1,)),
            ("ENOENT", "open", (b"/no such folder/file", os.O_RDONLY)),
            ("EAGAIN", "read", (reading, room, 1)),
            ("EINVAL", "kill", (os.getpid(), 1 << 16)),
            ("EACCES" if os.geteuid() else "EISDIR", "open", (b"/", os.O_WRONLY)),
        )
        for name, call, arguments in failing:
            got = libc.get_errno(call, *arguments)
            if got not in (getattr(errno, name), errno.EISDIR if name == "EACCES" else None):
                raise Unproven(
                    f"{call}() failed with {got}, but errno.{name} is {getattr(errno, name)}"
                )
        flags = libc.call("fcntl", reading, fcntl.F_GETFL)
        if not flags & os.O_NONBLOCK or flags & (os.O_WRONLY | os.O_RDWR):
            raise Unproven(f"F_GETFL gives {flags:#x} for the reading end of a non-blocking pipe")
    finally:
        os.close(reading)
        os.close(writing)
    _check_signal_numbers()
    with socket.socket() as tcp:
        kind = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if kind != socket.SOCK_STREAM:
        raise Unproven(f"SO_TYPE of a SOCK_STREAM socket is {kind}")
    return "as in Python's modules"


def _check_signal_numbers() -> None:
    """Raise Unproven unless a broken pipe sends SIGPIPE's number and raise() the given one."""
    tried = {signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2}

    def trial() -> dict[str, Any]:
        for signum in tried:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        reading, writing = os.pipe()
        os.close(reading)
        with contextlib.suppress(BrokenPipeError):
            os.write(writing, b"x")
        libc.call("raise", signal.SIGUSR2)
        return {"pending": [int(signum) for signum in signal.sigpending()]}

    expected = {int(signal.SIGPIPE), int(signal.SIGUSR2)}
    pending = set(run_trial(trial)["pending"])
    if pending != expected:
        raise Unproven(f"a broken pipe and SIGUSR2 left {pending} pending, not {expected}")
