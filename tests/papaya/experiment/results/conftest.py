"""Provide a results folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.papaya.experiment import synthetic
from tests.papaya.experiment.results.said import FEW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return synthetic.folder(tmp_path / "run", FEW, connections=(1, 8), repeats=2, seconds=3)
