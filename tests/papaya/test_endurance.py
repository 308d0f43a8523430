"""A short run of each engine, always in the same order of events."""

from __future__ import annotations

import pytest

from tests.endurance.__main__ import endure
from tests.papaya.conftest import every_engine
from tests.worlds import needs_linux


@needs_linux
@every_engine
def test_a_service_survives_everything_at_once(
    engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = endure(engine, 4, 1, print)
    assert told.startswith(f"{engine}: ")
