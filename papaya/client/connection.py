"""Who one is, how the server is reached, and what it says."""

from __future__ import annotations

import codecs
import os
import random
import re
import socket
import time
import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from probes.errors import CommandError

from .. import key as keys
from ..config import DEFAULT_PORT, split_address
from ..protocol import clean, untimed

ENTRIES = ("server", "key", "name")
CONFIG = "~/.config/papaya/client.toml"


@dataclass(frozen=True)
class Account:
    """Where to connect, with which key, under which name."""

    host: str
    port: int
    key: bytes
    name: str

    def line(self, text: str) -> bytes:
        """What is sent to say ``text``; empty where nothing would be left of it."""
        cleaned = clean(text.encode("utf-8", "replace"))
        return clean(f"{self.name}: ".encode()) + b" " + cleaned + b"\n" if cleaned else b""


def account(given: Mapping[str, str | None]) -> Account:
    """The account from what is given, else the environment, else ``client.toml``.

    ``PAPAYA_SERVER``, ``PAPAYA_KEY`` (the key's file) and ``PAPAYA_NAME``.  Raises CommandError.
    """
    path = os.path.expanduser(CONFIG)
    entries = _entries(path)
    found = {
        name: given.get(name) or os.environ.get(f"PAPAYA_{name.upper()}") or entries.get(name)
        for name in ENTRIES
    }
    for name, option in (("server", "HOST[:PORT]"), ("key", "--key FILE")):
        if not found[name]:
            raise CommandError(f'no {name}: give {option}, or {name} = "…" in {CONFIG}')
    host, port = split_server(str(found["server"]))
    name = str(found["name"] or os.environ.get("LOGNAME") or os.environ.get("USER") or "anonymous")
    name = clean(name.encode("utf-8", "replace")).decode().replace(":", "").strip()
    if not name:
        raise CommandError("an empty name: give another --name")
    return Account(host, port, keys.load(os.path.expanduser(str(found["key"]))), name)


def _entries(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            entries = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: no TOML: {error}") from None
    for name, value in entries.items():
        if name not in ENTRIES or not isinstance(value, str):
            raise CommandError(f"{path}: {name}: there are {', '.join(ENTRIES)}, each a text")
    return entries


def split_server(server: str) -> tuple[str, int]:
    """``HOST``, ``HOST:PORT``, ``[ADDRESS]:PORT`` or an IPv6 address alone."""
    if server.count(":") > 1 and not server.startswith("["):
        return server, DEFAULT_PORT
    if server.startswith("[") and server.endswith("]"):
        return server[1:-1], DEFAULT_PORT
    if ":" not in server:
        return server, DEFAULT_PORT
    host, port = split_address(server)
    return host or "localhost", port


EACH_SECONDS = 5.0
"""How long one address may take to answer: the next may be there at once."""


def connect(who: Account, each: float = EACH_SECONDS) -> tuple[socket.socket, float]:
    """A connection that has sent the key, and how long its address took to answer.

    Each address of the host is tried in turn.  Raises OSError of the last.
    """
    refused = OSError(f"{who.host}: no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        who.host, who.port, type=socket.SOCK_STREAM
    ):
        began = time.monotonic()
        try:
            connected = socket.socket(family, kind, protocol)
        except OSError as error:  # There is no such family here.
            refused = error
            continue
        try:
            connected.settimeout(each)
            connected.connect(address)
            answered = time.monotonic() - began
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.sendall(who.key)
            return connected, answered
        except OSError as error:
            connected.close()
            refused = error
    raise refused


@dataclass(frozen=True)
class Message:
    """A line the server sent, fit to be shown."""

    time: datetime | None
    """None from the original's server, and for what the server says to us alone."""
    name: str
    text: str
    raw: bytes
    """Without its time: what its sender sent."""

    @property
    def notice(self) -> bool:
        """Whether the server says it to us alone."""
        # With a time it is in the log: another's line that looks like one.
        return self.time is None and not self.name and self.raw.startswith(b"* ")


_LONGEST = 1 << 17
"""Bytes of a line: twice what a server of ours sends at most."""


class Incoming:
    """Cuts what the server sends into messages."""

    def __init__(self) -> None:
        self.begun = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes."""
        # The original's server ends a line with a NUL where it overwrote the line feed.
        *whole, self.begun = re.split(rb"[\n\0]", self.begun + data)
        if len(self.begun) > _LONGEST:  # A server that ends no line is not to fill the memory.
            whole.append(self.begun)
            self.begun = b""
        return [message(line) for line in whole if line]


_REMEMBERED = 20000
"""Lines; a server says 10,000 again at most."""


class Seen:
    """What was shown, so that the history is not shown again after connecting anew.

    On joining the server says the last lines of its log again.  Hidden are those alone that
    it says first and that are, one after the other, the last that were shown.
    """

    def __init__(self) -> None:
        self.shown: deque[tuple[object, bytes]] = deque(maxlen=_REMEMBERED)
        self.joined()

    def joined(self) -> None:
        """A connection begins."""
        self.before = list(self.shown)
        self.at: list[int] | None = None
        """Where in ``before`` the next line is to be found; None at the first."""
        self.held: list[Message] = []

    def news(self, message: Message) -> list[Message]:
        """What is to be shown now that this came: it was held back until it was known whether."""
        if message.notice:
            return [message]
        if self.before:
            line = message.time, message.raw
            at = range(len(self.before)) if self.at is None else self.at
            self.at = [place + 1 for place in at if self.before[place] == line]
            self.held.append(message)
            if len(self.before) in self.at:  # All that was shown before has been said again.
                self.before, self.held = [], []
            if self.at:
                return []
            self.before = []
        else:
            self.held = [message]
        shown, self.held = self.held, []
        self.shown += [(one.time, one.raw) for one in shown]
        return shown


def message(line: bytes) -> Message:
    """One line as a message."""
    stamp, rest = untimed(line.decode("utf-8", "replace"))
    at = None
    if stamp:
        try:
            at = datetime.fromisoformat(stamp).astimezone()
        except (ValueError, OverflowError):  # No such day, or none that this machine can show.
            stamp, rest = None, f"{stamp} {rest}"
    raw = line[len(stamp) + 1 :] if stamp else line
    name, colon, text = rest.partition(": ")
    if not colon or rest.startswith("* ") or len(name) > 64:
        name, text = "", rest
    return Message(at, shown(name), shown(text), raw)


def shown(text: str) -> str:
    """``text`` with every character a terminal might obey shown as its escape."""
    return "".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return codecs.encode(character, "unicode_escape").decode()


class Backoff:
    """How long to wait before connecting again: longer each time, and never all at once."""

    def __init__(self, first: float = 0.5, most: float = 30) -> None:
        self.first, self.most = first, most
        self.tries = 0

    def next(self) -> float:
        """Seconds until the next try."""
        seconds: float = min(self.most, self.first * 2 ** min(self.tries, 20))
        self.tries += 1
        return seconds * random.uniform(0.5, 1)

    def worked(self) -> None:
        """It did."""
        self.tries = 0
