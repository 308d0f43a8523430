"""Test that the tables show the truth that a synthetic run was made with."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report.output import draw_plots
from papaya.experiment.report.tables import Table, format_markdown, make_tables
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.analysis.rows import interval, table
from tests.papaya.experiment.synthetic import COST


def by_point(found: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Of a table by subject and connections: what stands below each head."""
    return {row[:2]: dict(zip(found.head, row, strict=True)) for row in found.rows}


def test_means_are_the_truth(analysis: Analysis) -> None:
    held = total = 0
    for name in ("use-sink", "use-chat"):
        for (subject, count), row in by_point(table(analysis, name)).items():
            truth = COST[subject] * int(count)
            value, low, high = interval(row["mean %"])
            assert value == pytest.approx(truth, rel=0.1)
            held += low <= truth <= high
            total += 1
            assert interval(row["Cv"])[0] == pytest.approx(0.05, rel=0.3)
            assert float(row["sd"]) == pytest.approx(value * interval(row["Cv"])[0], rel=0.02)
            assert float(row["variance"]) == pytest.approx(float(row["sd"]) ** 2, rel=0.02)
    assert total == 14 * 3 - 1
    assert held > 0.8 * total


def test_ratios_are_the_truth(analysis: Analysis) -> None:
    for name, reference in (("ratios-sink", "c-processes"), ("ratios-chat", "papaya-fork")):
        found = table(analysis, name)
        assert found.head[1:] == ("1 connection", "8 connections", "64 connections")
        for subject, *row in found.rows:
            for text in row:
                if text != "-":
                    truth = COST[subject] / COST[reference]
                    assert interval(text)[0] == pytest.approx(truth, rel=0.05)
    assert not {row[0] for row in found.rows} & {"papaya-fork", "c-epoll"}


def test_growth_is_the_truth(analysis: Analysis) -> None:
    for subject, text in table(analysis, "growth").rows:
        assert interval(text)[0] == pytest.approx(COST[subject], rel=0.1)


def test_units_are_of_what_was_done(analysis: Analysis) -> None:
    rows = by_point(table(analysis, "by-unit"))
    for (subject, count), row in rows.items():
        # A percent of a core for a connection of 1 Mbps is 10 ms a second, for a megabit.
        assert interval(row["µs per megabit"])[0] == pytest.approx(1e4 * COST[subject], rel=0.1)
        message = interval(row["µs per message"])[0]
        assert message == pytest.approx(1e4 * COST[subject] * 128 * 8 / 1e6, rel=0.1)
        if subject.startswith("papaya"):
            delivery = interval(row["µs per delivery"])[0]
            assert delivery == pytest.approx(message / int(count), rel=0.02)
        else:
            assert row["µs per delivery"] == "-"


def test_latency_is_of_the_chat_alone(analysis: Analysis) -> None:
    found = table(analysis, "latency")
    assert {row[0] for row in found.rows} == {"papaya-fork", "papaya-pool", "papaya-coroutines"}
    for row in by_point(found).values():
        assert [row[each] for each in ("lost", "duplicated", "disordered")] == ["0", "0", "0"]
        assert interval(row["p99"])[0] == pytest.approx(4 * interval(row["p50"])[0], rel=0.01)


def test_nothing_is_dropped_in_silence(analysis: Analysis) -> None:
    assert table(analysis, "refused").rows == (
        ("python-threads", "64", "reached 91 % | of the <offered> rate", "8"),
    )
    assert table(analysis, "left-out").rows == (("python-trio", "trio is not installed"),)
    ratios = {row[0]: row for row in table(analysis, "ratios-sink").rows}
    assert ratios["python-threads"][-1] == "-"


def test_what_a_killed_run_did_not_come_to_is_said(tmp_path: Path) -> None:
    synthetic.folder(tmp_path, {"c-processes": 1.0, "c-epoll": 0.4}, connections=(1,), repeats=1)
    lines = (tmp_path / "cells.csv").read_text().splitlines(keepends=True)
    (tmp_path / "cells.csv").write_text("".join(line for line in lines if "epoll" not in line))
    found = table(Analysis(results.read_run(tmp_path)), "left-out")
    assert found.rows == (("c-epoll", "the run ended before it was measured"),)


def test_the_papers_method_sees_the_noise_of_its_clock(analysis: Analysis) -> None:
    for row in by_point(table(analysis, "paper-method")).values():
        exact, paper, floor = (float(row[each]) for each in ("Cv", "paper Cv", "noise floor"))
        if float(row["exact %"]) < 20:
            # The truth is 5 %; what that clock shows is its own.
            assert exact < 0.07
            assert paper == pytest.approx(floor, rel=0.3)
            assert paper > 2 * exact


@pytest.mark.parametrize(
    ("times", "deliveries", "told_apart"),
    [(1.02, 1000, True), (1.005, 1000, False), (1.02, 999, False)],
)
def test_the_tail_is_shown_where_it_is_not_the_largest(
    tmp_path: Path, times: float, deliveries: int, told_apart: bool
) -> None:
    run = results.read_run(synthetic.folder(tmp_path, {"papaya-pool": 0.5}, connections=(8,)))
    trials = [
        dataclasses.replace(trial, max_ms=times * trial.p999_ms, deliveries=deliveries)
        for trial in run.trials
        if trial.p999_ms
    ]
    assert trials
    analysis = Analysis(dataclasses.replace(run, trials=tuple(trials)))
    assert ("p99.9" in table(analysis, "latency").head) == told_apart
    assert "max" in table(analysis, "latency").head
    plot = next(each for each in draw_plots(analysis) if each.name == "latency")
    titles = [axes.get_title(loc="left") for axes in plot.figure.axes]
    assert titles == ["p50", "p99", *["p99.9"] * told_apart, "largest"]


def test_markdown_is_one_table_whatever_it_holds(analysis: Analysis) -> None:
    for each in make_tables(analysis):
        head, caption, *lines = [line for line in format_markdown(each).splitlines() if line]
        assert (head, caption) == (f"## {each.title}", each.caption)
        assert len(lines) == len(each.rows) + 2
        for line in lines:
            cells = next(csv.reader([line[1:-1].replace("\\|", "/")], delimiter="|"))
            assert len(cells) == len(each.head)
        assert "<" not in "".join(lines)
