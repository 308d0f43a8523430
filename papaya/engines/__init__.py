"""Engines: the ways to serve many clients at once, one file each.

Each has an ``ENGINE``, a subclass of `papaya.server.server.Engine`.
"""

from __future__ import annotations

import sys

from probes import plugins

from ..server.server import Engine


def list_engines() -> list[str]:
    """Return the names of all engines."""
    return plugins.list_plugins(sys.modules[__name__])


def load_engine(name: str) -> type[Engine]:
    """Return the engine of that name; raise CommandError if there is none."""
    engine: type[Engine] = plugins.load_plugin(sys.modules[__name__], "engine", name).ENGINE
    return engine
