"""Intervals against SciPy's, against distributions whose truth is known, and by their laws."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from papaya.experiment.analysis import statistics
from papaya.experiment.analysis.statistics import FEWEST, Interval, raise_level

scipy: Any = importlib.import_module("scipy.stats")

VALUES = st.lists(st.floats(0.01, 1e6), min_size=FEWEST, max_size=12)


def ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


@pytest.mark.parametrize("freedom", [*range(1, 31), 99, 1000])
def test_student_is_scipys(freedom: int) -> None:
    for level in (0.5, 0.9, 0.95, 0.99):
        expected = scipy.t.ppf((1 + level) / 2, freedom)
        assert statistics.find_student_t(freedom, level) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [FEWEST, 8, 10, 30])
def test_a_raised_level_is_as_wide_as_students(count: int) -> None:
    z = scipy.norm.ppf((1 + raise_level(count)) / 2)
    wide = scipy.t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1))
    assert z == pytest.approx(wide, rel=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95, None])
@pytest.mark.parametrize("count", [FEWEST, 10, 40])
def test_the_interval_of_a_mean_is_scipys(count: int, level: float | None) -> None:
    values = np.random.default_rng(3).lognormal(1, 0.5, count)
    ours = statistics.bootstrap(values[:, None], lambda rows: rows.mean(-2)[..., 0], level)
    theirs = scipy.bootstrap(
        (values,), np.mean, confidence_level=level or raise_level(count), n_resamples=99_999,
        method="BCa", rng=np.random.default_rng(4),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert ends(ours) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)


@pytest.mark.parametrize("count", [6, 10, 40])
def test_the_interval_of_a_ratio_is_scipys(count: int) -> None:
    random = np.random.default_rng(5)
    weather = random.lognormal(0, 0.3, count)
    ours, theirs = 2 * weather * random.lognormal(0, 0.1, count), weather
    expected = scipy.bootstrap(
        (ours, theirs), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True,
        vectorized=True, confidence_level=raise_level(count), n_resamples=99_999, method="BCa",
        rng=np.random.default_rng(6),
    ).confidence_interval  # fmt: skip
    found = statistics.ratio(list(ours), list(theirs))
    width = expected.high - expected.low
    assert ends(found) == pytest.approx((expected.low, expected.high), abs=0.06 * width)


def test_growth_is_scipys_slope() -> None:
    random = np.random.default_rng(8)
    blocks = [{n: 0.4 * n + random.normal(0, 0.2) for n in (1, 2, 4, 8, 16)} for _ in range(6)]
    slopes = [scipy.linregress([*block], [*block.values()]).slope for block in blocks]
    found = statistics.growth(blocks)
    assert found is not None
    expected = statistics.mean(slopes)
    assert (found.value, *ends(found)) == pytest.approx((expected.value, *ends(expected)))
    assert found.value == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("count", [FEWEST, 10])
def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says(count: int) -> None:
    """Of 600 experiments; between blocks all differs by 20 %, within by 5 %."""
    random = np.random.default_rng(9)
    held = 0
    for _ in range(600):
        weather = random.lognormal(0, 0.2, count)
        ours = 2 * weather * random.lognormal(0, 0.05, count)
        low, high = ends(statistics.ratio(list(ours), list(weather)))
        held += low <= 2 * math.exp(0.05**2 / 2) <= high
    # 95 % would be 570; the few starts cost a little (a binomial's deviation is 5).
    assert 540 <= held <= 590


def test_pairing_by_block_takes_the_weather_out() -> None:
    random = np.random.default_rng(10)
    weather = random.lognormal(0, 0.5, 10)
    ours, theirs = 2 * weather * random.lognormal(0, 0.01, 10), weather
    low, high = ends(statistics.ratio(list(ours), list(theirs)))
    assert high - low < 0.05
    low, high = ends(statistics.ratio(list(ours), list(np.roll(theirs, 1))))
    assert high - low > 0.5


@pytest.mark.parametrize("like", [0.0, 0.4])
def test_the_interval_of_a_cv_holds_the_truth(like: float) -> None:
    """Of 200 experiments with windows of which each is like the one before to that degree."""
    random = np.random.default_rng(11)
    held = 0
    for _ in range(200):
        starts = []
        for _ in range(FEWEST):
            noise, value = random.normal(0, 1, 90), 0.0
            series = []
            for each in noise:
                value = like * value + each * math.sqrt(1 - like**2)
                series.append(10 * (1 + 0.1 * value))
            starts.append(series[30:])
        low, high = ends(statistics.cv(starts))
        held += low <= 0.1 <= high
    assert held >= 180


def test_windows_that_are_alike_are_not_counted_as_so_many() -> None:
    """Each window there ten times over: the interval must not shrink by the root of ten."""
    random = np.random.default_rng(12)
    starts = [random.normal(10, 1, 60).tolist() for _ in range(6)]
    low, high = ends(statistics.cv(starts))
    again = ends(statistics.cv([np.repeat(start, 10).tolist() for start in starts]))
    assert again[1] - again[0] > 0.6 * (high - low)


def test_a_cv_says_nothing_of_how_starts_differ() -> None:
    found = statistics.cv([[level - 1, level + 1] * 20 for level in (50, 100, 150)])
    assert found is not None
    assert found.value == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("percent", [0.5, 2, 20, 80])
def test_the_noise_floor_is_what_a_tick_clock_shows(percent: float) -> None:
    windows = np.random.default_rng(13).binomial(125, percent / 100, 400_000)
    seen = windows[windows > 0]
    floor = statistics.find_noise_floor(percent, 250, 0.5)
    assert floor == pytest.approx(seen.std() / seen.mean(), rel=0.01)


def test_the_noise_floor_explains_the_published_variation() -> None:
    """FreeBSD's clock of 128 Hz, half a second, a use of 14.7 %; the raw files show 0.26."""
    assert statistics.find_noise_floor(14.7, 128, 0.5) == pytest.approx(0.30, abs=0.005)


