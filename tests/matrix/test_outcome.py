"""Test the line of a cell's outcome, and the exit status of all."""

from __future__ import annotations

import pytest

from matrix.outcome import (
    DOWN,
    FAILED,
    FAULTY,
    INTERRUPTED,
    CellOutcome,
    combine_statuses,
    format_duration,
)

GOOD = {"log": True, "chat": True}


def test_a_line_tells_all_that_was_done() -> None:
    outcome = CellOutcome("box", facts=298, changes=["a", "b"], unasked=3, seconds={"up": 62.0})
    outcome.selftest = {"fork": GOOD, "pool": {"log": True, "chat": "no answer"}, "coroutines": {}}
    assert outcome.line == (
        "298 facts, 2 changed, 3 not asked: needs root, selftest 1/3, 1 min 2 s"
    )


def test_a_line_of_a_run_that_ended_early_is_the_reason() -> None:
    assert CellOutcome("box", facts=298, why="lost the connection").line == "lost the connection"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3725, "62 min 5 s")]
)
def test_a_duration_is_written_as_people_write_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("statuses", "all_of_them"),
    [
        ([], 0), ([0, 0], 0), ([0, DOWN], DOWN), ([DOWN, FAILED, FAULTY], FAILED),
        ([FAULTY, DOWN], FAULTY), ([2, DOWN], DOWN), ([0, 2], 2), ([FAILED, INTERRUPTED, 0], 130),
    ],
)  # fmt: skip
def test_the_worst_status_is_that_of_all(statuses: list[int], all_of_them: int) -> None:
    outcomes = [CellOutcome("box", status) for status in statuses]
    assert combine_statuses(outcomes, allow_missing=False) == all_of_them


def test_only_a_missing_platform_may_be_allowed() -> None:
    missing, failed = CellOutcome("a", DOWN, missing=True), CellOutcome("b", DOWN)
    assert combine_statuses([missing], allow_missing=True) == 0
    assert combine_statuses([missing], allow_missing=False) == DOWN
    assert combine_statuses([missing, failed], allow_missing=True) == DOWN
