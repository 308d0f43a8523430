"""Engines: the ways to serve many clients at once, one module each.

Each module has an ``ENGINE``, a subclass of `papaya.server.engine.Engine`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from probes import plugins

if TYPE_CHECKING:
    from ..server.engine import Engine


def list_engines() -> list[str]:
    """Return the names of all engines."""
    return plugins.list_plugins(sys.modules[__name__])


def load_engine(name: str) -> type[Engine]:
    """Return the engine of that name; raise CommandError if there is none."""
    engine: type[Engine] = plugins.load_plugin(sys.modules[__name__], "engine", name).ENGINE
    return engine
