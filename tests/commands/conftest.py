"""Reports that tests of several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import Report
from tests.commands import ID, save, with_value


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("baseline") / "baseline.json")


@pytest.fixture(scope="module")
def drifted(baseline: Path) -> Path:
    value = Report.load(baseline)[ID].value
    return with_value(baseline, baseline.with_name("drifted.json"), not value)
