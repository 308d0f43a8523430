"""Fixtures: the unchanged world, measured once.  And no silent skips where none is wanted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from probes import Report
from tests.needs import missing_packages
from tests.worlds import measure

# In the background of a shell SIGINT is ignored, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A change, and a newcomer's machine, are judged by examples that are the same on every run; with
# EXAMPLES they are new.  Neither is judged by its time: a busy machine is slow.
settings.register_profile(
    "any", deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize="EXAMPLES" not in os.environ,
)  # fmt: skip
settings.load_profile("any")

# What needs a newer Python than the lab.
collect_ignore = [] if sys.version_info >= (3, 11) else ["matrix", "papaya", "test_house.py"]


WORLDS = ("test_bare.py", "test_hidden.py", "test_lens.py", "test_limits.py", "test_refusals.py")
"""Beside those of the catalogue, the files that run the whole lab in changed worlds."""


ONCE = (
    "test_action.py", "test_build_support.py", "test_extend.py", "test_house.py",
    "test_ignored.py", "test_needs.py", "test_packaging.py", "test_plain.py",
)  # fmt: skip
"""The files whose tests are marked ``once``."""


FAST = (
    "tests/lens/", "tests/test_allowances.py", "tests/test_baseline.py", "tests/test_comparison.py",
    "tests/test_differences.py", "tests/test_fact.py", "tests/test_files.py", "tests/test_probe.py",
    "tests/test_recorded.py", "tests/test_render_verdict.py", "tests/test_report_json.py",
    "tests/test_schema.py", "tests/test_selection.py",
)  # fmt: skip
"""The files whose tests are marked ``fast``: all of them together take less than 30 seconds."""


@pytest.fixture(scope="session")
def here() -> Report:
    """Return the report of this host as it is."""
    return measure()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start little, and those that compare a changed world with `here`."""
    for item in items:
        if item.nodeid.startswith(FAST):
            item.add_marker("fast")
        if item.path.name in ONCE:
            item.add_marker("once")
        asks = "/catalogue/" in str(item.path) or item.path.name in WORLDS
        if asks and "here" in getattr(item, "fixturenames", ()):
            item.add_marker("world")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    """With REQUIRE_ALL set, as CI does, a test that cannot run is a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("REQUIRE_ALL") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and REQUIRE_ALL is set: {report.longrepr}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Say at the very end what would run the tests that were skipped for want of a program."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    count, packages = missing_packages(str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(
            f"{count} skipped: apt-get install {' '.join(packages)} runs them"
        )
