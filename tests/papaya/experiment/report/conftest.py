"""Provide runs and their plots."""

from __future__ import annotations

import shutil
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
from tests.worlds import ROOT


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Plot]]:
    """Return the plots of each run, and of the recorded one in the manual."""
    folders = {
        name: synthetic.folder(tmp_path_factory.mktemp(name), **{"paper": True, **options})
        for name, options in RUNS.items()
    }
    folders["recorded"] = RECORDED
    return {
        name: draw_plots(Analysis(results.read_run(folder))) for name, folder in folders.items()
    }


@pytest.fixture(scope="session")
def drawn(made: dict[str, list[Plot]]) -> list[Plot]:
    return made["close"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of a run with everything in it, and markup where text should be."""
    made = synthetic.folder(
        tmp_path_factory.mktemp("run"), SOME, connections=(1, 4, 16, 64), repeats=5, seconds=5,
        paper=True, refuse={("python-threads", 64): HARM}, left_out={"python-trio": HARM},
    )  # fmt: skip
    output.write_report(made, lambda line: None)
    return made


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of a run like that of --quick: too short to tell anything."""
    made = synthetic.folder(tmp_path_factory.mktemp("quick"), connections=QUICK_COUNTS, **SHORT)
    output.write_report(made, lambda line: None)
    return made


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of the run that the manual shows."""
    made = tmp_path_factory.mktemp("recorded")
    for name in ("run.json", "cells.csv", "windows.csv"):
        shutil.copy(Path(ROOT) / "docs" / "experiment" / name, made)
    output.write_report(made, lambda line: None)
    return made
