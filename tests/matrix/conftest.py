"""Provide a workplace for the tests of cells."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes import Report
from tests.matrix.reports import FREEBSD, changed, debian, host
from tests.matrix.tables import ID
from tests.matrix.workplace import Workplace


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def blank() -> Iterator[Workplace]:
    """One whose path has a blank; and which gVisor, that gives root up, may enter."""
    with tempfile.TemporaryDirectory(prefix="a blank ") as name:
        os.chmod(name, 0o755)
        yield Workplace(Path(name))


@pytest.fixture(scope="module")
def linux() -> Report:
    return changed(host(), {})


@pytest.fixture(scope="module")
def freebsd(linux: Report) -> Report:
    return changed(linux, FREEBSD, {ID: True, "locks.flock_conflicts_with_fcntl": True})


@pytest.fixture(scope="module")
def old(linux: Report) -> Report:
    """Return ``linux`` as Debian 12; `new` is the release after it."""
    return debian(linux, "12 (bookworm)", "6.1", "2.36")


@pytest.fixture(scope="module")
def new(linux: Report) -> Report:
    return debian(linux, "13 (trixie)", "6.12", "2.41")
