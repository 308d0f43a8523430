"""Find which cells can run on this host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import providers
from .cell import Cell
from .interrupts import make_temporary_folder


@dataclass(frozen=True)
class Way:
    """One of a cell's providers, as it is found on this host."""

    name: str
    """Provider and argument, as in `cells.toml`."""
    lacks: str
    """What it lacks, and what to type; empty if it can run."""
    note: str
    """What a user should know before it runs."""


@contextmanager
def _open_provider(name: str, argument: str) -> Iterator[providers.Provider]:
    """Yield a provider that is only asked, and says nothing."""
    with make_temporary_folder() as folder:
        yield providers.load_provider(name)(argument, folder, lambda line: None)


def examine_ways(cell: Cell) -> list[Way]:
    """Return what each provider of a cell lacks here."""
    ways = []
    for name, argument in cell.ways:
        with _open_provider(name, argument) as provider:
            lacks = provider.explain_lack()
            note = "" if lacks else provider.describe()
        ways.append(Way(f"{name}:{argument}" if argument else name, lacks, note))
    return ways


def list_available(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells of which at least one provider can run here."""
    return [cell for cell in cells if _can_run(cell)]


def _can_run(cell: Cell) -> bool:
    # The first provider that can is enough, and what it would be like is not asked.
    for name, argument in cell.ways:
        with _open_provider(name, argument) as provider:
            if not provider.explain_lack():
                return True
    return False
