"""The terminal under the screen: what comes from it, and how it is left.

textual's driver ends with a traceback at a byte that is not UTF-8, loops when the terminal is
gone, and leaves the terminal as it is at a signal.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from probes.files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from textual.message import Message

_REPORT = re.compile(rb"\x1b\[M[\x20-\xff]{3}")
"""A mouse report of X10: a button, a column and a row, each as one byte that need not be ASCII."""
_UNFINISHED = re.compile(rb"\x1b(\[(M[\x20-\xff]{0,2})?)?\Z")
_PAUSE = 0.1
"""Seconds after which an escape sequence that has not ended is what it is."""


class Keyboard:
    """Turn the bytes that a terminal sends into textual's events, whatever they are."""

    def __init__(self) -> None:
        self.held = b""
        """The beginning of what may become a mouse report."""
        self.decoder = getincrementaldecoder("utf-8")("replace")
        self.parser = XTermParser()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the events that ``data`` completes."""
        data = _REPORT.sub(b"", self.held + data)
        found = _UNFINISHED.search(data)
        data, self.held = (data[: found.start()], found[0]) if found else (data, b"")
        yield from self._parse(data)
        yield from self.parser.tick()

    def tick(self) -> Iterator[Message]:
        """Yield the events of a sequence that did not go on for 0.1 s."""
        held, self.held = self.held, b""
        if not held.startswith(b"\x1b[M"):
            yield from self._parse(held)
        yield from self.parser.tick()

    def _parse(self, data: bytes) -> Iterator[Message]:
        # One character at a time: the parser of textual raises at some sequences, and must not
        # take those after it along.
        for character in self.decoder.decode(data):
            try:
                yield from list(self.parser.feed(character))
            except Exception:
                self.parser = XTermParser()


class Output:
    """A file for textual's writer thread, which must not end when the terminal is gone."""

    def __init__(self) -> None:
        self.encoding = sys.stdout.encoding
        self.unwritten: list[str] = []

    def write(self, text: str) -> None:
        """Keep the text for `flush`."""
        self.unwritten.append(text)

    def flush(self) -> None:
        """Write what is kept."""
        text, self.unwritten = "".join(self.unwritten), []
        try:
            write_all(self.fileno(), text.encode(self.encoding, "replace"))
        except OSError:  # The input ends too, and ends the client.
            return

    def fileno(self) -> int:
        """Return the descriptor of standard output; textual would take standard error."""
        return 1


class Terminal(LinuxDriver):
    """The driver.  It ends the client, and restores the screen, at a signal or a hangup."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._file: Any = Output()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end)

    def _end(self, number: int, _frame: FrameType | None = None) -> None:
        # The next one ends a client that cannot restore its screen, as the terminal takes nothing.
        signal.signal(number, signal.SIG_DFL)
        self._leave(number)

    def _leave(self, number: int) -> None:
        with contextlib.suppress(RuntimeError):  # It has ended already.
            self._loop.call_soon_threadsafe(lambda: self._app.exit(return_code=128 + number))

    def run_input_thread(self) -> None:
        """Read from the terminal until the application ends."""
        keyboard = Keyboard()
        while not self.exit_event.is_set():
            if select.select([self.fileno], [], [], _PAUSE)[0]:
                try:
                    data = os.read(self.fileno, 65536)
                except OSError:
                    data = b""
                if not data:
                    self._leave(signal.SIGHUP)
                    return
                messages = keyboard.feed(data)
            else:
                messages = keyboard.tick()
            for message in messages:
                # The only field keeps the focus: a paste may come before the focus does.
                if not isinstance(message, (events.AppBlur, events.AppFocus)):
                    self.process_message(message)
