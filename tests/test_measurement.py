"""Test the options of a measurement."""

from __future__ import annotations

import math
from typing import Any

import pytest

from probes.measurement import LONGEST, MOST, RunOptions


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jobs": 1, "deadline": 0.001, "repeat": 1},
        {"jobs": MOST, "deadline": LONGEST, "repeat": MOST},
    ],
)
def test_numbers_in_range_are_accepted(options: dict[str, Any]) -> None:
    RunOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"jobs": 0}, {"jobs": MOST + 1}, {"deadline": 0}, {"deadline": LONGEST + 1},
        {"deadline": math.nan}, {"repeat": 0}, {"repeat": MOST + 1},
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_named(options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"^{name}: {value} is not between"):
        RunOptions(**options)
