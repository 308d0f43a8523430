"""Load every probe of the catalogue.

This module is above the runner and the catalogue, so that neither imports the other.
"""

from __future__ import annotations

import importlib
import pkgutil

# Imported before the stand-ins are in place, because these modules must not use them.
from . import catalogue, compiler, runner  # noqa: F401
from .absent import use_stand_ins
from .harness import blocking, privileges, sockets  # noqa: F401
from .probe import Probe, list_registered


def load_catalogue() -> dict[str, Probe]:
    """Return every probe by its id: families in alphabetical order, each in its file's order."""
    # A list: where memory runs out, a generator that is not exhausted could not end in silence.
    names = [module.name for module in pkgutil.iter_modules(catalogue.__path__)]
    with use_stand_ins():
        for name in names:
            importlib.import_module(f"{catalogue.__name__}.{name}")
    return {probe.id: probe for probe in sorted(list_registered(), key=lambda p: p.family)}
