"""The configuration of `papaya serve`: `papaya.toml`, overridden by options.

    # papaya.toml
    listen = ["127.0.0.1:7722", "[::1]:7722"]
    key = "/etc/papaya/key"
    log = "/var/lib/papaya/papaya.log"

Every entry is a field of `Config`; the option ``--auth-timeout`` is the entry ``auth_timeout``.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.errors import CommandError

DEFAULT_PORT = 7722
LONGEST_LINE = 65536
"""Bytes that ``max_line`` may be at most: no line of any papaya is longer."""


@dataclass(frozen=True)
class Config:
    """The configuration; each field's metadata has its help text and bounds."""

    listen: tuple[str, ...] = field(
        default=(f"127.0.0.1:{DEFAULT_PORT}",),
        metadata={
            "help": "listen on HOST:PORT, [HOST]:PORT, or :PORT or *:PORT for every address; a "
            "name stands for all its addresses; with port 0 the kernel picks a port (default: "
            f"127.0.0.1:{DEFAULT_PORT})"
        },
    )
    key: str = field(
        default="", metadata={"help": "file with the key (make one with papaya key new FILE)"}
    )
    log: str = field(
        default="", metadata={"help": "file that the chat is logged to; LOG.lock is held beside it"}
    )
    engine: str = field(
        default="fork", metadata={"help": "fork, pool or coroutines (default: fork)"}
    )
    report: str = field(
        default="", metadata={"help": "take the facts from this report instead of measuring them"}
    )
    durability: str = field(
        default="none",
        metadata={
            "help": "none, or data: sync the log before a line is delivered (default: none)",
            "choices": ("none", "data"),
        },
    )
    compatible: str = field(
        default="none",
        metadata={
            "help": "none, or papayachat: end what is sent at once with a NUL, as papayaChat 1.0's "
            "server does, whose client shows the rest of an older line after a shorter one without "
            "it (default: none)",
            "choices": ("none", "papayachat"),
        },
    )
    history: int = field(
        default=7,
        metadata={
            "help": "number of earlier lines sent to a client that joins (default: 7)",
            "least": 0,
            "most": 10000,
        },
    )
    max_line: int = field(
        default=4096,
        metadata={
            "help": "longest line accepted, in bytes (default: 4096)",
            "least": 16,
            "most": LONGEST_LINE,
        },
    )
    max_rate: int = field(
        default=100,
        metadata={
            "help": "lines a second that are read from one client; 1,024 bytes count as a line, "
            "and what is more waits at the client; 0 turns this off (default: 100)",
            "least": 0,
            "most": 1000000,
        },
    )
    burst: int = field(
        default=2000,
        metadata={
            "help": "lines that a client may send at once before max_rate applies (default: 2000)",
            "least": 1,
            "most": 1000000,
        },
    )
    max_log: int = field(
        default=0,
        metadata={
            "help": "bytes of the log from which on lines are refused, until it is rotated or "
            "truncated; 0 turns this off (default: 0)",
            "least": 0,
            "most": (1 << 63) - 1,
        },
    )
    max_clients: int = field(
        default=1000,
        metadata={
            "help": "limit of simultaneous clients (default: 1000)", "least": 1, "most": 100000
        },
    )  # fmt: skip
    max_unauthenticated: int = field(
        default=1000,
        metadata={
            "help": "limit of connections that have not sent the key, half of it for one address; "
            "a new one takes the place of the oldest.  Of START:RATE:FULL, the older form, FULL "
            "counts (default: 1000)",
            "least": 1,
            "most": 100000,
        },
    )
    auth_timeout: float = field(
        default=5.0,
        metadata={
            "help": "time that a client has to send the key, in seconds (default: 5)",
            "least": 0.1,
            "most": 600,
        },
    )
    backoff: float = field(
        default=1.0,
        metadata={
            "help": "seconds for which an address is refused after a wrong key, doubled with each "
            "further one; 0 turns this off (default: 1)",
            "least": 0,
            "most": 3600,
        },
    )
    send_timeout: float = field(
        default=30.0,
        metadata={
            "help": "seconds after which a client that reads nothing is disconnected (default: 30)",
            "least": 0.1,
            "most": 86400,
        },
    )
    process_timeout: float = field(
        default=10.0,
        metadata={
            "help": "seconds after which a process that was stopped, or a worker that hangs, is "
            "killed, and its clients disconnected (default: 10)",
            "least": 0.5,
            "most": 3600,
        },
    )
    fill: int = field(
        default=128,
        metadata={
            "help": "clients that a worker of the engine pool is given before the next worker is "
            "given any; when each has as many, they share the rest (default: 128)",
            "least": 1,
            "most": 100000,
        },
    )
    workers: int = field(
        default=0,
        metadata={
            "help": "worker processes of the engine pool; 0: one per processor (default: 0)",
            "least": 0,
            "most": 1024,
        },
    )
    daemon: bool = field(
        default=False, metadata={"help": "leave the terminal and run in the background"}
    )
    syslog: bool = field(
        default=False, metadata={"help": "log to syslog instead of standard error"}
    )
    pid_file: str = field(
        default="", metadata={"help": "write the process id to this file, and lock it"}
    )
    status: str = field(
        default="", metadata={"help": "Unix socket for papaya status (default: LOG.status)"}
    )
    user: str = field(default="", metadata={"help": "drop root and run as this user"})
    set: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "fix a setting instead of choosing it from facts (see papaya settings)"},
    )

    @property
    def status_path(self) -> str:
        """The path of the status socket."""
        return self.status or self.log + ".status"


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
_TYPES = typing.get_type_hints(Config)


