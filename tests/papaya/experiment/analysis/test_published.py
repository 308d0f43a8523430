"""Test the comparison with the published figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from papaya.experiment.analysis.published import answer_questions, load_published
from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report.tables import make_tables
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.analysis.rows import interval, table


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
