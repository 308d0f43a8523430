"""Boxes: guest images that no one publishes, built from Debian's packages, one file each.

Each module has ``explain_lack()``, which says why it cannot be built here; ``find_built()``,
which returns the box in the cache, or None; and ``build(say, force)``, which builds it if it is
not in the cache, and returns a dataclass of paths.  A module of many boxes says in ``ARGUMENT``
how users write one, and its functions take what follows the module's name as the last argument,
if they need it.
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


def find_cache_path(name: str) -> str:
    """Return the path of ``name`` in the cache: ``$MATRIX_CACHE``, or the user's cache folder."""
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    ours = os.environ.get("MATRIX_CACHE") or os.path.join(users, "papaya-lab")
    return os.path.join(os.path.abspath(ours), name)
