"""@probe: a function that answers one question about this platform.

    @probe(
        matters="what goes wrong in a daemon when this differs",
        advice="the explicit setting that makes the difference harmless",
        reference="man page section, POSIX, RFC",
        documented={"linux": False, "freebsd": True},
    )
    def v6only_default() -> bool:
        \"\"\"Is IPV6_V6ONLY on by default?\"\"\"

The fact's id is the file's name, a dot and the function's name; the question is the first line
of the docstring.  A function in `catalogue/` needs nothing else to be listed, explained, measured,
rendered and gated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, TypeVar, Union

from .fact import CONFIGURED, INHERENT, SCOPES, Fact, Platform, Value
from .source import read_docstring

Function = TypeVar("Function", bound=Callable[..., Any])
Documented = Mapping[str, Value]


class Unsupported(Exception):
    """The platform lacks what the probe asks about.  The message says what is missing."""


class Blocked(Exception):
    """A privilege or a tool is missing.  The message says which, and how to get it."""


absent_modules: list[str] = []
"""For each module that this Python lacks and a probe may use, why that probe is blocked."""


@dataclass(frozen=True)
class Sample:
    """An answer, and a raw sample that may vary from run to run."""

    value: Value
    raw: Any


@dataclass(frozen=True)
class Probe:
    """One question of the catalogue, or one row of a question asked of a table."""

    id: str
    question: str
    matters: str
    advice: str
    reference: str
    scope: str
    documented: Documented
    """What each platform's own documentation promises, by `Platform.names`."""
    heading: str
    """The question of the whole table if this is a row of one, otherwise empty."""
    function: Callable[..., Any] = field(repr=False)
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    hangs_on: Mapping[str, str] = field(default_factory=dict)
    """The setting that decides the answer, as sysctl(8) names it, by `Platform.names`."""
    symptoms: tuple[str, ...] = ()
    """What users see and write who do not know the cause, for `search`."""
    light: bool = False
    """Whether probes may share its process: it leaves no child, handler, lock, file or setting."""

    @property
    def family(self) -> str:
        """The part of the id before the dot: the file's name."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The part of the id after the dot."""
        return self.id.partition(".")[2]

    @property
    def source(self) -> tuple[str, int]:
        """File, such as ``probes/catalogue/sockets.py``, and line of the function."""
        line: int = self.function.__code__.co_firstlineno
        return f"probes/catalogue/{self.family}.py", line

    def __call__(self) -> Any:
        """Ask in this process: return a Value or a Sample, or raise Unsupported or Blocked."""
        try:
            return self.function(*self.arguments)
        except Exception as error:
            # ctypes, and a child that tells its parent of an exception, keep only its text.
            for reason in absent_modules:
                if reason in str(error):
                    raise Blocked(reason) from error
            raise

    def find_documented(self, platform: Platform) -> Optional[tuple[str, Value]]:
        """Return the most specific name of ``platform`` with a documented value, and the value."""
        for name in platform.names:
            if name in self.documented:
                return name, self.documented[name]
        return None

    def setting(self, platform: Platform) -> str:
        """Return the setting that the fact hangs on; empty if ``platform`` has none."""
        named = (self.hangs_on[name] for name in platform.names if name in self.hangs_on)
        return next((setting for setting in named if setting in platform.sysctls), "")

    def differs(self, fact: Fact, platform: Platform) -> bool:
        """Return whether a measured ``fact`` differs from what ``platform`` documents."""
        documented = self.find_documented(platform)
        return fact.measured and documented is not None and not is_same(documented[1], fact.value)


def is_same(a: Value, b: Value) -> bool:
    """Return whether values are equal and of one type; in Python, True equals 1."""
    return type(a) is type(b) and a == b


_registered: dict[str, Probe] = {}


def list_registered() -> list[Probe]:
    """Return every probe whose module has been imported."""
    return list(_registered.values())


def list_settings() -> list[str]:
    """Return every setting that a registered probe hangs on, by all its names."""
    named = (setting for probe in _registered.values() for setting in probe.hangs_on.values())
    return list(dict.fromkeys(named))


