"""The plain client, for pipes and scripts: lines from standard input, lines to standard output.

With ``once`` it ends when the server has sent back every line, which acknowledges that the
line is in the log; the exit status says whether all came back.  An output that cannot be written
then ends it only after that, because the lines are what a script runs it for.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

from probes.files import write_standard_error, write_standard_output

from .connection import GAP, Account, Backoff, HistoryFilter, Message, MessageSplitter, connect
from .outbox import LOST, History, Outbox, report_lines

if TYPE_CHECKING:
    import socket

ONCE_SECONDS = 10.0
"""How long a line may take to come back."""


def run(account: Account, once: bool) -> int:
    """Chat until standard input ends (``once``) or an interrupt; return the exit status."""
    conversation = _Conversation(account, once)
    try:
        status = conversation.chat()
    finally:
        report_lines(account, conversation.outbox)
    if conversation.failure:
        raise conversation.failure
    return status


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
        self.outbox = Outbox()
        self.history_filter = HistoryFilter()
        self.until = 0.0
        """When to give up on the lines that have not come back."""
        self.failure: OSError | None = None
        """Why standard output cannot be written."""

    def chat(self) -> int:
        """Connect, and connect again, until the end; return the exit status."""
        backoff = Backoff()
        while True:
            try:
                connected, latency = connect(self.account, self.history_filter.make_request())
            except OSError as error:
                address = f"{self.account.host} port {self.account.port}"
                _warn(f"{address}: {error.strerror or error}")
            else:
                with connected:
                    status = self._use(connected, latency, backoff)
                if status is not None:
                    return status
                hint = "" if self.has_received else "; is the key right?"
                _warn(f"the server closed the connection{hint}")
            if self.once:
                return 1
            seconds = backoff.next_delay()
            _warn(f"reconnecting in {seconds:.0f} s")
            time.sleep(seconds)

    def _use(self, server: socket.socket, latency: float, backoff: Backoff) -> int | None:
        """Use one connection; return the exit status, or None if the server closed it.

        ``latency`` is how long the server took to answer, in seconds.
        """
        splitter = MessageSplitter()
        self.has_received = False
        self.history_filter.start_connection()
        server.settimeout(ONCE_SECONDS)
        history: History | None = History(latency)
        while True:
            waiting = history.measure_rest() if history else None
            if waiting == 0:
                history = waiting = None
                self._show(self.history_filter.finish())
                # Lines of the last connection, which are not in the history of this one.
                for line in self.outbox.give_up():
                    _warn(f"{LOST}: {self.account.describe_line(line)}")
            if self.once and self.ended and not self.outbox:
                return 0
            if not history:
                if not self._send(server):
                    return None
                if self.once and self.ended:
                    waiting = self.until - time.monotonic()
                    if waiting <= 0:
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
                if history:
                    history.extend()
                for message in splitter.feed(data):
                    if self._process(message):
                        return 1

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
        self.outbox.unsent += [line for line in formatted if line]

    def _send(self, server: socket.socket) -> bool:
        """Send what was typed; return False if the server is gone, and keep the rest."""
        while self.outbox.unsent:
            line = self.outbox.take()
            try:
                taken = server.send(line)
            except OSError:
                self.outbox.put_back()
                return False
            try:
                server.sendall(line[taken:])
            except OSError:  # The server may keep the part that it got.
                return False
            self.until = time.monotonic() + ONCE_SECONDS
        return True

    def _process(self, message: Message) -> bool:
        """Print a message; return True if it is a notice that ends the client."""
        if message.is_notice:
            _warn(message.text.removeprefix("* "))
            return self.once
        self._show(self.history_filter.filter(message))
        return False

    def _show(self, messages: list[Message]) -> None:
        if self.history_filter.take_gap():
            _warn(GAP)
        for one in messages:
            if self.outbox.acknowledge(one.raw):
                self.until = time.monotonic() + ONCE_SECONDS
            at = f"{one.time:%Y-%m-%d %H:%M:%S} " if one.time else ""
            name = f"{one.name}: " if one.name else ""
            self._print(f"{at}{name}{one.text}\n")

    def _print(self, text: str) -> None:
        if self.failure:
            return
        try:
            # Other users' messages must be printable in any locale.
            write_standard_output(text.encode(sys.stdout.encoding, "backslashreplace"))
        except OSError as error:
            if not self.once:
                raise
            self.failure = error


def _warn(line: str) -> None:
    write_standard_error(f"papaya: {line}\n")
