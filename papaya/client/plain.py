"""The plain client, for pipes and scripts: lines from standard input, lines to standard output.

With ``once`` it ends when the server has sent back every line, which acknowledges that the
line is in the log; the exit status says whether all came back.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from .connection import Account, Backoff, HistoryFilter, Message, MessageSplitter, connect

if TYPE_CHECKING:
    import socket
    from datetime import datetime

ONCE_SECONDS = 10.0
"""How long a line may take to come back."""
_QUIET = 0.3
"""Seconds without a line after which the history, which the server sends at once, is complete."""
_HISTORY = 1.0, 4.0
"""Seconds after which the history is complete in any case: a busy chat is never quiet."""


def run(account: Account, once: bool) -> int:
    """Chat until standard input ends (``once``) or an interrupt; return the exit status."""
    # Other users' messages must be printable in any locale.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    conversation = _Conversation(account, once)
    backoff = Backoff()
    while True:
        try:
            connected, latency = connect(account)
        except OSError as error:
            _warn(f"{account.host} port {account.port}: {error.strerror or error}")
        else:
            with connected:
                status = conversation.run(connected, latency, backoff)
            if status is not None:
                return status
            hint = "" if conversation.has_received else "; is the key right?"
            _warn(f"the server closed the connection{hint}")
        if once:
            return 1
        seconds = backoff.next_delay()
        _warn(f"reconnecting in {seconds:.0f} s")
        time.sleep(seconds)


class _Conversation:
    """The lines typed and the messages received, over all connections."""

    def __init__(self, account: Account, once: bool) -> None:
        self.account = account
        self.once = once
        self.typed = b""
        """The unfinished line of standard input."""
        self.ended = False
        """Whether standard input has ended."""
        self.has_received = False
        """Whether the server has sent anything over this connection."""
        self.unsent: list[bytes] = []
        self.unacknowledged: Counter[bytes] = Counter()
        """Lines that were sent and have not come back."""
        self.newest: datetime | None = None
        """The time of the last line of the history."""
        self.history_filter = HistoryFilter()
        self.until = 0.0
        """When to give up on the unacknowledged lines."""

    def run(self, server: socket.socket, latency: float, backoff: Backoff) -> int | None:
        """Use one connection; return the exit status, or None if the server closed it.

        ``latency`` is how long the server took to answer, in seconds.
        """
        splitter = MessageSplitter()
        self.has_received = False
        self.history_filter.start_connection()
        if self.unacknowledged:
            _warn(f"{sum(self.unacknowledged.values())} lines may be lost: they did not come back")
            self.unacknowledged.clear()
        server.settimeout(ONCE_SECONDS)
        # A line of the history may equal one of this user's, but acknowledges nothing: send
        # nothing before the history is complete.  An empty log has no history, so wait for time.
        least, most = _HISTORY
        latest = time.monotonic() + min(most, max(least, 4 * latency))
        settled = latest if self.once else 0.0
        while True:
            if self.once and self.ended and not self.unacknowledged and not self.unsent:
                return 0
            now = time.monotonic()
            history = now < settled
            if self.unsent and not history and not self._send(server):
                return None
            waiting = settled - now if history else None
            if self.once and self.ended and not history:
                waiting = self.until - now
                if waiting <= 0:
                    _warn(f"{sum(self.unacknowledged.values())} lines did not come back")
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
                self.has_received = True
                backoff.reset()
                for message in splitter.feed(data):
                    if self._process(message, history):
                        return 1
                settled = min(latest, time.monotonic() + _QUIET) if history else settled

    def _read_typed(self) -> None:
        try:
            data = os.read(0, 65536)
        except OSError:  # The terminal has been closed.
            data = b""
        self.ended = not data
        self.until = time.monotonic() + ONCE_SECONDS
        *lines, self.typed = (self.typed + data).split(b"\n")
        if self.ended and self.typed:
            lines, self.typed = [self.typed], b""
        formatted = (self.account.format_line(text.decode("utf-8", "replace")) for text in lines)
        self.unsent += [line for line in formatted if line]

    def _send(self, server: socket.socket) -> bool:
        """Send what was typed; return False if the server is gone, and keep the rest."""
        while self.unsent:
            try:
                server.sendall(self.unsent[0])
            except OSError:
                return False
            self.unacknowledged[self.unsent.pop(0)[:-1]] += 1
        self.until = time.monotonic() + ONCE_SECONDS
        return True

    def _process(self, message: Message, history: bool) -> bool:
        """Print a message; return True if it is a notice that ends the client."""
        if message.is_notice:
            _warn(message.text.removeprefix("* "))
            return self.once
        if history:
            self.newest = message.time or self.newest
        elif not (message.time and self.newest and message.time < self.newest):
            self._acknowledge(message.raw)
        for shown in self.history_filter.filter(message):
            at = f"{shown.time:%Y-%m-%d %H:%M:%S} " if shown.time else ""
            name = f"{shown.name}: " if shown.name else ""
            sys.stdout.write(f"{at}{name}{shown.text}\n")
            sys.stdout.flush()
        return False

    def _acknowledge(self, line: bytes) -> None:
        if self.unacknowledged[line] > 0:
            self.unacknowledged[line] -= 1
            self.until = time.monotonic() + ONCE_SECONDS
        self.unacknowledged += Counter()  # This removes the entries that are zero.


def _warn(line: str) -> None:
    print(f"papaya: {line}", file=sys.stderr, flush=True)
