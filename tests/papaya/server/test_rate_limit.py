"""The rate limit: lines and bytes, a burst, debt, and one notice for each time of excess."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.server.rate_limit import RateLimit


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("data", "lines"),
    [(b"a\n" * 30, 30), (b"a" * 30 * 1024, 30), ((b"a" * 4095 + b"\n") * 5, 20)],
)
def test_lines_and_bytes_count(data: bytes, lines: int) -> None:
    limit = RateLimit(10, 15, Clock())
    limit.spend(data)
    assert limit.measure_pause() == pytest.approx((lines - 15) / 10)


def test_the_burst_is_there_again_after_silence_and_not_more() -> None:
    clock = Clock()
    limit = RateLimit(10, 15, clock)
    for _ in range(3):
        limit.spend(b"\n" * 15)
        assert limit.measure_pause() == 0
        clock.now += 1000
    limit.spend(b"\n" * 20)
    assert limit.measure_pause() == 0.5


def test_one_notice_until_the_bucket_was_full_again() -> None:
    clock = Clock()
    limit = RateLimit(10, 15, clock)
    told = []
    for _ in range(20):
        limit.spend(b"\n" * 20)
        told.append(limit.must_tell())
        clock.now += limit.measure_pause()
    assert told == [True] + 19 * [False]
    clock.now += 1.5
    limit.spend(b"\n" * 16)
    assert limit.must_tell()


def test_a_rate_of_0_is_no_limit() -> None:
    limit = RateLimit(0, 1, Clock())
    limit.spend(b"\n" * 1000000)
    assert limit.measure_pause() == 0
    assert not limit.must_tell()


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2000))),
    st.integers(1, 1000),
    st.integers(1, 1000),
)
def test_a_client_that_is_not_read_during_its_pauses_keeps_the_rate(
    reads: list[tuple[float, int]], rate: int, burst: int
) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst, clock)
    began, spent = clock.now, 0
    for rest, lines in reads:
        clock.now += limit.measure_pause() + rest
        limit.spend(b"\n" * lines)
        spent += lines
        paid = spent - burst - rate * limit.measure_pause()
        assert paid <= rate * (clock.now - began) + 1e-6 * max(1, spent)
        assert math.isfinite(limit.measure_pause())
