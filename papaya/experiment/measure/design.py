"""In which order what is measured: complete blocks, each in an order of its own.

A block has every subject under every load once, so that whatever drifts (a warm machine, a
neighbour) is the same for all; a repetition is a fresh start of the server.  Each block has
A/A twins: the same cell again, of which no difference is the truth.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..results.folder import Key


@dataclass(frozen=True)
class Planned:
    """One repetition to be measured."""

    block: int
    subject: str
    connections: int
    aa: bool = False

    @property
    def key(self) -> Key:
        """As in ``cells.csv``."""
        return self.block, self.subject, self.connections, self.aa


def plan_trials(
    subjects: Sequence[str], connections: Sequence[int], repeats: int, seed: int
) -> list[Planned]:
    """All repetitions, in the order in which they are to be measured; the same for one seed."""
    drawn = random.Random(seed)
    plan: list[Planned] = []
    middle = connections[len(connections) // 2]
    twins = dict.fromkeys((subjects[0], subjects[-1]))
    for block in range(1, repeats + 1):
        cells = [Planned(block, subject, count) for subject in subjects for count in connections]
        cells += [Planned(block, subject, middle, aa=True) for subject in twins]
        drawn.shuffle(cells)
        plan += cells
    return plan
