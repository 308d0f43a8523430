"""Tables and verdicts of runs whose truth is known."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from papaya.experiment.analysis.statistics import FEWEST, Interval
from papaya.experiment.analysis.verdicts import Analysis, Comparison
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.analysis.rows import table


def verdict(analysis: Analysis, ratio: Interval | None) -> str:
    return analysis.describe_comparison(Comparison("go", "c-processes", 64, ratio, 4))


def test_a_verdict_says_what_its_interval_supports(analysis: Analysis) -> None:
    more = verdict(analysis, Interval(2.1, 1.9, 2.4))
    assert more == "uses 2.10 times (1.90 to 2.40) the CPU of c-processes"
    assert verdict(analysis, Interval(0.9, 0.7, 1.2)) == (
        "does not differ significantly from c-processes: "
        "it uses 0.900 times (0.700 to 1.20) the CPU"
    )
    assert verdict(analysis, Interval(2.1)) == "used 2.10 times the CPU of c-processes in 4 trials"
    assert verdict(analysis, None).startswith("cannot be compared with c-processes")


def test_a_difference_that_a_subject_shows_from_itself_is_said(analysis: Analysis) -> None:
    found = Analysis(analysis.run)
    found.twins = [Comparison("c-epoll", "c-epoll", 64, Interval(1.04, 1.01, 1.07), 8)]
    same = verdict(found, Interval(1.03, 1.01, 1.05))
    assert same.endswith(
        ", but the same subject measured twice differs by as much (A/A: 0.935 to 1.07 times)"
    )
    assert "A/A" not in verdict(found, Interval(1.2, 1.1, 1.3))
    # The other way round it is the same difference.
    assert "A/A" in verdict(found, Interval(1 / 1.03, 0.96, 0.98))


def test_the_same_twice_shows_no_difference(analysis: Analysis) -> None:
    (twin,) = analysis.twins
    assert (twin.subject, twin.connections, twin.starts) == ("c-processes", 64, 8)
    assert twin.ratio
    assert twin.ratio.holds(1)
    assert "does not differ significantly" in analysis.describe_comparison(twin)


def test_two_trials_are_not_enough(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4}
    folder = synthetic.folder(tmp_path, cost, connections=(8,), repeats=2, seconds=5)
    analysis = Analysis(results.read_run(folder))
    (said,) = analysis.describe_comparisons(analysis.groups[0])
    assert re.fullmatch(
        r"At 8 connections, c-epoll used 0\.\d+ times the CPU of c-processes in 2 trials\.", said
    )
    assert analysis.too_few == (
        f"Not enough data: 2 of 2 points have fewer than {FEWEST} trials, so no interval and no "
        "verdict."
    )
    assert "(" not in "".join(cell for row in table(analysis, "use-sink").rows for cell in row)


@pytest.mark.parametrize(("seconds", "short"), [(4.5, True), (5, False)])
def test_trials_of_fewer_than_ten_windows_are_reported(
    tmp_path: Path, seconds: float, short: bool
) -> None:
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1, 8), repeats=5, seconds=seconds)
    said = (
        "Not enough data: 2 of 2 points have fewer than 10 windows per trial, so no plot over time."
    )
    assert Analysis(results.read_run(tmp_path)).too_few == (said if short else "")


def test_only_blocks_with_both_are_compared(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4}
    run = results.read_run(synthetic.folder(tmp_path, cost, connections=(8,), repeats=8))
    kept = [c for c in run.trials if not (c.subject == "c-epoll" and c.block in (2, 5))]
    found = Analysis(dataclasses.replace(run, trials=tuple(kept))).compare(
        "c-epoll", "c-processes", 8
    )
    assert found.starts == 6
