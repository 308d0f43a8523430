"""The user's account, the connection to the server, and the messages from it."""

from __future__ import annotations

import os
import random
import re
import socket
import time
import tomllib
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from probes.errors import CommandError

from .. import key as keys
from ..config import DEFAULT_PORT, split_address
from ..protocol import clean_line, format_request, split_time
from .text import escape, is_visible

ENTRIES = ("server", "key", "name")
CONFIG = "~/.config/papaya/client.toml"
_LONGEST_NAME = 64
"""Characters; what is longer is text with a colon, not a name."""


@dataclass(frozen=True)
class Account:
    """The server, the key and the user's name."""

    host: str
    port: int
    key: bytes
    name: str

    def format_line(self, text: str) -> bytes:
        """Return the line for ``text``, without a line feed; empty if ``text`` is blank."""
        cleaned = clean_line(text.encode("utf-8", "replace"))
        return clean_line(f"{self.name}: ".encode()) + b" " + cleaned if cleaned else b""

    def describe_line(self, line: bytes) -> str:
        """Return the text of a line from `format_line`, safe to print to a terminal."""
        return escape(line.decode("utf-8", "replace").removeprefix(f"{self.name}: "))


def load_account(server: str | None, key: str | None, name: str | None) -> Account:
    """Return the account.  What is None comes from the environment, or from ``client.toml``.

    The variables are ``PAPAYA_SERVER``, ``PAPAYA_KEY`` (the key's file) and ``PAPAYA_NAME``.
    Raise CommandError.
    """
    given = {"server": server, "key": key, "name": name}
    path = os.path.expanduser(CONFIG)
    entries = _load_entries(path)
    found = {
        name: given.get(name) or os.environ.get(f"PAPAYA_{name.upper()}") or entries.get(name)
        for name in ENTRIES
    }
    for entry, option in (("server", "HOST[:PORT]"), ("key", "--key FILE")):
        if not found[entry]:
            raise CommandError(f'no {entry}; give {option}, or write {entry} = "…" in {CONFIG}')
    host, port = split_server(str(found["server"]))
    name = str(found["name"] or os.environ.get("LOGNAME") or os.environ.get("USER") or "anonymous")
    name = clean_line(name.encode("utf-8", "replace")).decode().replace(":", "").strip()
    if not is_visible(name):
        raise CommandError("--name: empty; choose another name")
    if len(escape(name)) > _LONGEST_NAME:
        raise CommandError(f"--name: longer than {_LONGEST_NAME} characters; choose a shorter name")
    return Account(host, port, keys.load(os.path.expanduser(str(found["key"]))), name)


