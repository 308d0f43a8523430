"""Engine: the interface of `papaya.engines`, and what all processes of a service share."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..protocol import END
from .log_cursor import LogReader
from .log_lock import LogLock
from .message_log import MessageLog

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..config import Config
    from ..settings import Settings
    from .connection import Connection
    from .scoreboard import Scoreboard
    from .server import Service


LOCK_SECONDS, BRIEF_LOCK_SECONDS = 3.0, 0.2
"""How long a process waits for the log's lock: a child of the daemon, which competes with others
for it, and the daemon."""


@dataclass(frozen=True)
class ServiceContext:
    """What the processes of a service share, made before the first fork."""

    config: Config
    settings: Settings
    key: bytes
    scoreboard: Scoreboard
    log_event: Callable[[str], None]
    """Write a line to the service's own log."""

    def make_log(self, seconds: float) -> MessageLog:
        """Return the chat's log for a process to write; the first line opens the file.

        ``seconds`` is how long the process may wait for the lock.
        """
        lock = LogLock(self.settings["lock"], seconds)
        config = self.config
        durable = config.durability == "data"
        return MessageLog(
            config.log, self.scoreboard, lock, self.log_event, durable, config.max_log
        )

    def open_reader(self) -> LogReader:
        """Open the chat's log for this process to read."""
        end = END if self.config.compatible == "papayachat" else b""
        return LogReader(self.config.log, self.scoreboard, end)


class Engine(ABC):
    """One way to serve many clients at once."""

    wait_options = os.WNOHANG
    """Options of waitpid() for the children: which changes `reap` is told of."""
    unused: frozenset[str] = frozenset()
    """The settings that make no difference to the engine."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.context = service.context

    @abstractmethod
    def start(self) -> None:
        """Make what is needed before the first client; signals are blocked."""

    @abstractmethod
    def take(self, accepted: socket.socket, connection: Connection) -> None:
        """Serve a client that `Admission` let in, and close the socket.

        What the client sent after the key is still in the socket.  Report the client's end with
        `Service.forget`.  Raise CommandError or OSError if it cannot be served.
        """

    @abstractmethod
    def wake_senders(self) -> None:
        """Make the senders read the log."""

    def drain(self) -> None:  # noqa: B027 (an engine without children has drained in `run`)
        """Begin to end: log and deliver every line that was received, then disconnect all."""

    def is_idle(self) -> bool:
        """Return whether no child is running any more."""
        return True

    def kill(self) -> None:  # noqa: B027
        """Kill every child that is still running."""

    def reap(self, pid: int, status: int) -> None:
        """Clean up after a child that has ended; see also `wait_options`."""
        raise AssertionError("this engine has no children")

    def read_reports(self) -> None:  # noqa: B027 (an engine without children has no reports)
        """Read what the children have reported of their clients."""

    def run(self) -> None:
        """Serve until the service ends."""
        self.service.loop()