def probe(
    *,
    matters: str,
    advice: str,
    reference: str,
    documented: Union[Documented, Callable[[Any], Documented], None] = None,
    scope: str = INHERENT,
    hangs_on: Union[str, Mapping[str, str]] = "",
    symptoms: Sequence[str] = (),
    light: bool = False,
    each: Optional[Mapping[str, Any]] = None,
) -> Callable[[Function], Function]:
    """Register a function as the probe ``<file>.<function>``.

    ``hangs_on`` names the setting that decides the answer, as sysctl(8) does, such as
    ``net.core.somaxconn``; if systems use different names, it is a mapping
    ``{"linux": ..., "freebsd": ...}``.  The scope must be `CONFIGURED`, and a test must change
    the setting and see the answer flip.  The gate then names the setting as the cause.

    ``symptoms`` are what users see and write who do not know the cause, such as "Address already in
    use after a restart": `search` finds the fact by them.

    A ``light`` probe changes nothing that another probe could notice.

    With ``each``, a mapping of row names to arguments, the function is a table: it becomes one
    fact per row, ``<file>.<row>``, and is called with the argument of that row.  ``{row}`` in the
    texts stands for ``str(argument)``, and ``documented`` may be a function of the argument.

    Raises ValueError for an unknown scope, a missing question, an id that is taken, a malformed
    setting, symptoms that are not a list, and a documented value of an unknown platform or of
    another type than the probe's.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope is one of {', '.join(SCOPES)}, not {scope!r}")
    by_system = {"posix": hangs_on} if isinstance(hangs_on, str) and hangs_on else hangs_on or {}

    def register(function: Function) -> Function:
        family = function.__module__.rpartition(".")[2]
        question = (function.__doc__ or read_docstring(function)).strip().partition("\n")[0]
        if not question:
            raise ValueError(f"{family}.{function.__name__}: the docstring's first line asks")
        if isinstance(symptoms, str):
            raise ValueError(f"{family}.{function.__name__}: symptoms are a list of texts")
        rows = {function.__name__: ()} if each is None else {n: (a,) for n, a in each.items()}
        for name, arguments in rows.items():
            row = str(arguments[0]) if arguments else ""
            promises = documented(*arguments) if callable(documented) else documented
            id = f"{family}.{name}"
            _check_documented(id, promises or {}, function.__annotations__.get("return"))
            _check_setting(id, by_system, scope)
            known = _registered.get(id)
            # A module that is imported again replaces its own probes.
            if known and known.function.__qualname__ != function.__qualname__:
                raise ValueError(f"two probes are called {id}")
            _registered[id] = Probe(
                id=id,
                question=question.replace("{row}", row),
                matters=matters.replace("{row}", row),
                advice=advice.replace("{row}", row),
                reference=reference.replace("{row}", row),
                scope=scope,
                documented=dict(promises or {}),
                heading=question.replace("{row}", "…") if each is not None else "",
                hangs_on=by_system,
                symptoms=tuple(text.replace("{row}", row) for text in symptoms),
                light=light,
                function=function,
                arguments=arguments,
            )
        return function

    return register


# What `Platform.names` may hold: a system, on Linux with or without its C library, and a width.
_PLATFORM_NAME = re.compile(
    r"posix|gvisor"
    r"|(linux(-(glibc|musl))?|freebsd|dragonfly|netbsd|openbsd|macos|illumos)(-(32|64))?"
)
_TYPES = {"bool": bool, "int": int, "str": str}


def _check_documented(id: str, promises: Documented, returned: Any) -> None:
    """Raise ValueError unless ``promises`` can be compared with what the probe returns.

    If the annotation is Any or a Sample, the documented values must be of one type.
    """
    expected = _TYPES.get(getattr(returned, "__name__", returned))
    for name, value in promises.items():
        if not _PLATFORM_NAME.fullmatch(name):
            raise ValueError(
                f"{id}: documented for {name!r}, which is not the name of a platform; "
                "write posix, linux, freebsd, … as Platform.names does"
            )
        expected = expected or type(value)
        if expected not in _TYPES.values() or type(value) is not expected:
            raise ValueError(
                f"{id}: documented for {name} is {value!r}, of type {type(value).__name__}; "
                f"write a value of the type the probe measures, {expected.__name__}"
            )


_SETTING = re.compile(r"[a-z]\w*(\.[\w-]+)+", re.ASCII)


def _check_setting(id: str, by_system: Any, scope: str) -> None:
    """Raise ValueError unless ``by_system`` names settings that a fact of ``scope`` can hang on."""
    if not isinstance(by_system, Mapping):
        raise ValueError(f"{id}: hangs_on is {by_system!r}; write a name, or one for each system")
    for system, setting in by_system.items():
        if not _PLATFORM_NAME.fullmatch(system):
            raise ValueError(
                f"{id}: hangs on a setting of {system!r}, which is not the name of a platform; "
                "write linux, freebsd, … as Platform.names does"
            )
        if not isinstance(setting, str) or not _SETTING.fullmatch(setting):
            raise ValueError(
                f"{id}: hangs on {setting!r}, which is not the name of a setting; "
                "write it as sysctl(8) does, such as net.core.somaxconn"
            )
    if by_system and scope != CONFIGURED:
        raise ValueError(
            f"{id}: hangs on a setting, but its scope is {scope}; write scope=CONFIGURED"
        )
