"""Bells: who is rung, and that ringing never waits."""

from __future__ import annotations

import os
import select

from papaya.engines._bells import Bells
from papaya.server.scoreboard import CLIENTS, Scoreboard


def list_rung(bells: Bells) -> list[int]:
    """Return the workers that were rung, and make them answer."""
    rung = []
    for worker, (reading, _) in enumerate(bells.pipes):
        if select.select([reading], [], [], 0)[0]:
            rung.append(worker)
        bells.answer(worker)
    return rung


def test_other_workers_with_clients_are_rung() -> None:
    scoreboard = Scoreboard(4)
    bells = Bells(4, scoreboard)
    for worker, clients in enumerate([2, 1, 0, 3]):
        scoreboard.set_slot(worker, CLIENTS, clients)
    bells.ring_others(0)
    assert list_rung(bells) == [1, 3]
    bells.ring_others(2)
    assert list_rung(bells) == [0, 1, 3]
    bells.ring_all()
    assert list_rung(bells) == [0, 1, 2, 3]
    assert list_rung(bells) == []
    for descriptor in bells.list_descriptors():
        os.close(descriptor)


def test_who_does_not_answer_is_rung_without_waiting() -> None:
    bells = Bells(1, Scoreboard(1))
    for _ in range(100_000):  # More than a pipe holds.
        bells.ring_all()
    bells.answer(0)
    while list_rung(bells):
        pass
    bells.ring_all()
    assert list_rung(bells) == [0]
    for descriptor in bells.list_descriptors():
        os.close(descriptor)
