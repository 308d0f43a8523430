"""The paper's method, on the same run: top(1) every half a second.

Of each process top knows how many ticks it has had, a hundredth of a second each on Linux and
1/128 on FreeBSD; what a process did since the last screen is a whole number of them.  A screen
shows some twenty processes, and the paper added up these: of 64 clients' processes more than
forty were never counted, and one that ended between two screens is on neither.
"""

from __future__ import annotations

from collections.abc import Mapping

ROWS = 20
"""Of processes, on the paper's screens of some 24 lines."""


def percents(
    before: Mapping[int, int], after: Mapping[int, int], seconds: float, hz: int
) -> tuple[float, float]:
    """Return what top shows between two screens, in percent of a core: in total, and by row.

    ``before`` and ``after`` are ticks by process; the rows are those that used most.
    """
    each = sorted((ticks - before.get(pid, 0) for pid, ticks in after.items()), reverse=True)
    one = 100 / hz / seconds
    return sum(each) * one, sum(each[:ROWS]) * one
