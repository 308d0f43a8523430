"""The model: Fact, Platform and Report, and their JSON form.

A report is the only thing that passes between the parts of the project.  `report_json` has the
rules of its JSON form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Union

from .errors import ReportError
from .files import write_whole
from .report_json import (
    DEEPEST,
    NOT_PLAIN,
    are_interfaces,
    are_texts,
    check,
    is_duration,
    is_flag,
    is_id,
    is_plain,
    is_text,
    is_value,
    is_width,
    make_whole,
    read_bounded,
    read_json,
)
from .text import make_printable

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
"""Statuses of a probe that failed: exit status 4."""

INHERENT = "inherent"
CONFIGURED = "configured"
INFORMATIVE = "informative"
SCOPES = (INHERENT, CONFIGURED, INFORMATIVE)


def show(value: Value) -> str:
    """Return a value as text: ``yes``, ``no``, ``none``, or the value itself."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@dataclass(frozen=True)
class Fact:
    """One probe's answer on one platform.

    ``value`` is canonical: the same on every run while the behaviour is the same.  ``raw`` is a
    sample that may vary, such as a count or a remainder.  ``reason`` is set whenever ``status``
    is not ``measured``.
    """

    id: str
    status: str
    value: Value = None
    scope: str = INHERENT
    raw: Any = None
    reason: str = ""
    milliseconds: float = 0.0
    hangs_on: str = ""
    """The setting of this platform that decides the answer, if that is known."""
    later: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields that this version does not know, kept unchanged."""

    @property
    def measured(self) -> bool:
        """Whether there is a value."""
        return self.status == MEASURED

    @property
    def family(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    @property
    def answer(self) -> str:
        """The value as text, or the status if there is no value."""
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
        check(is_id(id), f"{id!r:.60} is not a fact id (family.name)")
        check(isinstance(document, dict), f"fact {id} is not an object")
        check(is_plain(document, DEEPEST - 2), f"fact {id} {NOT_PLAIN}")
        fields = dict(document)
        status = fields.pop("status", None)
        check(status in STATUSES, f"fact {id} has the unknown status {status!r:.60}")
        scope = fields.pop("scope", None)
        check(scope in SCOPES, f"fact {id} has the unknown scope {scope!r:.60}")
        check("value" in fields, f"fact {id} has no value")
        value = make_whole(fields.pop("value"))
        check(is_value(value), f"fact {id} has a value that is not a bool, integer, string or null")
        check(status == MEASURED or value is None, f"fact {id} is {status}, but has a value")
        reason = fields.pop("reason", "")
        check(isinstance(reason, str), f"fact {id} has a reason that is not a string")
        check(status == MEASURED or reason, f"fact {id} is {status}, but has no reason")
        hangs_on = fields.pop("hangs_on", "")
        check(is_text(hangs_on), f"fact {id} hangs on a setting whose name is not a string")
        milliseconds = fields.pop("milliseconds", 0.0)
        check(is_duration(milliseconds), f"fact {id} has milliseconds that are not a duration")
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


IN_PLACE_OF_LINUX = ("gvisor", "qemu-user")
"""Values of `Platform.hypervisor` that identify as Linux, and answer system calls in its place."""


@dataclass(frozen=True)
class Platform:
    """Where the facts were measured: everything that could explain a difference."""

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
    """The kernel settings that may decide facts, as text."""
    lens: Mapping[str, str] = field(default_factory=dict)
    """What the lens found: layouts, widths, the way to see processes."""
    probes_hash: str = ""
    later: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """System, C library and width, such as ``linux-glibc-64``."""
        return f"{self.system}-{self.libc}-{self.pointer_bits}".lower()

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which a documented value may be recorded, the most specific first."""
        system = {"darwin": "macos", "sunos": "illumos"}.get(
            self.system.lower(), self.system.lower()
        )
        kernel = (self.hypervisor,) if self.hypervisor in IN_PLACE_OF_LINUX else ()
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
        """Return ``Debian GNU/Linux 12, Linux 6.1.0 x86_64, glibc 2.36, 64-bit``."""
        # On the BSDs and macOS the C library is part of the system, and has no version.
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
        check(isinstance(document, dict), "the environment is not an object")
        check(is_plain(document, DEEPEST - 1), f"the environment {NOT_PLAIN}")
        fields = dict(document)
        known: dict[str, Any] = {}
        for name in cls._fields():
            if name not in fields:
                check(name not in _PLATFORM_REQUIRED, f"the environment has no {name}")
                continue
            known[name] = make_whole(fields.pop(name))
            fits = _PLATFORM_KINDS.get(name, is_text)
            check(fits(known[name]), f"the environment's {name} is of the wrong kind")
        return cls(later=fields, **known)


_PLATFORM_REQUIRED = ("system", "release", "machine", "libc", "libc_version", "pointer_bits")
_PLATFORM_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "pointer_bits": is_width,
    "emulated_32_bit": is_flag,
    "root": is_flag,
    "interfaces": are_interfaces,
    "sysctls": are_texts,
    "lens": are_texts,
}


@dataclass(frozen=True)
class Report:
    """The environment and its facts, sorted by id.

    ``report["sockets.v6only_default"].value`` is the value of one fact; iteration yields facts.
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
        """Return the fact, or None if the report does not have it."""
        return self.facts.get(id)

    def counts(self) -> dict[str, int]:
        """Return how many facts have each status, zeros included."""
        found = dict.fromkeys(STATUSES, 0)
        for fact in self:
            found[fact.status] += 1
        return found

    def with_later(self, **fields: Any) -> Report:
        """Return this report with top-level fields that the caller adds, such as an approval."""
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
        """Return the report as JSON text: sorted keys, final newline."""
        # ASCII escapes, because a hostile file name may hold a lone surrogate.
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Write the report to ``path``, whole or not at all.

        Raises OSError if the file cannot be written, and leaves the old one as it was.
        """
        write_whole(path, self.dumps())

    @classmethod
    def loads(cls, text: Union[str, bytes]) -> Report:
        """Return the report in ``text``.  Raises ReportError with a message of one line."""
        return cls.from_json(read_json(text))

    @classmethod
    def from_json(cls, document: Any) -> Report:
        check(
            isinstance(document, dict) and "schema" in document,
            'not a report: no "schema" at its top',
        )
        check(is_plain(document, DEEPEST), f"it {NOT_PLAIN}")
        fields = dict(document)
        schema = make_whole(fields.pop("schema"))
        check(
            type(schema) is int and schema == SCHEMA,
            f"its schema is {schema!r:.40}; this version reads only schema {SCHEMA}",
        )
        check("environment" in fields, "the environment is missing")
        environment = Platform.from_json(fields.pop("environment"))
        facts = fields.pop("facts", None)
        check(isinstance(facts, dict), "the facts are missing, or not an object")
        seconds = fields.pop("seconds", 0.0)
        check(is_duration(seconds), "its seconds are not a duration")
        measured_at = fields.pop("measured_at", "")
        check(isinstance(measured_at, str), "its measured_at is not a string")
        return cls(
            environment=environment,
            facts={id: Fact.from_json(id, fact) for id, fact in facts.items()},
            seconds=float(seconds),
            measured_at=measured_at,
            later=fields,
        )

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> Report:
        """Return the report in the file ``path``; ``-`` is not special.

        Raises ReportError with one line that names the file if the file is missing, truncated,
        too large, not a report, or of another schema.
        """
        name = make_printable(os.fsdecode(path))
        try:
            return cls.loads(read_bounded(path))
        except ReportError as error:
            raise ReportError(f"{name}: {error}") from None
        except (OSError, ValueError) as error:
            raise ReportError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
