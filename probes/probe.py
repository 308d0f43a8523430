"""@probe: a function that answers one question about this platform.

    @probe(
        matters="what goes wrong in a daemon when this differs",
        advice="the explicit setting that makes the difference harmless",
        reference="man page section, POSIX, RFC",
        documented={"linux": False, "freebsd": True},
    )
    def v6only_default() -> bool:
        \"\"\"Is IPV6_V6ONLY on by default?\"\"\"

The fact's id is the file's name, a dot and the function's name; the question is
the first line of the docstring.  Finding it in `catalogue/` is all it takes to
be listed, explained, measured, rendered and gated.
"""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, TypeVar, Union

from .fact import CONFIGURED, INHERENT, SCOPES, Fact, Platform, Value
from .invocation import called
from .source import read_docstring

Function = TypeVar("Function", bound=Callable[..., Any])
Documented = Mapping[str, Value]


class Unsupported(Exception):
    """This platform lacks the thing asked about.  The message says what is missing."""


class Blocked(Exception):
    """A privilege or tool is missing here.  The message says which, and how to get it."""


@dataclass(frozen=True)
class Sample:
    """An answer with a raw sample beside it that may vary from run to run."""

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
    """For a row of a table the question of the whole table, else empty."""
    function: Callable[..., Any] = field(repr=False)
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    hangs_on: Mapping[str, str] = field(default_factory=dict)
    """The setting that decides the answer, as sysctl(8) names it, by `Platform.names`."""
    light: bool = False
    """It leaves no child, handler, lock, file or setting behind: it may share a process."""

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.id.partition(".")[2]

    @property
    def source(self) -> tuple[str, int]:
        """File (as ``probes/catalogue/sockets.py``) and line of the function."""
        line: int = self.function.__code__.co_firstlineno
        return f"probes/catalogue/{self.family}.py", line

    def __call__(self) -> Any:
        """Answer, in this process: a Value, a Sample, or raises Unsupported or Blocked."""
        try:
            return self.function(*self.arguments)
        except Exception as error:
            from .absent import find_absent_module

            blocked = find_absent_module(error)
            if blocked:
                raise blocked from error
            raise

    def documented_for(self, platform: Platform) -> Optional[tuple[str, Value]]:
        """The name it is documented under that is nearest to ``platform``, and the value."""
        for name in platform.names:
            if name in self.documented:
                return name, self.documented[name]
        return None

    def setting(self, platform: Platform) -> str:
        """Return the setting it hangs on; empty if there is none, or ``platform`` lacks it."""
        named = (self.hangs_on[name] for name in platform.names if name in self.hangs_on)
        return next((setting for setting in named if setting in platform.sysctls), "")

    def differs(self, fact: Fact, platform: Platform) -> bool:
        """Whether a measured ``fact`` is not what ``platform`` documents."""
        documented = self.documented_for(platform)
        return fact.measured and documented is not None and not same(documented[1], fact.value)


def same(a: Value, b: Value) -> bool:
    """Equal and of one kind: Python calls ``True == 1``, a report must not."""
    return type(a) is type(b) and a == b


_registered: dict[str, Probe] = {}


def settings() -> list[str]:
    """Return every setting that a probe known so far hangs on, by all its names."""
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
    light: bool = False,
    each: Optional[Mapping[str, Any]] = None,
) -> Callable[[Function], Function]:
    """Register a function as the probe ``<file>.<function>``.

    ``hangs_on`` names the setting that decides the answer, as sysctl(8) does, such as
    ``net.core.somaxconn``; where systems have several names for it, it is a mapping
    ``{"linux": ..., "freebsd": ...}``.  The scope must be `CONFIGURED`, and a test must change
    the setting and see the answer flip.  The gate then names the setting as the cause.

    With ``light`` it promises to change nothing that another probe could meet.

    With ``each``, a mapping of row names to arguments, the function is a table:
    it becomes one fact a row, ``<file>.<row>``, and is called with that row's
    argument.  ``{row}`` in the question stands for ``str(argument)``, and
    ``documented`` may be a function of the argument.

    Raises ValueError for an unknown scope, a missing question, an id that is taken, a setting
    that cannot be one, and for what is documented of an unknown platform or in another type than
    is measured.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope is one of {', '.join(SCOPES)}, not {scope!r}")
    by_system = {"posix": hangs_on} if isinstance(hangs_on, str) and hangs_on else hangs_on or {}

    def register(function: Function) -> Function:
        family = function.__module__.rpartition(".")[2]
        question = (function.__doc__ or read_docstring(function)).strip().partition("\n")[0]
        if not question:
            raise ValueError(f"{family}.{function.__name__}: the docstring's first line asks")
        rows = {function.__name__: ()} if each is None else {n: (a,) for n, a in each.items()}
        for name, arguments in rows.items():
            row = str(arguments[0]) if arguments else ""
            promises = documented(*arguments) if callable(documented) else documented
            id = f"{family}.{name}"
            _check_documented(id, promises or {}, function.__annotations__.get("return"))
            _check_setting(id, by_system, scope)
            known = _registered.get(id)
            # A module imported again replaces its own.
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
                light=light,
                function=function,
                arguments=arguments,
            )
        return function

    return register


# What `Platform.names` can give: a system, on Linux perhaps its C library, perhaps a width.
_PLATFORM_NAME = re.compile(
    r"posix|gvisor"
    r"|(linux(-(glibc|musl))?|freebsd|dragonfly|netbsd|openbsd|macos|illumos)(-(32|64))?"
)
_TYPES = {"bool": bool, "int": int, "str": str}


def _check_documented(id: str, promises: Documented, returned: Any) -> None:
    """Raise ValueError unless ``promises`` can be compared with what the probe returns.

    A probe that returns Any or a Sample says nothing of its values' type: they must agree.
    """
    expected = _TYPES.get(getattr(returned, "__name__", returned))
    for name, value in promises.items():
        if not _PLATFORM_NAME.fullmatch(name):
            raise ValueError(
                f"{id}: documented for {name!r}, which is no platform's name; "
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
                f"{id}: hangs on a setting of {system!r}, which is no platform's name; "
                "write linux, freebsd, … as Platform.names does"
            )
        if not isinstance(setting, str) or not _SETTING.fullmatch(setting):
            raise ValueError(
                f"{id}: hangs on {setting!r}, which is no setting's name; "
                "write it as sysctl(8) does, such as net.core.somaxconn"
            )
    if by_system and scope != CONFIGURED:
        raise ValueError(
            f"{id}: hangs on a setting, but its scope is {scope}; write scope=CONFIGURED"
        )


def catalogue() -> dict[str, Probe]:
    """Every probe there is, by id: families in alphabetical order, each in its file's order."""
    from . import catalogue as package

    # Imported first, so that they get no stand-in.
    from . import compiler, runner  # noqa: F401
    from .absent import install_stand_ins
    from .harness import blocking, privileges, sockets  # noqa: F401

    with install_stand_ins():
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return {probe.id: probe for probe in sorted(_registered.values(), key=lambda p: p.family)}


