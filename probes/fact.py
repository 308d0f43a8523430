"""Fact, Platform and Report: what was measured, where, and their JSON form.

A report is the only thing that passes between the parts of the project.  Its
JSON form is described by ``report.schema.json`` beside this file; `Report.load`
holds a file against the same rules with the standard library alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Optional, Union

from .files import write_all

SCHEMA = 1

Value = Union[bool, int, str, None]

MEASURED = "measured"
UNSUPPORTED = "unsupported"
BLOCKED = "blocked"
TIMED_OUT = "timed out"
BROKEN = "broken"
UNSTABLE = "unstable"
STATUSES = (MEASURED, UNSUPPORTED, BLOCKED, TIMED_OUT, BROKEN, UNSTABLE)
FAULTS = (TIMED_OUT, BROKEN, UNSTABLE)
"""Statuses that are the lab's own failure: exit status 4."""

INHERENT = "inherent"
CONFIGURED = "configured"
INFORMATIVE = "informative"
SCOPES = (INHERENT, CONFIGURED, INFORMATIVE)

LARGEST_FILE = 16 * 1024 * 1024
"""A report is some 50 KB; anything past this many bytes is no report."""
DEEPEST = 64
"""Objects and lists within one another, the report itself the first."""


class ReportError(ValueError):
    """A file that is no readable report.  The message is one line for a user."""


