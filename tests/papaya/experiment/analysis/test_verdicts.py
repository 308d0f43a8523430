"""Tables and verdicts of runs whose truth is known."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import pytest

from papaya.experiment.analysis.published import answer_questions, load_published
from papaya.experiment.analysis.statistics import FEWEST, Interval
from papaya.experiment.analysis.verdicts import Analysis, Comparison
from papaya.experiment.analysis.wording import format_interval, format_number
from papaya.experiment.report.output import draw_plots
from papaya.experiment.report.tables import Table, format_markdown, make_tables
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.synthetic import COST

COUNTS = (1, 8, 64)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """All subjects, the paper's method too, one trial refused, one subject left out."""
    folder = synthetic.folder(
        tmp_path_factory.mktemp("run"), connections=COUNTS, seconds=10, paper=True,
        refuse={("python-threads", 64): "reached 91 % | of the <offered> rate"},
        left_out={"python-trio": "trio is not installed"},
    )  # fmt: skip
    return Analysis(results.read_run(folder))


def table(analysis: Analysis, name: str) -> Table:
    return next(each for each in make_tables(analysis) if each.name == name)


def by_point(found: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Of a table by subject and connections: what stands below each head."""
    return {row[:2]: dict(zip(found.head, row, strict=True)) for row in found.rows}


def interval(text: str) -> tuple[float, float, float]:
    found = re.fullmatch(r"([\d.,]+) \(([\d.,]+) to ([\d.,]+)\)(?: =)?", text)
    assert found, text
    value, low, high = (float(each.replace(",", "")) for each in found.groups())
    return value, low, high


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


def test_the_published_figures_are_whole() -> None:
    rows = load_published()
    assert len(rows) == 14
    for row in rows.values():
        assert row.sd**2 == pytest.approx(row.variance, rel=0.02, abs=1e-4)
        assert row.cv == pytest.approx(row.sd / row.mean, rel=0.02)
    assert {key for key, row in rows.items() if row.cut_off} == {
        ("c-processes", 32), ("c-processes", 64),
    }  # fmt: skip


def test_beside_the_published_figures(analysis: Analysis) -> None:
    found = table(analysis, "published")
    last = dict(zip(found.head, found.rows[-1], strict=True))
    assert last["c-processes"] == "2.53 †"
    assert last["go-goroutines"] == "36.1"
    assert last["ratio"] == "14.3 †"
    assert interval(last["ratio here, equal work"])[0] == pytest.approx(0.38 / 0.9, rel=0.05)
    assert interval(last["ratio here, original work"])[0] == pytest.approx(1 / 0.6, rel=0.05)


def test_the_papers_method_sees_the_noise_of_its_clock(analysis: Analysis) -> None:
    for row in by_point(table(analysis, "paper-method")).values():
        exact, paper, floor = (float(row[each]) for each in ("Cv", "paper Cv", "noise floor"))
        if float(row["exact %"]) < 20:
            # The truth is 5 %; what that clock shows is its own.
            assert exact < 0.07
            assert paper == pytest.approx(floor, rel=0.3)
            assert paper > 2 * exact


def test_the_papers_questions_are_answered(analysis: Analysis) -> None:
    equal, original = answer_questions(analysis)
    assert equal.startswith("With equal work and 64 connections, go-goroutines uses 0.4")
    assert "The paper published 14.3 times, having counted only some of the processes." in equal
    assert "which is no significant difference." in equal
    assert original.startswith("With the unequal work of the published servers")
    assert "go-goroutines-original uses 1.6" in original
    assert "On the same trials the paper's method gives 1." in original


def test_without_both_there_is_no_answer(tmp_path: Path) -> None:
    folder = synthetic.folder(tmp_path, {"c-processes": 1.0, "c-epoll": 0.4}, seconds=2)
    analysis = Analysis(results.read_run(folder))
    assert answer_questions(analysis) == []
    assert "published" not in {each.name for each in make_tables(analysis)}


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


def test_only_blocks_with_both_are_compared(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4}
    run = results.read_run(synthetic.folder(tmp_path, cost, connections=(8,), repeats=8))
    kept = [c for c in run.trials if not (c.subject == "c-epoll" and c.block in (2, 5))]
    found = Analysis(dataclasses.replace(run, trials=tuple(kept))).compare(
        "c-epoll", "c-processes", 8
    )
    assert found.starts == 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.01234, "0.0123"), (2.1, "2.10"), (9.999, "10.0"), (99.96, "100"),
        (123.4, "123"), (12345, "12,345"), (0.000012, "1.2e-05"), (None, "-"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_an_interval_is_told_with_its_ends() -> None:
    assert format_interval(Interval(2, 1.5, 2.5), " times") == "2.00 times (1.50 to 2.50)"
    assert format_interval(Interval(2)) == "2.00"
    assert format_interval(None) == "-"


def test_markdown_is_one_table_whatever_it_holds(analysis: Analysis) -> None:
    for each in make_tables(analysis):
        head, caption, *lines = [line for line in format_markdown(each).splitlines() if line]
        assert (head, caption) == (f"## {each.title}", each.caption)
        assert len(lines) == len(each.rows) + 2
        for line in lines:
            cells = next(csv.reader([line[1:-1].replace("\\|", "/")], delimiter="|"))
            assert len(cells) == len(each.head)
        assert "<" not in "".join(lines)
