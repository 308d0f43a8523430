"""Fact, Platform and Report: what was measured, where, and their JSON form.

A report is the only thing that passes between the parts of the project.  Its
JSON form is described by ``report.schema.json`` beside this file; `Report.load`
holds a file against the same rules with the standard library alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

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


class ReportError(ValueError):
    """A file that is no readable report.  The message is one line for a user."""


def show(value: Value) -> str:
    """A value as people read it: ``yes``, ``no``, ``none``, or itself."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


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
        return document

    @classmethod
    def from_json(cls, id: str, document: Any) -> Fact:
        _check(_is_id(id), f"{id!r:.60} is no fact id (family.name)")
        _check(isinstance(document, dict), f"fact {id} is not an object")
        fields = dict(document)
        status = fields.pop("status", None)
        _check(status in STATUSES, f"fact {id} has the unknown status {status!r:.60}")
        scope = fields.pop("scope", None)
        _check(scope in SCOPES, f"fact {id} has the unknown scope {scope!r:.60}")
        _check("value" in fields, f"fact {id} has no value")
        value = fields.pop("value")
        _check(_is_value(value), f"fact {id} has a value that is no bool, integer, string or null")
        _check(status == MEASURED or value is None, f"fact {id} is {status} and yet has a value")
        reason = fields.pop("reason", "")
        _check(isinstance(reason, str), f"fact {id} has a reason that is no string")
        _check(status == MEASURED or reason, f"fact {id} is {status} and gives no reason")
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
    interfaces: Mapping[str, Any] = field(default_factory=dict)
    """Interface name to the address families it has: ``{"lo": ["inet", "inet6"]}``."""
    sysctls: Mapping[str, Any] = field(default_factory=dict)
    """The kernel settings that bear on facts, as text."""
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
        fields = dict(document)
        known: dict[str, Any] = {}
        for name in cls._fields():
            kind = _PLATFORM_KINDS.get(name, str)
            if name not in fields:
                _check(name not in _PLATFORM_REQUIRED, f"the environment has no {name}")
                continue
            value = fields.pop(name)
            fits = type(value) is int if kind is int else isinstance(value, kind)
            _check(fits, f"the environment's {name} is of the wrong kind")
            known[name] = value
        _check(
            known["pointer_bits"] in (16, 32, 64, 128), "the environment's pointer_bits is no width"
        )
        return cls(later=fields, **known)


_PLATFORM_REQUIRED = ("system", "release", "machine", "libc", "libc_version", "pointer_bits")
_PLATFORM_KINDS: dict[str, type] = {
    "pointer_bits": int,
    "emulated_32_bit": bool,
    "root": bool,
    "interfaces": dict,
    "sysctls": dict,
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
        try:
            document = json.loads(text, parse_constant=_no_constant)
        except RecursionError:
            raise ReportError("nested too deeply to be a report") from None
        except UnicodeDecodeError:
            raise ReportError("not UTF-8 text, so not a report") from None
        except ValueError as error:
            raise ReportError(f"not JSON, or cut short ({error})") from None
        return cls.from_json(document)

    @classmethod
    def from_json(cls, document: Any) -> Report:
        _check(
            isinstance(document, dict) and "schema" in document,
            'not a report: no "schema" at its top',
        )
        fields = dict(document)
        schema = fields.pop("schema")
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
        try:
            with open(path, "rb") as file:
                text = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise ReportError(f"{os.fspath(path)}: {error.strerror or error}") from None
        if len(text) > LARGEST_FILE:
            raise ReportError(f"{os.fspath(path)}: larger than {LARGEST_FILE} bytes: no report")
        try:
            return cls.loads(text)
        except ReportError as error:
            raise ReportError(f"{os.fspath(path)}: {error}") from None


def write_whole(path: Union[str, os.PathLike[str]], text: Union[str, bytes]) -> None:
    """Write ``text`` to ``path`` through a file beside it, so that no reader sees a part.

    What is no plain file (a terminal, a pipe, /dev/stdout) is written straight to.
    """
    data = text.encode() if isinstance(text, str) else text
    target = Path(path)
    if target.is_symlink() or (target.exists() and not target.is_file()):
        target.write_bytes(data)
        return
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.chmod(beside, mode)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _check(holds: Any, message: str) -> None:
    if not holds:
        raise ReportError(message.replace("\n", " "))


def _no_constant(name: str) -> Any:
    raise ReportError(f"not JSON: it holds {name}")


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
    return type(value) in (int, float) and 0 <= value < 1e12
