"""Fixtures: the unchanged world, measured once."""

from __future__ import annotations

import pytest

from probes import Report
from tests.worlds import measure


@pytest.fixture(scope="session")
def here() -> Report:
    """The whole report of this host as it is."""
    return measure()
