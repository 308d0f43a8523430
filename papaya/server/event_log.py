"""The service's own log: one line an event, to standard error or to syslog."""

from __future__ import annotations

import contextlib
import os
import sys
import syslog
from collections.abc import Callable

Say = Callable[[str], None]


def to_standard_error(line: str) -> None:
    """One write, so that lines of several processes do not mix."""
    with contextlib.suppress(OSError):
        os.write(2, f"papaya: {_one_line(line)}\n".encode("utf-8", "backslashreplace"))


def to_syslog(line: str) -> None:
    """``papaya[PID]: line`` with the facility daemon."""
    # Opened and closed each time: the C library keeps the descriptor's number, and a child that
    # closes what it inherited may have given that to another thing by its first line.
    syslog.openlog("papaya", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(_one_line(line))
    syslog.closelog()


def _one_line(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def opened(use_syslog: bool) -> Say:
    """The one that is asked for."""
    return to_syslog if use_syslog else to_standard_error


def notify(state: str) -> None:
    """Tell a supervisor that waits for it (systemd's Type=notify, sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    import socket

    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told,
    ):
        told.sendto(state.encode(), address)


def announce(lines: list[str]) -> None:
    """What a script waits for, on standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
