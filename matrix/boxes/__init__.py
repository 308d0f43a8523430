"""Boxes that we build, as nobody publishes them, a file each.

Each has ``lacks()``, why it cannot be built here; ``built()``, the one in the cache or None; and
``build(say, force)``, which builds it where it is not there, and gives a dataclass of paths.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from probes import plugins


def list_boxes() -> list[str]:
    """Return the names of all boxes."""
    return plugins.list_plugins(sys.modules[__name__])


def load_box(name: str) -> ModuleType:
    """Return the module of that box; raise CommandError if there is none."""
    return plugins.load_plugin(sys.modules[__name__], "box", name)


def cache(name: str) -> str:
    """Where what is built is kept: below ``$MATRIX_CACHE``, or the user's cache folder."""
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    ours = os.environ.get("MATRIX_CACHE") or os.path.join(users, "papaya-lab")
    return os.path.join(os.path.abspath(ours), name)