def show(value: Value) -> str:
    """A value as people read it: ``yes``, ``no``, ``none``, or itself."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def printable(text: str) -> str:
    """``text`` in one line, what is not printable shown as its escape, such as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Fact:
    """One probe's answer on one platform.

    ``value`` is canonical: the same on every run where the behaviour is the
    same.  ``raw`` is a sample that may vary (a count, a remainder).  ``reason``
    says why, whenever ``status`` is not ``measured``.
    """

    id: str
    status: str
    value: Value = None
    scope: str = INHERENT
    raw: Any = None
    reason: str = ""
    milliseconds: float = 0.0
    hangs_on: str = ""
    """The setting of this platform that decides the answer, where one is known to."""
    later: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields this version does not know, kept as they came."""

    @property
    def measured(self) -> bool:
        return self.status == MEASURED

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    @property
    def answer(self) -> str:
        """The value as people read it, or the status where there is none."""
        return show(self.value) if self.measured else self.status

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = dict(self.later)
        document.update(
            status=self.status,
            value=self.value,
            scope=self.scope,
            milliseconds=round(self.milliseconds, 3),
        )
        if self.raw is not None:
            document["raw"] = self.raw
        if self.reason:
            document["reason"] = self.reason
        if self.hangs_on:
            document["hangs_on"] = self.hangs_on
        return document

    @classmethod
    def from_json(cls, id: str, document: Any) -> Fact:
        _check(_is_id(id), f"{id!r:.60} is no fact id (family.name)")
        _check(isinstance(document, dict), f"fact {id} is not an object")
        _check(_is_plain(document, DEEPEST - 2), f"fact {id} {_NOT_PLAIN}")
        fields = dict(document)
        status = fields.pop("status", None)
        _check(status in STATUSES, f"fact {id} has the unknown status {status!r:.60}")
        scope = fields.pop("scope", None)
        _check(scope in SCOPES, f"fact {id} has the unknown scope {scope!r:.60}")
        _check("value" in fields, f"fact {id} has no value")
        value = _whole(fields.pop("value"))
        _check(_is_value(value), f"fact {id} has a value that is no bool, integer, string or null")
        _check(status == MEASURED or value is None, f"fact {id} is {status} and yet has a value")
        reason = fields.pop("reason", "")
        _check(isinstance(reason, str), f"fact {id} has a reason that is no string")
        _check(status == MEASURED or reason, f"fact {id} is {status} and gives no reason")
        hangs_on = fields.pop("hangs_on", "")
        _check(_is_text(hangs_on), f"fact {id} hangs on a setting whose name is no text")
        milliseconds = fields.pop("milliseconds", 0.0)
        _check(_is_duration(milliseconds), f"fact {id} has milliseconds that are no duration")
        return cls(
            id=id,
            status=status,
            value=value,
            scope=scope,
            raw=fields.pop("raw", None),
            reason=reason,
            milliseconds=float(milliseconds),
            hangs_on=hangs_on,
            later=fields,
        )


@dataclass(frozen=True)
class Platform:
    """Where the facts were measured: all that could explain a difference."""

    system: str
    """Kernel's name as ``uname -s`` gives it: Linux, FreeBSD, Darwin, …"""
    release: str
    machine: str
    libc: str
    """C library: glibc, musl, or the system's own, named as the system in lower case."""
    libc_version: str
    pointer_bits: int
    distribution: str = ""
    version: str = ""
    emulated_32_bit: bool = False
    """A 32-bit userland on a 64-bit kernel: not a 32-bit system."""
    compiler: str = ""
    python: str = ""
    root: bool = False
    container: str = ""
    hypervisor: str = ""
    scratch_filesystem: str = ""
    interfaces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Interface name to the address families it has: ``{"lo": ["inet", "inet6"]}``."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """The kernel settings that bear on facts, as text."""
    lens: Mapping[str, str] = field(default_factory=dict)
    """What the lab looked through, as it found it: layouts, widths, the way it sees processes."""
    probes_hash: str = ""
    later: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """What makes two reports comparable, such as ``linux-glibc-64``."""
        return f"{self.system}-{self.libc}-{self.pointer_bits}".lower()

    @property
    def names(self) -> tuple[str, ...]:
        """Names a documented value may be filed under, the nearest first."""
        system = {"darwin": "macos", "sunos": "illumos"}.get(
            self.system.lower(), self.system.lower()
        )
        kernel = ("gvisor",) if self.hypervisor == "gvisor" else ()
        bits = self.pointer_bits
        return (
            *kernel,
            f"{system}-{self.libc}-{bits}",
            f"{system}-{bits}",
            f"{system}-{self.libc}",
            system,
            "posix",
        )

    def __str__(self) -> str:
        """One line: ``Debian GNU/Linux 12, Linux 6.1.0 x86_64, glibc 2.36, 64-bit``."""
        # On the BSDs and macOS the C library is the system's own: naming it twice says nothing.
        own = self.libc == self.system.lower()
        parts = [
            self.distribution,
            f"{self.system} {self.release} {self.machine}",
            "" if own else f"{self.libc} {self.libc_version}".strip(),
            f"{self.pointer_bits}-bit"
            + (" userland on a 64-bit kernel" if self.emulated_32_bit else ""),
            self.hypervisor,
            self.container,
        ]
        return ", ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        document = dict(self.later)
        document.update({name: getattr(self, name) for name in self._fields()})
        return document

    @classmethod
    def _fields(cls) -> list[str]:
        return [name for name in cls.__dataclass_fields__ if name != "later"]

    @classmethod
    def from_json(cls, document: Any) -> Platform:
        _check(isinstance(document, dict), "the environment is not an object")
        _check(_is_plain(document, DEEPEST - 1), f"the environment {_NOT_PLAIN}")
        fields = dict(document)
        known: dict[str, Any] = {}
        for name in cls._fields():
            if name not in fields:
                _check(name not in _PLATFORM_REQUIRED, f"the environment has no {name}")
                continue
            known[name] = _whole(fields.pop(name))
            fits = _PLATFORM_KINDS.get(name, _is_text)
            _check(fits(known[name]), f"the environment's {name} is of the wrong kind")
        return cls(later=fields, **known)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_width(value: Any) -> bool:
    return type(value) is int and value in (16, 32, 64, 128)


def _are_interfaces(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(families, list) and all(map(_is_text, families)) for families in value.values()
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_PLATFORM_REQUIRED = ("system", "release", "machine", "libc", "libc_version", "pointer_bits")
_PLATFORM_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "pointer_bits": _is_width,
    "emulated_32_bit": _is_flag,
    "root": _is_flag,
    "interfaces": _are_interfaces,
    "sysctls": _are_texts,
    "lens": _are_texts,
}


@dataclass(frozen=True)
class Report:
    """The environment and its facts, sorted by id.

    ``report["sockets.v6only_default"].value`` reads one; iteration gives facts.
    """

    environment: Platform
    facts: Mapping[str, Fact]
    seconds: float = 0.0
    measured_at: str = ""
    """UTC, ``2026-11-22T23:59:59Z``."""
    later: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", dict(sorted(self.facts.items())))

    def __getitem__(self, id: str) -> Fact:
        return self.facts[id]

    def __contains__(self, id: object) -> bool:
        return id in self.facts

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts.values())

    def __len__(self) -> int:
        return len(self.facts)

    def get(self, id: str) -> Optional[Fact]:
        return self.facts.get(id)

    def counts(self) -> dict[str, int]:
        """How many facts have each status, every status named."""
        found = dict.fromkeys(STATUSES, 0)
        for fact in self:
            found[fact.status] += 1
        return found

    def with_later(self, **fields: Any) -> Report:
        """This report with top-level fields of a caller's own, such as an approval."""
        return replace(self, later={**self.later, **fields})

    def to_json(self) -> dict[str, Any]:
        document = dict(self.later)
        document.update(
            schema=SCHEMA,
            environment=self.environment.to_json(),
            facts={fact.id: fact.to_json() for fact in self},
            seconds=round(self.seconds, 3),
            measured_at=self.measured_at,
        )
        return document

    def dumps(self) -> str:
        """The report as JSON text: sorted keys, final newline."""
        # ASCII escapes keep a lone surrogate, as a hostile file name could give one, writable.
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Write the report to ``path``, whole or not at all.

        Raises OSError where the file cannot be written; what was there stays.
        """
        write_whole(path, self.dumps())

    @classmethod
    def loads(cls, text: Union[str, bytes]) -> Report:
        """The report in ``text``.  Raises ReportError, its message one line."""
        return cls.from_json(read_json(text))

    @classmethod
    def from_json(cls, document: Any) -> Report:
        _check(
            isinstance(document, dict) and "schema" in document,
            'not a report: no "schema" at its top',
        )
        _check(_is_plain(document, DEEPEST), f"it {_NOT_PLAIN}")
        fields = dict(document)
        schema = _whole(fields.pop("schema"))
        _check(
            type(schema) is int and schema == SCHEMA,
            f"its schema is {schema!r:.40}; this version reads schema {SCHEMA} alone",
        )
        _check("environment" in fields, "the environment is missing")
        environment = Platform.from_json(fields.pop("environment"))
        facts = fields.pop("facts", None)
        _check(isinstance(facts, dict), "the facts are missing, or not an object")
        seconds = fields.pop("seconds", 0.0)
        _check(_is_duration(seconds), "its seconds are no duration")
        measured_at = fields.pop("measured_at", "")
        _check(isinstance(measured_at, str), "its measured_at is no text")
        return cls(
            environment=environment,
            facts={id: Fact.from_json(id, fact) for id, fact in facts.items()},
            seconds=float(seconds),
            measured_at=measured_at,
            later=fields,
        )

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> Report:
        """The report in the file ``path``; ``-`` is not special.

        Raises ReportError (one line that names the file) for a file that is
        missing, truncated, foreign, too large or of another schema.
        """
        name = printable(os.fsdecode(path))
        try:
            return cls.loads(read_bounded(path))
        except ReportError as error:
            raise ReportError(f"{name}: {error}") from None
        except (OSError, ValueError) as error:
            raise ReportError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def read_bounded(file: Union[str, os.PathLike[str], BinaryIO]) -> bytes:
    """Return what a file holds, by its path or open.  Raises ReportError if it is too large."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb", opener=open_at_once) as opened:
            return read_bounded(opened)
    text = file.read(LARGEST_FILE + 1)
    if len(text) > LARGEST_FILE:
        raise ReportError(f"larger than {LARGEST_FILE} bytes")
    return text


