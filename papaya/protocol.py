"""The wire form, that of papayaChat 1.0: a key, then UTF-8 lines, ``name: text``.

The client sends the key's 128 characters, then lines.  The server sends the last
lines of the log, then each new one, the sender's own too: seeing it is the
acknowledgement that it is in the log.  A line of the log has the time before it,
``2026-11-22T23:59:59Z name: text``.  What the server has to tell one client alone
begins with ``* ``; it is not in the log.
"""

from __future__ import annotations

import re
import time

NOTICE = b"* "
"""What a line begins with that the server says to one client alone."""

_CONTROLS = bytes(set(range(0x20)) - {0x09} | {0x7F})
_TIMED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (.*)", re.DOTALL | re.ASCII)
_C1 = dict.fromkeys(range(128, 160))


class Lines:
    """Cuts what comes from one client into lines, none longer than ``most`` bytes.

    The length is that of what was sent, its line feed not counted, and of what is kept of
    it: a byte that is no UTF-8 is kept as three.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.begun = b""
        self.skipping = False

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """The lines that ``data`` completes, cleaned, and how many were too long."""
        *whole, rest = data.split(b"\n")
        refused = 0
        lines = []
        for line in whole:
            if self.begun:
                line, self.begun = self.begun + line, b""
            if self.skipping:
                self.skipping = False  # It was counted when it had become too long.
                continue
            cleaned = clean(line)
            if max(len(line) - line.endswith(b"\r"), len(cleaned)) > self.most:
                refused += 1
            elif cleaned:
                lines.append(cleaned)
        if self.skipping or not rest:
            return lines, refused
        self.begun += rest
        if len(self.begun) > self.most + 1:  # One more: the carriage return of a CR LF.
            self.begun, self.skipping = b"", True
            refused += 1
        return lines, refused

    def end(self) -> list[bytes]:
        """What was begun and will not be ended: the original's clients send no last line feed."""
        line, self.begun = clean(self.begun), b""
        return [line] if 0 < len(line) <= self.most and not self.skipping else []


def clean(line: bytes) -> bytes:
    """The line as it is kept: UTF-8, no control characters but the tab, no space at its end."""
    if line.isascii():
        return line.translate(None, _CONTROLS).rstrip()
    text = line.translate(None, _CONTROLS).decode("utf-8", "replace")
    return text.translate(_C1).rstrip().encode()


def timed(lines: list[bytes], seconds: float) -> bytes:
    """The lines as they stand in the log, with the time ``seconds`` after the epoch."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime(seconds)).encode()
    return b"".join([part for line in lines for part in (stamp, line, b"\n")])


def untimed(line: str) -> tuple[str | None, str]:
    """A line the server sent as its time, None where it has none (the original's), and the rest."""
    found = _TIMED.fullmatch(line)
    return (found[1], found[2]) if found else (None, line)


def notice(text: str) -> bytes:
    """A line for one client alone."""
    return NOTICE + text.encode() + b"\n"
