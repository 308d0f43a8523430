"""Test the checks of numbers that several commands take."""

from __future__ import annotations

import math

import pytest

from papaya.commands._numbers import check_positive, check_warmup
from probes.errors import CommandError


def test_positive_numbers_and_options_that_are_not_given_pass() -> None:
    check_positive(mbps=0.001, repeats=3, seconds=None)
    check_warmup(0)


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_the_option_is_named(value: float) -> None:
    with pytest.raises(CommandError, match=r"^--chat-rate must be more than 0$"):
        check_positive(mbps=1, chat_rate=value)


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_a_warm_up_may_not_be_negative(value: float) -> None:
    with pytest.raises(CommandError, match=r"^--warmup must be 0 or more$"):
        check_warmup(value)
