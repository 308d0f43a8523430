"""What `papaya serve` is told: `papaya.toml`, and options over it.

    # papaya.toml
    listen = ["127.0.0.1:7722", "[::1]:7722"]
    key = "/etc/papaya/key"
    log = "/var/lib/papaya/papaya.log"

Every entry is a field of `Config`; the option ``--auth-timeout`` is the entry
``auth_timeout``.  An unknown entry, or a value of another type, is named.
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


@dataclass(frozen=True)
class Config:
    """The service as it is to run; each field's metadata says what it means and its bounds."""

    listen: tuple[str, ...] = field(
        default=(f"127.0.0.1:{DEFAULT_PORT}",),
        metadata={"help": "HOST:PORT, [HOST]:PORT, or :PORT for every address; port 0 picks one"},
    )
    key: str = field(default="", metadata={"help": "file with the key (papaya key new FILE)"})
    log: str = field(default="", metadata={"help": "file the chat is kept in"})
    engine: str = field(default="fork", metadata={"help": "fork, pool or coroutines"})
    report: str = field(
        default="", metadata={"help": "take the facts from this report; measure nothing"}
    )
    durability: str = field(
        default="none",
        metadata={
            "help": "none, or data: fdatasync before a line is delivered",
            "choices": ("none", "data"),
        },
    )
    history: int = field(
        default=7,
        metadata={"help": "lines of the log a client gets on joining", "least": 0, "most": 10000},
    )
    max_line: int = field(
        default=4096, metadata={"help": "bytes a line may have", "least": 16, "most": 65536}
    )
    max_clients: int = field(
        default=1000, metadata={"help": "clients at once", "least": 1, "most": 100000}
    )
    max_unauthenticated: str = field(
        default="30:30:100",
        metadata={
            "help": "START:RATE:FULL: from START connections without a key on, RATE percent of "
            "new ones are dropped, all of them from FULL on (sshd's MaxStartups)"
        },
    )
    auth_timeout: float = field(
        default=5.0,
        metadata={"help": "seconds in which the whole key must come", "least": 0.1, "most": 600},
    )
    backoff: float = field(
        default=1.0,
        metadata={
            "help": "seconds an address waits after a wrong key, doubled with each; 0 for none",
            "least": 0,
            "most": 3600,
        },
    )
    send_timeout: float = field(
        default=30.0,
        metadata={
            "help": "seconds after which a client that takes nothing is dropped",
            "least": 0.1,
            "most": 86400,
        },
    )
    workers: int = field(
        default=0,
        metadata={
            "help": "sender processes of the engine pool; 0: one a processor",
            "least": 0,
            "most": 1024,
        },
    )
    daemon: bool = field(
        default=False, metadata={"help": "leave the terminal and run in the background"}
    )
    syslog: bool = field(default=False, metadata={"help": "log to syslog, not to standard error"})
    pid_file: str = field(default="", metadata={"help": "file for the process id, locked"})
    status: str = field(
        default="", metadata={"help": "Unix socket for papaya status (default: LOG.status)"}
    )
    user: str = field(default="", metadata={"help": "give up root and be this user"})
    set: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "a setting that is not to be chosen from facts (papaya settings)"},
    )

    @property
    def status_path(self) -> str:
        """Where the status socket is."""
        return self.status or self.log + ".status"

    @property
    def early_drop(self) -> tuple[int, int, int]:
        """``max_unauthenticated`` as three numbers."""
        start, rate, full = map(int, self.max_unauthenticated.split(":"))
        return start, rate, full


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
_TYPES = typing.get_type_hints(Config)


def load(path: str | None, options: Mapping[str, Any]) -> Config:
    """The configuration of the file (None: no file) with ``options`` over it; they win.

    Raises CommandError for a file that cannot be read, an unknown entry, or a bad value.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            with open(path, "rb") as file:
                document = tomllib.load(file)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CommandError(f"{path}: no TOML: {error}") from None
    values = {name: _checked(f"{path}: {name}", name, v) for name, v in document.items()}
    for name, value in options.items():
        values[name] = _checked(f"--{name.replace('_', '-')}", name, value)
    config = Config(**values)
    for name in ("key", "log"):
        if not getattr(config, name):
            raise CommandError(
                f'no {name} file: give --{name} FILE, or {name} = "FILE" in papaya.toml'
            )
    return config


def _checked(where: str, name: str, value: Any) -> Any:
    """``value`` as `Config` wants it, or CommandError."""
    if name not in FIELDS:
        raise CommandError(f"{where}: no such entry; there are {', '.join(FIELDS)}")
    kind = _TYPES[name]
    meta = FIELDS[name].metadata
    if name == "listen":
        addresses = [value] if isinstance(value, str) else value
        if not isinstance(addresses, list | tuple) or not addresses:
            raise CommandError(f"{where}: not an address, nor a list of them")
        for address in addresses:
            split_address(address if isinstance(address, str) else "")
        return tuple(addresses)
    if name == "set":
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise CommandError(f'{where}: not a table of settings, such as lock = "ofd"')
        return types.MappingProxyType(dict(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise CommandError(f"{where}: {value!r} is not {_WORDS[kind]}")
    if "choices" in meta and value not in meta["choices"]:
        raise CommandError(f"{where}: {value!r} is none of {', '.join(meta['choices'])}")
    if "least" in meta and not meta["least"] <= value <= meta["most"]:
        raise CommandError(f"{where}: {value} is not between {meta['least']} and {meta['most']}")
    if name == "max_unauthenticated":
        _check_early_drop(where, value)
    if name in ("key", "log", "report", "pid_file", "status") and value:
        return os.path.abspath(value)  # A daemon goes to / .
    return value


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _check_early_drop(where: str, value: str) -> None:
    try:
        start, rate, full = map(int, value.split(":"))
        if not (1 <= start <= full <= 100000 and 1 <= rate <= 100):
            raise ValueError
    except ValueError:
        raise CommandError(
            f"{where}: {value!r} is not START:RATE:FULL, such as 30:30:100"
        ) from None


def split_address(address: str) -> tuple[str, int]:
    """``HOST:PORT`` as host and port; the host is empty for every address.  Raises CommandError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        bad = ":" not in host
    else:
        bad = ":" in host
    if bad or not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise CommandError(f"{address!r} is no address: HOST:PORT, [HOST]:PORT or :PORT")
    return host, int(port)


def joined_address(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
