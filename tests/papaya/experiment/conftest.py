"""Provide an analysis of a synthetic run."""

from __future__ import annotations

import pytest

from papaya.experiment.analysis.verdicts import Analysis
from papaya.experiment.results import folder as results
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.analysis.rows import COUNTS


@pytest.fixture(scope="session")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """All subjects, the paper's method too, one trial refused, one subject left out."""
    folder = synthetic.folder(
        tmp_path_factory.mktemp("run"), connections=COUNTS, seconds=10, paper=True,
        refuse={("python-threads", 64): "reached 91 % | of the <offered> rate"},
        left_out={"python-trio": "trio is not installed"},
    )  # fmt: skip
    return Analysis(results.read_run(folder))
