"""Stand-ins for modules that this Python was built without.

A family of the catalogue may import such a module.  Only the probes that use it are blocked; the
others of the family are measured.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

from . import libc
from .probe import Blocked, Unsupported, absent_modules

OPTIONAL = ("faulthandler", "fcntl", "mmap", "resource", "termios")
"""Modules of the standard library that a Python on Unix may lack, and that few probes use."""


@contextlib.contextmanager
def use_stand_ins() -> Iterator[None]:
    """Let ``import`` return a stand-in for each module of OPTIONAL that is absent."""
    absent = [name for name in OPTIONAL if not _is_there(name)]
    before = {name: sys.modules[name] for name in absent if name in sys.modules}
    for name in absent:
        sys.modules[name] = _Module(name)
    try:
        yield
    finally:
        # The standard library checks later whether a module exists.
        for name in absent:
            del sys.modules[name]
        sys.modules.update(before)


def get_constant(module: ModuleType, name: str) -> int:
    """Return a constant of ``module``.

    CPython has every constant of the headers that it was built with, so a missing one is
    Unsupported.  Another Python may lack one that the platform has, so there it is Blocked.
    """
    value = getattr(module, name, None)
    if value is None:
        if sys.implementation.name == "cpython":
            raise Unsupported(f"{libc.SYSTEM} has no {name}")
        raise Blocked(
            f"this Python's module {module.__name__} does not know {name}: run the lab with CPython"
        )
    return int(value)


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class _Module(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__reason = f"this Python has no module {name}: run the lab with one that has it"
        absent_modules.append(self.__reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "error":  # An exception that callers catch; it is never raised here.
            return _Error
        return _Name(f"{self.__name__}.{name}", self.__reason)


class _Error(Exception):
    """The exception of an absent module."""


class _Name:
    """A constant, function or class of an absent module: any use of it raises Blocked."""

    def __init__(self, name: str, reason: str) -> None:
        self.__dict__.update(name=name, reason=reason)

    def __repr__(self) -> str:
        # A table of probes names its rows when it is imported.
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
# ctypes reads this attribute of an argument that it passes to the C library.
setattr(_Name, "_as_parameter_", property(_refuse))  # noqa: B010
