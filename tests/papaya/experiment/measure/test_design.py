"""Test the order of the trials."""

from __future__ import annotations

from papaya.experiment.measure import design


def test_blocks_are_complete_and_in_an_order_of_their_own() -> None:
    plan = design.plan_trials(["a", "b", "c"], [1, 8, 64], 4, seed=7)
    assert plan == design.plan_trials(["a", "b", "c"], [1, 8, 64], 4, seed=7)
    assert plan != design.plan_trials(["a", "b", "c"], [1, 8, 64], 4, seed=8)
    blocks = [[(p.subject, p.connections, p.aa) for p in plan if p.block == n] for n in (1, 2, 3)]
    assert [p.block for p in plan] == sorted(p.block for p in plan)
    whole = {(s, n, False) for s in "abc" for n in (1, 8, 64)} | {("a", 8, True), ("c", 8, True)}
    assert all(set(block) == whole and len(block) == len(whole) for block in blocks)
    assert blocks[0] != blocks[1] != blocks[2]
