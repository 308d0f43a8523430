"""Stand-ins for modules that this Python was built without, and for names that it may lack.

A family of the catalogue imports such modules as usual.  A probe that uses one is blocked, and
the other probes of its family are measured.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn, Optional

from . import libc
from .probe import Blocked, Unsupported

OPTIONAL = ("faulthandler", "fcntl", "mmap", "resource", "termios")
"""Modules of the standard library that only some probes use and a Python on Unix may lack."""

_blocked: list[str] = []
"""For each absent module the reason of a probe that it blocks."""


@contextlib.contextmanager
def install_stand_ins() -> Iterator[None]:
    """Let ``import`` give a stand-in for each module of OPTIONAL that is absent."""
    absent = [name for name in OPTIONAL if not _exists(name)]
    before = {name: sys.modules[name] for name in absent if name in sys.modules}
    for name in absent:
        sys.modules[name] = _Module(name)
    try:
        yield
    finally:
        # Later imports, above all in the standard library, must see that the module is absent.
        for name in absent:
            del sys.modules[name]
        sys.modules.update(before)


def find_absent_module(error: BaseException) -> Optional[Blocked]:
    """Return Blocked if the use of an absent module caused ``error``, even indirectly.

    ctypes keeps only the text of an exception, as does a child that sends it to its parent.
    """
    for reason in _blocked:
        if reason in str(error):
            return Blocked(reason)
    return None


def get_constant(module: ModuleType, name: str) -> int:
    """Return a constant of ``module``.

    CPython has every constant of the headers it was built with, so a missing one raises
    Unsupported.  Another Python says nothing of the platform, so there it raises Blocked.
    """
    value = getattr(module, name, None)
    if value is None:
        if sys.implementation.name == "cpython":
            raise Unsupported(f"{libc.SYSTEM} has no {name}")
        raise Blocked(
            f"this Python's module {module.__name__} does not know {name}: run the lab with CPython"
        )
    return int(value)


def _exists(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class _Module(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__reason = f"this Python has no module {name}: run the lab with one that has it"
        _blocked.append(self.__reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "error":  # An exception that is caught, and here never raised.
            return _Error
        return _Name(f"{self.__name__}.{name}", self.__reason)


class _Error(Exception):
    """The exception of an absent module."""


class _Name:
    """A constant, function or class of an absent module, which can be kept but not used."""

    def __init__(self, name: str, reason: str) -> None:
        self.__dict__.update(name=name, reason=reason)

    def __repr__(self) -> str:
        # A table of probes shows its rows at import.
        return str(self.__dict__["name"])


def _refuse(self: Any, *arguments: Any, **named: Any) -> NoReturn:
    raise Blocked(self.__dict__["reason"])


_OPERATIONS = (
    "call getattr getitem setitem iter len contains bool int index float str format bytes hash eq"
    " ne lt le gt ge add radd sub rsub mul rmul or ror and rand xor rxor lshift rlshift rshift"
    " rrshift invert neg pos abs enter exit reduce_ex"
)
for _operation in _OPERATIONS.split():
    setattr(_Name, f"__{_operation}__", _refuse)
# ctypes asks for it when the stand-in is passed to the C library.
setattr(_Name, "_as_parameter_", property(_refuse))  # noqa: B010
