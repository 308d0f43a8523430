"""Apply the paper's method to the same run: top(1) every half second.

top knows the ticks of each process, 1/100 s on Linux and 1/128 s on FreeBSD, so the use between
two screens is a whole number of ticks.  A screen shows about twenty processes, and the paper
added these up: of 64 clients' processes more than forty were never counted, and a process that
ended between two screens is on neither.
"""

from __future__ import annotations

from collections.abc import Mapping

ROWS = 20
"""Processes on one of the paper's screens, of about 24 lines."""


def compute_percents(
    before: Mapping[int, int], after: Mapping[int, int], seconds: float, hz: int
) -> tuple[float, float]:
    """Return the use between two screens in percent of a core: of all processes, and as top shows.

    ``before`` and ``after`` map a process to its ticks; top shows those that used the most.
    """
    each = sorted((ticks - before.get(pid, 0) for pid, ticks in after.items()), reverse=True)
    one = 100 / hz / seconds
    return sum(each) * one, sum(each[:ROWS]) * one