def test_below_the_fewest_there_is_a_value_and_no_interval() -> None:
    few = [1.0, 2.0, 3.0, 4.0][: FEWEST - 1]
    assert statistics.mean(few) == Interval(2.5)
    assert statistics.ratio(few, few) == Interval(1.0)
    starts = [[1.0, 3.0]] * (FEWEST - 1)
    assert statistics.cv(starts) == Interval(math.sqrt(2) / 2)


def test_what_cannot_be_told_is_none() -> None:
    assert statistics.ratio([], []) is None
    assert statistics.ratio([1.0] * 6, [0.0, *[1.0] * 5]) is None
    assert statistics.growth([]) is None
    assert statistics.growth([{8: 1.0}]) is None
    assert statistics.cv([]) is None
    assert statistics.cv([[1.0]]) is None
    assert statistics.cv([[0.0, 0.0]]) is None
    assert statistics.find_noise_floor(0, 250, 0.5) is None
    assert statistics.find_noise_floor(100, 250, 0.5) == 0


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_an_interval_lies_within_what_was_seen(values: list[float]) -> None:
    found = statistics.mean(values)
    low, high = ends(found)
    least, most = min(values), max(values)
    near = 1e-9 * most
    assert least - near <= low <= high <= most + near
    assert least - near <= found.value <= most + near


@settings(deadline=None, max_examples=50)
@given(VALUES, st.floats(0.001, 1000))
def test_another_unit_gives_the_same(values: list[float], unit: float) -> None:
    assume(max(values) > 1.001 * min(values))
    low, high = ends(statistics.mean(values))
    again = ends(statistics.mean([unit * value for value in values]))
    assert again == pytest.approx((unit * low, unit * high), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_a_subject_is_itself(values: list[float]) -> None:
    found = statistics.ratio(values, values)
    assert found is not None
    assert (found.value, *ends(found)) == pytest.approx((1, 1, 1))


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_the_same_data_give_the_same_interval(values: list[float]) -> None:
    assert statistics.mean(values) == statistics.mean(values)
    assert statistics.cv([values] * FEWEST) == statistics.cv([values] * FEWEST)
