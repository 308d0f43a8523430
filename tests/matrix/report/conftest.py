"""Provide tables for the tests of the atlas."""

from __future__ import annotations

import pytest

from matrix.table import Table
from tests.matrix.report.tables import made


@pytest.fixture(scope="module")
def table() -> Table:
    return made()
