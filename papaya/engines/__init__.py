"""One chat, several ways to serve its clients at once: a file an engine.

Each has an ``ENGINE``, a subclass of `papaya.service.Engine`.
"""

from __future__ import annotations

import importlib
import os

from ..errors import Refused
from ..service import Engine


def names() -> list[str]:
    """All engines there are."""
    files = (name.removesuffix(".py") for name in os.listdir(__path__[0]) if name.endswith(".py"))
    return sorted(name for name in files if not name.startswith("_"))


def load(name: str) -> type[Engine]:
    """The engine of that name.  Raises Refused where there is none."""
    if name not in names():
        raise Refused(f"no engine {name!r}: there are {', '.join(names())}")
    engine: type[Engine] = importlib.import_module(f"{__name__}.{name}").ENGINE
    return engine
