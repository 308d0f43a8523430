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

from .connection import Account, Backoff, Incoming, Message, Seen, connect

ONCE_SECONDS = 10.0
"""How long a line may take to come back."""
_QUIET = 0.3
"""Seconds without a line after which the history, that comes at once, has come."""
_HISTORY = 1.0, 4.0
"""Seconds after which it has come in any case: in a busy chat it is never quiet."""


def run(who: Account, once: bool) -> int:
    """Chat until standard input ends (``once``), or until it is interrupted; the exit status."""
    # What others say is shown in any locale.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    talk = _Talk(who, once)
    backoff = Backoff()
    while True:
        try:
            connected, answered = connect(who)
        except OSError as error:
            _warn(f"{who.host} port {who.port}: {error.strerror or error}")
        else:
            with connected:
                status = talk.over(connected, answered, backoff)
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
        self.seen = Seen()
        self.until = 0.0
        """When all is given up: none of the lines that are owed has come back for so long."""

    def over(self, server: socket.socket, answered: float, backoff: Backoff) -> int | None:
        """Talk over one connection; the exit status, or None where the server closed it.

        ``answered`` is how long the server took to answer, in seconds.
        """
        incoming = Incoming()
        self.heard = False
        self.seen.joined()
        if self.owed:
            _warn(f"{sum(self.owed.values())} lines may be lost: they did not come back")
            self.owed.clear()
        server.settimeout(ONCE_SECONDS)
        # A line of the history may be the same as one of ours, and is no acknowledgement: nothing
        # is sent before it has come.  An empty log has none, which only time tells.
        least, most = _HISTORY
        latest = time.monotonic() + min(most, max(least, 4 * answered))
        settled = latest if self.once else 0.0
        while True:
            if self.once and self.ended and not self.owed and not self.unsent:
                return 0
            now = time.monotonic()
            history = now < settled
            if self.unsent and not history and not self._send(server):
                return None
            waiting = settled - now if history else None
            if self.once and self.ended and not history:
                waiting = self.until - now
                if waiting <= 0:
                    _warn(f"{sum(self.owed.values())} lines did not come back")
                    return 1
            sources: list[Any] = [server] if self.ended else [server, 0]
            if 0 in (ready := select.select(sources, [], [], waiting)[0]):
                self._read_typed()
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
                settled = min(latest, time.monotonic() + _QUIET) if history else settled

    def _read_typed(self) -> None:
        try:
            data = os.read(0, 65536)
        except OSError:  # The terminal is gone.
            data = b""
        self.ended = not data
        self.until = time.monotonic() + ONCE_SECONDS
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
        self.until = time.monotonic() + ONCE_SECONDS
        return True

    def _hear(self, message: Message, history: bool) -> bool:
        """Show it; whether it says that a line of ours was refused and all is over."""
        if message.notice:
            _warn(message.text.removeprefix("* "))
            return self.once
        if history:
            self.newest = message.time or self.newest
        elif not (message.time and self.newest and message.time < self.newest):
            self._came_back(message.raw)
        for shown in self.seen.news(message):
            at = f"{shown.time:%Y-%m-%d %H:%M:%S} " if shown.time else ""
            name = f"{shown.name}: " if shown.name else ""
            sys.stdout.write(f"{at}{name}{shown.text}\n")
            sys.stdout.flush()
        return False

    def _came_back(self, line: bytes) -> None:
        if self.owed[line] > 0:
            self.owed[line] -= 1
            self.until = time.monotonic() + ONCE_SECONDS
        self.owed += Counter()  # Without those that came back.


def _warn(line: str) -> None:
    print(f"papaya: {line}", file=sys.stderr, flush=True)
