"""Provide runs and their plots."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.report import output
from papaya.experiment.report.curves import Plot
from papaya.experiment.report.output import draw_plots
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.report.drawn import QUICK_COUNTS, RECORDED, RUNS, SHORT
from tests.papaya.experiment.report.written import HARM, SOME
from tests.shared import share_folder


@pytest.fixture(scope="session")
def plots_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Plot]]:
    """Return a function that returns the plots of a run, or of the recorded one in the manual."""

    @functools.cache
    def draw(run: str) -> list[Plot]:
        folder = RECORDED
        if run != "recorded":
            folder = tmp_path_factory.mktemp(run)
            synthetic.folder(folder, **{"paper": True, **RUNS[run]})
        return draw_plots(Analysis(results.read_run(folder)))

    return draw


@pytest.fixture
def drawn(plots_of: Callable[[str], list[Plot]]) -> list[Plot]:
    return plots_of("close")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of a run with everything in it, and markup where text should be."""

    def make(folder: Path) -> None:
        synthetic.folder(
            folder, SOME, connections=(1, 4, 16, 64), repeats=5, seconds=5, paper=True,
            refuse={("python-threads", 64): HARM}, left_out={"python-trio": HARM},
        )  # fmt: skip
        output.write_report(folder, lambda line: None)

    return share_folder(tmp_path_factory, "everything", make)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of a run like that of --quick: too short to tell anything."""

    def make(folder: Path) -> None:
        synthetic.folder(folder, connections=QUICK_COUNTS, **SHORT)
        output.write_report(folder, lambda line: None)

    return share_folder(tmp_path_factory, "quick", make)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of the run that the manual shows."""

    def make(folder: Path) -> None:
        for name in ("run.json", "cells.csv", "windows.csv"):
            shutil.copy(RECORDED / name, folder)
        output.write_report(folder, lambda line: None)

    return share_folder(tmp_path_factory, "recorded", make)
