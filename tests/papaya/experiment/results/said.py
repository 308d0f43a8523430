"""Read a folder that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from papaya.experiment.results import folder as results
from probes.errors import CommandError

FEW = {"c-processes": 0.9, "papaya-pool": 0.5}


def said(folder: Path) -> str:
    with pytest.raises(CommandError) as refused:
        results.read_run(folder)
    assert "\n" not in str(refused.value)
    assert refused.value.status == 2
    return str(refused.value)