def _load_entries(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            entries = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: not valid TOML: {error}") from None
    for name, value in entries.items():
        if name not in ENTRIES or not isinstance(value, str):
            raise CommandError(
                f"{path}: {name}: not an entry; the entries are {', '.join(ENTRIES)}, each a string"
            )
    return entries


def split_server(server: str) -> tuple[str, int]:
    """Split ``HOST``, ``HOST:PORT``, ``[ADDRESS]:PORT`` or a bare IPv6 address."""
    if server.count(":") > 1 and not server.startswith("["):
        return server, DEFAULT_PORT
    if server.startswith("[") and server.endswith("]"):
        return server[1:-1], DEFAULT_PORT
    if ":" not in server:
        return server, DEFAULT_PORT
    host, port = split_address(server)
    return host or "localhost", port


ADDRESS_TIMEOUT = 5.0
"""Seconds that one address may take to answer before the next one is tried."""


def connect(
    account: Account, request: bytes = b"", timeout: float = ADDRESS_TIMEOUT
) -> tuple[socket.socket, float]:
    """Connect and send the key; return the socket, and the seconds its address took to answer.

    ``request`` is that of `HistoryFilter.make_request`.  Try each address of the host in turn, and
    raise the OSError of the last.
    """
    refusal = OSError(f"{account.host}: no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        account.host, account.port, type=socket.SOCK_STREAM
    ):
        started = time.monotonic()
        try:
            connected = socket.socket(family, kind, protocol)
        except OSError as error:  # This machine does not support the family.
            refusal = error
            continue
        try:
            connected.settimeout(timeout)
            connected.connect(address)
            latency = time.monotonic() - started
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.sendall(account.key + request)
            return connected, latency
        except OSError as error:
            connected.close()
            refusal = error
    raise refusal


@dataclass(frozen=True)
class Message:
    """A line from the server, safe to print to a terminal."""

    time: datetime | None
    """None in a notice, and in every line from papayaChat 1.0's server."""
    name: str
    """Empty if the line has none, and in a notice."""
    text: str
    raw: bytes
    """The line without its time, as its sender sent it."""

    @property
    def is_notice(self) -> bool:
        """Whether the server sent it to this client only."""
        # A line with a time is in the log: another client's line that looks like a notice.
        return self.time is None and not self.name and self.raw.startswith(b"* ")


_LONGEST = 1 << 17
"""Bytes of a line: twice the longest line that a papaya sends."""


class MessageSplitter:
    """Split what the server sends into messages."""

    def __init__(self) -> None:
        self.unfinished = b""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes."""
        # papayaChat 1.0's server overwrites the line feed of some lines with a NUL.
        *whole, self.unfinished = re.split(rb"[\n\0]", self.unfinished + data)
        if len(self.unfinished) > _LONGEST:  # A server that ends no line must not fill the memory.
            whole.append(self.unfinished)
            self.unfinished = b""
        return [parse_message(line) for line in whole if line]


_REMEMBERED = 20000
"""Lines; a server repeats 10,000 at most."""


GAP = "the connection was lost: lines before this one may be missing"


class HistoryFilter:
    """Remember the messages that were shown, and hide them when the server repeats them.

    After each connect the server repeats the last lines of its log, or those from the time that it
    is asked for.  Hide only lines at the beginning that repeat, without a gap, the last messages
    that were shown.
    """

    def __init__(self) -> None:
        self.shown: deque[tuple[datetime | None, bytes]] = deque(maxlen=_REMEMBERED)
        self.start_connection()

    def start_connection(self) -> None:
        """Expect the server to repeat lines."""
        self.before = list(self.shown)
        self.at: list[int] | None = None
        """The indexes in ``before`` that the next line may repeat; None before the first."""
        self.held: list[Message] = []
        self.has_gap = False

    def make_request(self) -> bytes:
        """Return the request for the lines from the last one on that was shown.

        It is empty before the first line, and if that is from papayaChat 1.0's server.
        """
        at = self.shown[-1][0] if self.shown else None
        return format_request(int(f"{at.astimezone(UTC):%Y%m%d%H%M%S}")) if at else b""

    def take_gap(self) -> bool:
        """Return, once per connection, whether lines before the first new one may be missing."""
        found, self.has_gap = self.has_gap, False
        return found

    def filter(self, message: Message) -> list[Message]:
        """Return the messages to show now.

        A message that may be repeated is held back until the following ones decide.
        """
        if message.is_notice:
            return [message]
        if self.before:
            line = message.time, message.raw
            at = range(len(self.before)) if self.at is None else self.at
            self.at = [place + 1 for place in at if self.before[place] == line]
            self.held.append(message)
            if len(self.before) in self.at:  # The server has repeated all that was shown.
                self.before, self.held = [], []
            if self.at:
                return []
            return self._show_held(gap=True)
        self.held = [message]
        return self._show_held(gap=False)

    def finish(self) -> list[Message]:
        """Return the messages that are held back: the history is complete."""
        return self._show_held(gap=True) if self.held else []

    def _show_held(self, gap: bool) -> list[Message]:
        self.before = []
        self.has_gap |= gap
        shown, self.held = self.held, []
        self.shown += [(one.time, one.raw) for one in shown]
        return shown


def parse_message(line: bytes) -> Message:
    """Parse one line from the server."""
    stamp, rest = split_time(line.decode("utf-8", "replace"))
    at = None
    if stamp:
        try:
            at = datetime.fromisoformat(stamp).astimezone()
        except (ValueError, OverflowError):  # Not a date, or one this machine cannot represent.
            stamp, rest = None, f"{stamp} {rest}"
    raw = line[len(stamp) + 1 :] if stamp else line
    name, colon, text = rest.partition(": ")
    if not colon or rest.startswith("* ") or not is_visible(name):
        name, text = "", rest
    shown = escape(name)
    if len(shown) > _LONGEST_NAME:
        shown, text = "", rest
    return Message(at, shown, escape(text), raw)


class Backoff:
    """Delays before the next try to connect: exponential, with jitter."""

    def __init__(self, first: float = 0.5, most: float = 30) -> None:
        self.first, self.most = first, most
        self.tries = 0

    def next_delay(self) -> float:
        """Return the seconds until the next try."""
        seconds: float = min(self.most, self.first * 2 ** min(self.tries, 20))
        self.tries += 1
        return seconds * random.uniform(0.5, 1)

    def reset(self) -> None:
        """Start again with the first delay, after a try that worked."""
        self.tries = 0