def load(path: str | None, options: Mapping[str, Any]) -> Config:
    """Return the configuration in the file (None: no file), overridden by ``options``.

    Raise CommandError for a file that cannot be read, an unknown entry, or a bad value.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            with open(path, "rb") as file:
                document = tomllib.load(file)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CommandError(f"{path}: not valid TOML: {error}") from None
    values = {name: _check(f"{path}: {name}", name, v) for name, v in document.items()}
    for name, value in options.items():
        values[name] = _check(f"--{name.replace('_', '-')}", name, value)
    config = Config(**values)
    for name in ("key", "log"):
        if not getattr(config, name):
            raise CommandError(
                f'no {name} file: give --{name} FILE, or {name} = "FILE" in papaya.toml'
            )
    return config


def _check(where: str, name: str, value: Any) -> Any:
    """Return ``value`` as `Config` needs it, or raise CommandError."""
    if name not in FIELDS:
        raise CommandError(f"{where}: unknown entry; the entries are {', '.join(FIELDS)}")
    kind = _TYPES[name]
    meta = FIELDS[name].metadata
    if name == "listen":
        addresses = [value] if isinstance(value, str) else value
        if not isinstance(addresses, list | tuple) or not addresses:
            raise CommandError(f"{where}: not an address or a list of addresses")
        for address in addresses:
            split_address(address if isinstance(address, str) else "")
        return tuple(addresses)
    if name == "set":
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise CommandError(f'{where}: not a table of settings, such as lock = "ofd"')
        return types.MappingProxyType(dict(value))
    if name == "max_unauthenticated" and isinstance(value, str):
        value = _parse_max_unauthenticated(where, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise CommandError(f"{where}: {value!r} is not {_WORDS[kind]}")
    if "choices" in meta and value not in meta["choices"]:
        raise CommandError(f"{where}: {value!r} is not one of {', '.join(meta['choices'])}")
    if "least" in meta and not meta["least"] <= value <= meta["most"]:
        raise CommandError(f"{where}: {value} is not between {meta['least']} and {meta['most']}")
    if name in ("key", "log", "report", "pid_file", "status") and value:
        return os.path.abspath(value)  # A daemon changes to / .
    return value


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def _parse_max_unauthenticated(where: str, value: str) -> int:
    """Return the number in ``value``, or the last one of its older form START:RATE:FULL."""
    numbers = value.split(":")
    if len(numbers) not in (1, 3) or not all(n.isascii() and n.isdigit() for n in numbers):
        raise CommandError(f"{where}: {value!r} is not a whole number, such as 1000")
    return int(numbers[-1])


def split_address(address: str) -> tuple[str, int]:
    """Split ``HOST:PORT``; the host is empty for every address.  Raise CommandError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        bad = ":" not in host
    else:
        bad = ":" in host
    if bad or not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise CommandError(f"{address!r}: not an address; write HOST:PORT, [HOST]:PORT or :PORT")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Return ``HOST:PORT``, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
