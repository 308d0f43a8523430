"""Order the trials of a run: complete blocks, each shuffled.

A block has every subject under every load once, so that a machine which grows warm or busy
affects all subjects alike.  Each block also has A/A twins: a trial repeated unchanged, whose
true ratio to the first is 1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..results.folder import Key


@dataclass(frozen=True)
class Planned:
    """A trial that is to be measured."""

    block: int
    subject: str
    connections: int
    aa: bool = False

    @property
    def key(self) -> Key:
        """Return the key that its row in ``cells.csv`` will have."""
        return self.block, self.subject, self.connections, self.aa


def plan_trials(
    subjects: Sequence[str], connections: Sequence[int], repeats: int, seed: int
) -> list[Planned]:
    """Return all trials in the order in which to measure them; a seed gives one order."""
    drawn = random.Random(seed)
    plan: list[Planned] = []
    middle = connections[len(connections) // 2]
    twins = dict.fromkeys((subjects[0], subjects[-1]))
    for block in range(1, repeats + 1):
        trials = [Planned(block, subject, count) for subject in subjects for count in connections]
        trials += [Planned(block, subject, middle, aa=True) for subject in twins]
        drawn.shuffle(trials)
        plan += trials
    return plan
