"""Find and load plugins: the modules of a package, each named after its file.

Formats, families of the catalogue, engines, providers and boxes are plugins: a new one is a new
file, and no list names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from .errors import CommandError


def list_plugins(package: ModuleType) -> list[str]:
    """Return the names of the plugins of ``package``, in alphabetical order.

    A module whose name begins with an underscore is shared by plugins, and is not one.
    """
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def load_plugin(package: ModuleType, kind: str, name: str) -> ModuleType:
    """Import the plugin ``name`` of ``package``; ``kind`` is what users call it, such as "engine".

    Raise CommandError with the names of all plugins if there is no such plugin.
    """
    names = list_plugins(package)
    if name not in names:
        raise CommandError(f"no {kind} {name!r}: there are {', '.join(names)}")
    return importlib.import_module(f"{package.__name__}.{name}")