def read_json(text: Union[str, bytes]) -> Any:
    """Return what the JSON ``text`` holds, the same with every Python.

    Raises ReportError, its message one line, for anything that readers of JSON take differently.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_no_giant,
        )
    except ReportError:
        raise
    except RecursionError:
        raise ReportError(_TOO_DEEP) from None
    except UnicodeDecodeError:
        raise ReportError("not UTF-8 text") from None
    except ValueError as error:
        raise ReportError(f"not JSON, or cut short ({error})") from None


def open_at_once(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to is empty, not a reason to wait for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(descriptor, True)
    return descriptor


def write_whole(path: Union[str, os.PathLike[str]], text: Union[str, bytes]) -> None:
    """Write ``text`` to ``path`` through a file beside it, so that no reader sees a part.

    A symbolic link stays one: the file it leads to is written.  What is no plain
    file (a terminal, a pipe, /dev/stdout) is written straight to.  Raises OSError
    that names ``path``; what was there stays.
    """
    name = os.fspath(path)
    data = text.encode() if isinstance(text, str) else text
    try:
        _write_whole(name, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None


def _write_whole(name: str, data: bytes) -> None:
    mode, owner = 0o666 & ~_umask(), (-1, -1)
    with contextlib.suppress(FileNotFoundError):
        there = os.stat(name)
        descriptor = os.path.abspath(name).startswith(("/dev/std", "/dev/fd/", "/proc/"))
        if descriptor or not stat.S_ISREG(there.st_mode):
            # Unbuffered: a buffer keeps what could not be written, and fails again when closed.
            with open(name, "ab", buffering=0) as file:
                write_all(file.fileno(), data)
            return
        if not os.access(name, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mode, owner = stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid)
    target = os.path.realpath(name)
    folder, last = os.path.split(target)
    beside = os.path.join(folder, f".{last[:100]}.{os.urandom(4).hex()}")
    try:
        with open(beside, "xb", opener=_open_private) as file:
            file.write(data)
        with contextlib.suppress(PermissionError):
            os.chown(beside, *owner)
        os.chmod(beside, mode)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _check(holds: Any, message: str) -> None:
    if not holds:
        raise ReportError(printable(message))


_TOO_DEEP = f"nested deeper than {DEEPEST}"
_NOT_PLAIN = f"holds what JSON has no word for, or is {_TOO_DEEP}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        _check(name not in document, f"it says {name!r:.60} twice")
        document[name] = value
    return document


def _no_constant(name: str) -> Any:
    raise ReportError(f"not JSON: it holds {name}")


def _no_giant(digits: str) -> int:
    # Python needs minutes for a number of millions of digits, or refuses it.
    _check(len(digits) < 400, "it holds a number of hundreds of digits")
    return int(digits)


def _is_plain(value: Any, levels: int) -> bool:
    """Whether this is JSON that any reader reads alike: finite numbers, not nested deeply."""
    if isinstance(value, dict):
        names, values = list(value), list(value.values())
        return all(map(_is_text, names)) and _is_plain(values, levels)
    if isinstance(value, list):
        return levels > 0 and all(_is_plain(item, levels - 1) for item in value)
    if isinstance(value, (int, float)):
        return -sys.float_info.max <= value <= sys.float_info.max
    return value is None or _is_text(value)


def _whole(value: Any) -> Any:
    """A number as JSON means it: 1.0 is the integer 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_id(id: str) -> bool:
    family, dot, name = id.partition(".")
    return bool(
        dot
        and all(
            part.isascii() and part.isidentifier() and part == part.lower()
            for part in (family, name)
        )
    )


def _is_value(value: Any) -> bool:
    if type(value) is int:
        return bool(-(2**63) <= value < 2**63)
    return value is None or isinstance(value, (bool, str))


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1e12
