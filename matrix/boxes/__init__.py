"""Boxes that we build, as nobody publishes them, a file each.

Each has ``lacks()``, why it cannot be built here; ``built()``, the one in the cache or None; and
``build(say, force)``, which builds it where it is not there, and gives a dataclass of paths.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def names() -> list[str]:
    """All boxes there are."""
    files = (name.removesuffix(".py") for name in os.listdir(__path__[0]) if name.endswith(".py"))
    return sorted(name for name in files if not name.startswith("_"))


def load(name: str) -> ModuleType:
    """The box of that name.  Raises LookupError where there is none."""
    if name not in names():
        raise LookupError(f"no box {name!r}: there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")


def cache(name: str) -> str:
    """Where what is built is kept: below ``$MATRIX_CACHE``, or the user's cache folder."""
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    ours = os.environ.get("MATRIX_CACHE") or os.path.join(users, "papaya-lab")
    return os.path.join(os.path.abspath(ours), name)
