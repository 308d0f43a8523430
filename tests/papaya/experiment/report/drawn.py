"""Runs to draw, and what is in the plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from papaya.commands.experiment import DEFAULT_CONNECTIONS, QUICK
from tests.papaya.experiment.synthetic import COST
from tests.worlds import ROOT

RECORDED = Path(ROOT) / "docs" / "experiment"


# Costs so close to each other that their names would lie upon each other.
CLOSE = {name: 1 + 0.001 * at for at, name in enumerate(COST)}


# Costs so far from each other that ticks have many digits, and are many.
FAR = {name: 10.0 ** (at - 3) for at, name in enumerate([*COST][:3] + [*COST][-4:])}


def counts(text: object) -> tuple[int, ...]:
    return tuple(int(count) for count in str(text).split(","))


QUICK_COUNTS = counts(QUICK.connections)


SHORT: dict[str, Any] = {"repeats": QUICK.repeats, "seconds": QUICK.seconds}


RUNS: dict[str, dict[str, Any]] = {
    "close": {
        "cost": CLOSE, "connections": (1, 8, 64), "repeats": 5, "seconds": 5,
        "refuse": {("python-threads", 64): "too slow"},
    },
    "far": {"cost": FAR, "connections": counts(DEFAULT_CONNECTIONS), "repeats": 5, "seconds": 5},
    "large": {"cost": CLOSE, "connections": (1000, 1100, 10000), "repeats": 5, "seconds": 20},
    "quick": {"cost": COST, "connections": QUICK_COUNTS, "paper": False, **SHORT},
    "alone": {"cost": {"c-epoll": 0.4}, "connections": (1,), "repeats": 5, "seconds": 5},
}  # fmt: skip


every_run = pytest.mark.parametrize("run", [*RUNS, "recorded"])
