"""Estimate means, ratios and variation from trials, each with a confidence interval.

The unit of replication is the trial, a fresh start of a server, because results differ most
from start to start (Kalibera and Jones, ISMM 2013): two windows of one trial are not independent
observations.  Subjects are compared within a block, where the machine was in the same state.

Intervals are 95 % bootstrap intervals, BCa (Efron and Tibshirani, chapter 14).  For few trials
these are too narrow, so their level is raised as in Hesterberg, "What Teachers Should Know About
the Bootstrap" (2015).  There is no interval for fewer than `FEWEST` trials: it would have to
extend beyond every value that was observed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]

LEVEL = 0.95
FEWEST = 5
RESAMPLES = 9999
NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval; no ends if there are too few trials."""

    value: float
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether the interval includes ``value``, or has no ends."""
        return self.low is None or self.high is None or self.low <= value <= self.high


def mean(values: Sequence[float]) -> Interval:
    """Return the mean over trials."""
    return bootstrap(np.array(values, float)[:, None], lambda rows: rows.mean(-2)[..., 0])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """Return the ratio of two means; the values of one block have the same index in both.

    None if there are no values, or if one of ``theirs`` is not positive.
    """
    if not len(ours) or min(theirs) <= 0:
        return None

    def divide(rows: Array) -> Array:
        means = rows.mean(-2)
        return np.asarray(means[..., 0] / means[..., 1])

    return bootstrap(np.array([ours, theirs], float).T, divide)


def growth(blocks: Sequence[Mapping[int, float]]) -> Interval | None:
    """Return the slope of CPU use over connections by least squares, averaged over blocks.

    Each block maps a number of connections to a value.  None if no block has two values.
    """
    slopes = [
        float(np.polyfit([*block], [*block.values()], 1)[0]) for block in blocks if len(block) > 1
    ]
    return mean(slopes) if slopes else None


def bootstrap(
    rows: Array, statistic: Statistic, level: float | None = None, seed: int = 1
) -> Interval:
    """Return the BCa interval of a statistic of rows; a row has the numbers of one trial.

    ``statistic`` takes any number of samples at once: shape (..., rows, columns) to (...).
    """
    count = len(rows)
    value = float(statistic(rows))
    if count < FEWEST:
        return Interval(value)
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    found = np.sort(statistic(rows[picks]))
    # A sum in another order may differ in its last digit; count such values as equal.
    near = 1e-12 * abs(value)
    below = (np.sum(found < value - near) + np.sum(found <= value + near)) / (2 * RESAMPLES)
    bias = NORMAL.inv_cdf(min(max(float(below), 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    without = statistic(np.array([np.delete(rows, at, 0) for at in range(count)]))
    pulls = without.mean() - without
    scale = float(np.sum(pulls**2) ** 1.5)
    if scale == 0:
        return Interval(value, float(found[0]), float(found[-1]))
    acceleration = float(np.sum(pulls**3)) / (6 * scale)

    def end(sign: int) -> float:
        z = bias + sign * NORMAL.inv_cdf((1 + (level or raise_level(count))) / 2)
        return float(np.quantile(found, NORMAL.cdf(bias + z / (1 - acceleration * z))))

    return Interval(value, end(-1), end(+1))


@functools.cache
def raise_level(count: int, level: float = LEVEL) -> float:
    """Return the nominal level at which a bootstrap interval of ``count`` values covers ``level``.

    It makes the interval of a mean as wide as Student's, which accounts for small samples.
    """
    z = math.sqrt(count / (count - 1)) * find_student_t(count - 1, level)
    return 2 * NORMAL.cdf(z) - 1


def find_student_t(freedom: int, level: float) -> float:
    """Return the two-sided quantile of Student's t (Abramowitz and Stegun 26.7)."""

    def share(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        sine, cosine = math.sin(angle), math.cos(angle)
        odd = freedom % 2
        term, total = (cosine, 0.0) if odd else (1.0, 0.0)
        for step in range(1 + odd, freedom, 2):
            total += term
            term *= cosine**2 * step / (step + 1)
        return (angle + sine * total) * 2 / math.pi if odd else sine * total

    low, high = 0.0, 1e6
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < level else (low, middle)
    return low


def cv(starts: Sequence[Sequence[float]], seed: int = 1) -> Interval | None:
    """Return the coefficient of variation of CPU use within a trial.

    The variances of the trials are averaged, so differences between trials do not count.  The
    bootstrap is hierarchical: it draws trials, and in each trial runs of consecutive windows (a
    circular block bootstrap), because neighbouring windows are alike.  None if no trial has two
    windows, or if no CPU time was used.
    """
    samples = [np.array(start, float) for start in starts if len(start) > 1]
    if not samples or sum(sample.mean() for sample in samples) <= 0:
        return None

    def of(means: Array, variances: Array) -> Array:
        return np.asarray(np.sqrt(variances.mean(-1)) / means.mean(-1))

    means = np.array([sample.mean() for sample in samples])
    variances = np.array([sample.var(ddof=1) for sample in samples])
    value = float(of(means, variances))
    count = len(samples)
    if count < FEWEST:
        return Interval(value)
    random = np.random.default_rng(seed)
    resamples = 1999
    drawn = np.empty((2, count, resamples))
    for at, sample in enumerate(samples):
        again = sample[_draw_blocks(len(sample), resamples, random)]
        drawn[:, at] = again.mean(1), again.var(1, ddof=1)
    picks = random.integers(0, count, (resamples, count))
    inner = random.integers(0, resamples, (resamples, count))
    found = of(*drawn[:, picks, inner])
    tail = (1 - raise_level(count)) / 2
    low, high = np.quantile(found, (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def _draw_blocks(count: int, resamples: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return indices into a series of ``count``, in runs of twice its cube root."""
    length = round(2 * count ** (1 / 3))
    starts = random.integers(0, count, (resamples, -(-count // length), 1))
    return ((starts + np.arange(length)) % count).reshape(resamples, -1)[:, :count]


def find_noise_floor(percent: float, clock_hz: int, seconds: float, cores: int = 1) -> float | None:
    """Return the coefficient of variation that a sampling clock shows for a constant use.

    At each tick the process is running or not, so the n ticks of a window are n draws with
    probability p, the share of a core in use: sqrt((1 - p) / (n p)).  Windows in which no tick
    met the process are left out, as in the paper.  None if p is 0.
    """
    share = min(1.0, percent / 100 / cores)
    ticks = clock_hz * seconds * cores
    if share <= 0 or ticks <= 0:
        return None
    square = (1 - share) / (ticks * share)
    return math.sqrt(max(0.0, (1 + square) * (1 - (1 - share) ** ticks) - 1))
