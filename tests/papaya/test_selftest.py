"""The selftest: what it says of a service that works, and of one that does not."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import ANY

from papaya import selftest
from tests.papaya.conftest import (
    ENGINES,
    every_engine,
)


@every_engine
def test_the_selftest_of_a_service_that_lets_too_few_in(engine: str, facts: Path) -> None:
    options = ["--report", str(facts)]
    assert selftest.has_passed(selftest.run_checks([engine], *options))
    results = selftest.run_checks([engine], *options, "--max-clients", "4")
    assert "a client was refused" in str(results[engine]["everybody gets everything"])
    assert not selftest.has_passed(results)


def test_the_selftest_of_a_service_that_does_not_start(facts: Path) -> None:
    results = selftest.run_checks(ENGINES, "--report", str(facts), "--set", "lock=none")
    assert results == {engine: {"a server starts": ANY} for engine in ENGINES}
    assert "lock" in str(results["fork"])
