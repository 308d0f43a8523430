"""The wire format of papayaChat 1.0: a key, then UTF-8 lines, ``name: text``.

The client sends the key's 128 characters, then lines.  The server sends the last lines of
the log, then each new line, also to its sender, to whom it acknowledges that the line is in
the log.  In the log each line begins with its time, ``2026-11-22T23:59:59Z name: text``.  A
notice, which the server sends to a single client, begins with an asterisk and a space, and is not
in the log.

A client that was connected before may send a *request* with the key: the time of the last line that
it was sent.  Then the server begins with the first line of that second, not with its last lines.
A request is a line of control characters alone, because a papaya that does not know it drops
those.  papayaChat 1.0's server would keep them; its lines have no time, so it is sent a request
only if it has taken a papaya's place since the last line.
"""

from __future__ import annotations

import functools
import re
import time

NOTICE = b"* "
"""The beginning of a notice."""

REQUEST_LENGTH = 16
"""Bytes of a request, with its line feed."""
END = b"\0"
"""What follows the last line that is sent at once, for papayaChat 1.0's client."""
_REQUEST = b"\x01"
_DIGITS = bytes(range(0x10, 0x1A))
"""The control characters that stand for the digits in a request."""
_HIDE, _SHOW = bytes.maketrans(b"0123456789", _DIGITS), bytes.maketrans(_DIGITS, b"0123456789")
_CONTROLS = bytes(set(range(0x20)) - {0x09} | {0x7F})
_TIMED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (.*)", re.DOTALL | re.ASCII)
_C1 = dict.fromkeys(range(128, 160))


class LineSplitter:
    """Split what one client sends into lines of at most ``most`` bytes.

    The limit is for the line as it was sent, without its line feed, and also for the line as
    it is kept: a byte that is not UTF-8 is kept as three bytes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.unfinished = b""
        self.skipping = False

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Return the lines that ``data`` completes, cleaned, and how many were too long."""
        *whole, rest = data.split(b"\n")
        refused = 0
        lines = []
        for line in whole:
            if self.unfinished:
                line, self.unfinished = self.unfinished + line, b""
            if self.skipping:
                self.skipping = False  # The line was counted when it became too long.
                continue
            cleaned = clean_line(line)
            if max(len(line) - line.endswith(b"\r"), len(cleaned)) > self.most:
                refused += 1
            elif cleaned:
                lines.append(cleaned)
        if self.skipping or not rest:
            return lines, refused
        self.unfinished += rest
        if len(self.unfinished) > self.most + 1:  # One more for the carriage return of a CR LF.
            self.unfinished, self.skipping = b"", True
            refused += 1
        return lines, refused

    def finish(self) -> list[bytes]:
        """Return the unfinished last line: papayaChat 1.0's clients omit the last line feed."""
        line, self.unfinished = clean_line(self.unfinished), b""
        return [line] if 0 < len(line) <= self.most and not self.skipping else []


def clean_line(line: bytes) -> bytes:
    """Return the line as UTF-8, without control characters except tabs, and right-stripped."""
    if line.isascii():
        return line.translate(None, _CONTROLS).rstrip()
    text = line.translate(None, _CONTROLS).decode("utf-8", "replace")
    return text.translate(_C1).rstrip().encode()


# Most lines are of the same second as the one before.
@functools.lru_cache(1)
def make_stamp(seconds: int) -> int:
    """Return the time ``seconds`` after the epoch as a stamp: the 14 digits YYYYMMDDhhmmss.

    Stamps are in the order of their times.
    """
    return int(time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)))


def format_stamp(stamp: int) -> str:
    """Return a stamp as it is in the log, ``2026-11-22T23:59:59Z``."""
    digits = f"{stamp:014}"
    date, clock = (digits[:4], digits[4:6], digits[6:8]), (digits[8:10], digits[10:12], digits[12:])
    return f"{'-'.join(date)}T{':'.join(clock)}Z"


def read_stamp(line: bytes) -> int:
    """Return the stamp of a line of the log, or 0 if it has none."""
    found = _TIMED.match(line.decode("ascii", "replace"))
    return int("".join(filter(str.isdigit, found[1]))) if found else 0


def stamp_lines(lines: list[bytes], stamp: int) -> bytes:
    """Return the lines as they are in the log, each after its time."""
    prefix = _make_prefix(stamp)
    return b"".join([part for line in lines for part in (prefix, line, b"\n")])


@functools.lru_cache(1)
def _make_prefix(stamp: int) -> bytes:
    return format_stamp(stamp).encode() + b" "


def split_time(line: str) -> tuple[str | None, str]:
    """Split a line from the server into its time and the rest.

    The time is None in lines from papayaChat 1.0's server.
    """
    found = _TIMED.fullmatch(line)
    return (found[1], found[2]) if found else (None, line)


def format_request(stamp: int) -> bytes:
    """Return the request for the lines from a stamp on."""
    return _REQUEST + f"{stamp:014}".encode().translate(_HIDE) + b"\n"


def parse_request(data: bytes) -> int:
    """Return the stamp of a request, 0 if the data is no request."""
    digits = data.removeprefix(_REQUEST).removesuffix(b"\n")
    if len(data) != REQUEST_LENGTH or len(digits) != REQUEST_LENGTH - 2 or digits.strip(_DIGITS):
        return 0
    return int(digits.translate(_SHOW))


def format_notice(text: str) -> bytes:
    """Return a notice with that text."""
    return NOTICE + text.encode() + b"\n"