def select(
    probes: Mapping[str, Probe], only: Iterable[str] = (), skip: Iterable[str] = ()
) -> dict[str, Probe]:
    """The probes whose id matches a glob of ``only`` (all, if none is given) and none of ``skip``.

    A bare family is its whole family: ``signals`` is ``signals.*``.  Raises
    LookupError with one line for a pattern that matches nothing.
    """
    only, skip = list(only), list(skip)
    chosen: set[str] = set(probes)
    if only:
        chosen = set().union(*(matching(probes, pattern) for pattern in only))
    chosen -= set().union(*(matching(probes, pattern) for pattern in skip))
    if not chosen:
        raise LookupError("nothing is left to measure: --skip leaves out all that --only chose")
    return {id: probe for id, probe in probes.items() if id in chosen}


def matching(probes: Iterable[str], pattern: str) -> set[str]:
    """Return the ids of an id, a glob or a family.

    Raises LookupError for a pattern that matches nothing: one line, which names what is near.
    """
    glob = pattern if any(c in pattern for c in ".*?[") else f"{pattern}.*"
    found = set(fnmatch.filter(probes, glob))
    if not found:
        near = _nearest(list(probes), pattern)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise LookupError(f"no probe matches {pattern!r}: {meant}`{called()} list` names them all")
    return found


def _nearest(ids: Sequence[str], pattern: str) -> list[str]:
    """Return at most three ids or families that may have been meant by ``pattern``."""
    import difflib

    wanted = pattern.lower()
    named = [id for id in ids if wanted in (id, id.partition(".")[2])]
    if named:
        return named[:3]
    families = dict.fromkeys(id.partition(".")[0] for id in ids)
    written = {**{id.partition(".")[2]: id for id in ids}, **{name: name for name in families}}
    written.update((id, id) for id in ids)
    family = wanted[: -len(".*")] if wanted.endswith(".*") else wanted
    close = difflib.get_close_matches(family, written, n=3, cutoff=0.75)
    return list(dict.fromkeys(written[name] for name in close))


_ALSO = {"tty": "terminal", "terminal": "tty"}
"""Words that mean the same."""


def search(probes: Mapping[str, Probe], words: str) -> set[str]:
    """Return the ids of the probes that hold most of ``words`` in id, question, matters or advice.

    A word is looked for where words begin, and only then within them.  Empty if no probe holds
    one, and for what is an id, a glob or a family.
    """
    families = {probe.family for probe in probes.values()}
    if any(c in words for c in "*?[") or words in probes or words in families:
        return set()
    texts = {
        probe.id: "\n".join((probe.id, probe.question, probe.matters, probe.advice)).lower()
        for probe in probes.values()
    }
    spellings = [{word, _ALSO.get(word, word)} for word in words.lower().split()]
    for before in ("(?<![a-z0-9])", ""):
        patterns = [re.compile(before + f"(?:{'|'.join(map(re.escape, s))})") for s in spellings]
        held = {id: sum(bool(p.search(text)) for p in patterns) for id, text in texts.items()}
        most = max(held.values(), default=0)
        if most:
            return {id for id, number in held.items() if number == most}
    return set()
