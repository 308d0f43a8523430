"""The service's own log: one line for each event, on standard error or in syslog."""

from __future__ import annotations

import contextlib
import os
import sys
import syslog
from collections.abc import Callable

EventLog = Callable[[str], None]
"""Write a line to the service's own log."""


def log_to_standard_error(line: str) -> None:
    """Write ``papaya: line`` in one write, so that lines of several processes do not mix."""
    with contextlib.suppress(OSError):
        os.write(2, f"papaya: {_escape(line)}\n".encode("utf-8", "backslashreplace"))


def log_to_syslog(line: str) -> None:
    """Send ``papaya[PID]: line`` to syslog with the facility daemon."""
    # Opened and closed each time: the C library remembers the descriptor's number, and a child
    # that closed its inherited descriptors may have reused the number before its first line.
    syslog.openlog("papaya", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(_escape(line))
    syslog.closelog()


def _escape(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def choose_event_log(use_syslog: bool) -> EventLog:
    """Return `log_to_syslog` or `log_to_standard_error`."""
    return log_to_syslog if use_syslog else log_to_standard_error


def notify_supervisor(state: str) -> None:
    """Report ``state`` to a supervisor (systemd's Type=notify, sd_notify(3)), if there is one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    import socket

    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as supervisor,
    ):
        supervisor.sendto(state.encode(), address)


def print_lines(lines: list[str]) -> None:
    """Print the lines that scripts wait for to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
