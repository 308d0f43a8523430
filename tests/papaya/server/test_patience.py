"""Patience: ticks of the process that waits, not seconds of the clock."""

from __future__ import annotations

from papaya.server.patience import TICKS, Patience


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_process_that_does_nothing_is_told_once() -> None:
    clock = Clock()
    patience = Patience(5, clock)
    told = []
    for beat in range(100):
        for pid in patience.count({1: beat, 2: 7, 3: beat // 5}):
            told.append((pid, beat))
            assert patience.is_late(pid)
        clock.now += patience.interval
    assert told == [(2, TICKS)]
    assert not patience.is_late(1)
    assert not patience.is_late(4)


def test_a_suspended_service_has_lost_no_time() -> None:
    clock = Clock()
    patience = Patience(5, clock)
    for _ in range(TICKS):
        assert not patience.count({1: 7})
        clock.now += 86400
    assert patience.count({1: 7}) == [1]


def test_many_calls_are_one_tick() -> None:
    patience = Patience(5, Clock())
    assert not any(patience.count({1: 7}) for _ in range(100))


def test_a_process_that_continued_in_between_has_all_its_time_again() -> None:
    clock = Clock()
    patience = Patience(5, clock)
    for states in 3 * [*((TICKS - 1) * [{1: 0}]), {}]:
        assert not patience.count(states)
        clock.now += patience.interval
