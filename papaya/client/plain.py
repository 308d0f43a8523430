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
from typing import Any

from .connection import Account, Backoff, Incoming, Message, connect

ONCE_SECONDS = 10.0
"""How long a line may take to come back."""


def run(who: Account, once: bool) -> int:
    """Chat until standard input ends (``once``), or until it is interrupted; the exit status."""
    talk = _Talk(who, once)
    backoff = Backoff()
    while True:
        try:
            connected = connect(who)
        except OSError as error:
            _warn(f"{who.host} port {who.port}: {error.strerror or error}")
        else:
            with connected:
                status = talk.over(connected, backoff)
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
        self.owed: Counter[bytes] = Counter()
        """Lines that were sent and have not come back."""

    def over(self, server: socket.socket, backoff: Backoff) -> int | None:
        """Talk over one connection; the exit status, or None where the server closed it."""
        incoming = Incoming()
        self.heard = False
        server.settimeout(ONCE_SECONDS)
        until = time.monotonic() + ONCE_SECONDS
        while True:
            if self.once and self.ended and not self.owed:
                return 0
            waiting = until - time.monotonic() if self.once and self.ended else None
            if waiting is not None and waiting <= 0:
                _warn(f"{sum(self.owed.values())} lines did not come back")
                return 1
            sources: list[Any] = [server] if self.ended else [server, 0]
            ready, _, _ = select.select(sources, [], [], waiting)
            try:
                if 0 in ready:
                    self._send_typed(server)
                    until = time.monotonic() + ONCE_SECONDS
                if server in ready:
                    data = server.recv(65536)
                    if not data:
                        return None
                    self.heard = True
                    backoff.worked()
                    for message in incoming.feed(data):
                        if self._hear(message):
                            return 1
            except OSError:
                return None

    def _send_typed(self, server: socket.socket) -> None:
        data = os.read(0, 65536)
        self.ended = not data
        *lines, self.typed = (self.typed + data).split(b"\n")
        if self.ended and self.typed:
            lines, self.typed = [self.typed], b""
        for text in lines:
            line = self.who.line(text.decode("utf-8", "replace"))
            if line:
                self.owed[line[:-1]] += 1
                server.sendall(line)

    def _hear(self, message: Message) -> bool:
        """Show it; whether it says that a line of ours was refused and all is over."""
        if message.notice:
            _warn(message.text.removeprefix("* "))
            return self.once
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
