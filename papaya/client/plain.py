"""Lines in, lines out: for pipes and scripts.

With ``once`` it is over when every line has come back from the server, which is the
acknowledgement that it is in the log; the exit status says whether they all did.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import Counter
from datetime import datetime
from typing import Any

from .connection import Account, Backoff, Incoming, Message, connect

ONCE_SECONDS = 10.0
"""How long a line may take to come back."""
_QUIET = 0.3
"""Seconds without a line after which the history, that comes at once, has come."""


def run(who: Account, once: bool) -> int:
    """Chat until standard input ends (``once``), or until it is interrupted; the exit status."""
    # What others say is shown in any locale.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    talk = _Talk(who, once)
    backoff = Backoff()
    while True:
        started = time.monotonic()
        try:
            connected = connect(who)
        except OSError as error:
            _warn(f"{who.host} port {who.port}: {error.strerror or error}")
        else:
            with connected:
                status = talk.over(connected, time.monotonic() - started, backoff)
            if status is not None:
                return status
            _warn(
                "the server closed the connection" + ("" if talk.heard else "; is the key right?")
            )
        if once:
            return 1
        seconds = backoff.next()
        _warn(f"connecting again in {seconds:.0f} s")
        time.sleep(seconds)


class _Talk:
    """What was typed and what came back, over all connections."""

    def __init__(self, who: Account, once: bool) -> None:
        self.who = who
        self.once = once
        self.typed = b""
        self.ended = False
        self.heard = False
        self.unsent: list[bytes] = []
        self.owed: Counter[bytes] = Counter()
        """Lines that were sent and have not come back."""
        self.newest: datetime | None = None
        """The time of the last line of the history."""

    def over(self, server: socket.socket, connecting: float, backoff: Backoff) -> int | None:
        """Talk over one connection; the exit status, or None where the server closed it.

        ``connecting`` is how long it took to connect, in seconds.
        """
        incoming = Incoming()
        self.heard = False
        if self.owed:
            _warn(f"{sum(self.owed.values())} lines may be lost: they did not come back")
            self.owed.clear()
        server.settimeout(ONCE_SECONDS)
        # A line of the history may be the same as one of ours, and is no acknowledgement: nothing
        # is sent before it has come.  An empty log has none, which only time tells.
        history = self.once
        until = time.monotonic() + (max(1.0, 4 * connecting) if history else 0)
        while True:
            if self.once and self.ended and not self.owed and not self.unsent:
                return 0
            waiting = until - time.monotonic() if history or (self.once and self.ended) else None
            if waiting is not None and waiting <= 0:
                if not history:
                    _warn(f"{sum(self.owed.values())} lines did not come back")
                    return 1
                history = False
                until = time.monotonic() + ONCE_SECONDS
                continue
            sources: list[Any] = [server] if self.ended else [server, 0]
            if self.unsent and not history and not self._send(server):
                return None
            if 0 in (ready := select.select(sources, [], [], waiting)[0]):
                self._read_typed()
                until = until if history else time.monotonic() + ONCE_SECONDS
            if server in ready:
                try:
                    data = server.recv(65536)
                except OSError:
                    return None
                if not data:
                    return None
                self.heard = True
                backoff.worked()
                for message in incoming.feed(data):
                    if self._hear(message, history):
                        return 1
                until = time.monotonic() + (_QUIET if history else ONCE_SECONDS)

    def _read_typed(self) -> None:
        try:
            data = os.read(0, 65536)
        except OSError:  # The terminal is gone.
            data = b""
        self.ended = not data
        *lines, self.typed = (self.typed + data).split(b"\n")
        if self.ended and self.typed:
            lines, self.typed = [self.typed], b""
        made = (self.who.line(text.decode("utf-8", "replace")) for text in lines)
        self.unsent += [line for line in made if line]

    def _send(self, server: socket.socket) -> bool:
        """Send what was typed; False where the server is gone, which leaves it unsent."""
        while self.unsent:
            try:
                server.sendall(self.unsent[0])
            except OSError:
                return False
            self.owed[self.unsent.pop(0)[:-1]] += 1
        return True

    def _hear(self, message: Message, history: bool) -> bool:
        """Show it; whether it says that a line of ours was refused and all is over."""
        if message.notice:
            _warn(message.text.removeprefix("* "))
            return self.once
        if history:
            self.newest = message.time or self.newest
        elif not (message.time and self.newest and message.time < self.newest):
            if self.owed[message.raw] > 0:
                self.owed[message.raw] -= 1
            self.owed += Counter()  # Without those that came back.
        at = f"{message.time:%Y-%m-%d %H:%M:%S} " if message.time else ""
        name = f"{message.name}: " if message.name else ""
        sys.stdout.write(f"{at}{name}{message.text}\n")
        sys.stdout.flush()
        return False


def _warn(line: str) -> None:
    print(f"papaya: {line}", file=sys.stderr, flush=True)
