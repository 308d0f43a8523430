"""A pytest plugin: skip tests by facts of this platform, and use the facts as a fixture.

    @pytest.mark.requires_fact("sockets.v6only_default", False)
    def test_both_families(): ...

    def test_backlog(facts):
        assert facts["sockets.backlog_limit"].value >= 128

The first test that needs a fact measures, once per session.  With pytest-xdist, the first worker
measures, and other workers on the same machine read its report from a folder of the controller.
``--probes-report FILE`` takes a recorded report instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

import pytest

if TYPE_CHECKING:
    from .fact import Report, Value

MARKER = (
    "requires_fact(id, value=True, *, strict=False): skip the test if this platform's fact is not "
    "that value; with strict, fail it"
)
TEXT, FOLDER = "probes_report_text", "probes_report_folder"
"""Keys of what the controller of pytest-xdist gives its workers: a report, or a folder for one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--probes-report``."""
    parser.getgroup("probes").addoption(
        "--probes-report",
        metavar="FILE",
        help="take the facts from this report (probes report --json -o FILE); measure nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and read the report that the option names."""
    config.addinivalue_line("markers", MARKER)
    config.stash[_SESSION] = _Session(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder that the workers shared."""
    session = config.stash.get(_SESSION, None)
    if session and session.shared:
        shutil.rmtree(session.shared, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the report, or the folder for it."""
    session = node.config.stash[_SESSION]
    if session.text is not None:
        node.workerinput[TEXT] = session.text
    else:
        session.shared = session.shared or tempfile.mkdtemp(prefix="probes-pytest-")
        node.workerinput[FOLDER] = session.shared


@pytest.fixture(scope="session")
def facts(pytestconfig: pytest.Config) -> Report:
    """Return the report of this platform: ``facts["sockets.v6only_default"].value``."""
    return pytestconfig.stash[_SESSION].report()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose required fact differs, before its fixtures are set up."""
    for why in _explain_all(item, strict=False):
        pytest.skip(why)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail such a test if its marker is strict; during setup that would be an error."""
    for why in _explain_all(item, strict=True):
        pytest.fail(why, pytrace=False)


def _explain_all(item: pytest.Item, strict: bool) -> Iterator[str]:
    """Yield why facts are not as markers require, for the markers that are ``strict`` or not."""
    for mark in item.iter_markers("requires_fact"):
        id, value, is_strict = _read_marker(*mark.args, **mark.kwargs)
        if is_strict == strict and (
            why := _explain(item.config.stash[_SESSION].report(), id, value)
        ):
            yield why


def _read_marker(id: str, value: Value = True, *, strict: bool = False) -> tuple[str, Value, bool]:
    """Return the arguments of a marker.  Raises TypeError if they are wrong."""
    return id, value, strict


def _explain(report: Report, id: str, value: Value) -> str:
    """Return why the fact is not ``value``; empty if it is."""
    from .fact import show
    from .invocation import get_invocation
    from .load_catalogue import load_catalogue
    from .probe import is_same

    fact = report.get(id)
    if fact is None:
        if id not in load_catalogue():
            pytest.fail(
                f"requires_fact: no fact {id!r}; `{get_invocation()} list` names them all",
                pytrace=False,
            )
        return f"{id}: not in the report; measure again"
    if not fact.measured:
        return f"{id}: {fact.status}: {fact.reason}"
    return "" if is_same(value, fact.value) else f"{id} is {fact.answer} here, not {show(value)}"


class _Session:
    """Where the report of this session comes from, and the report once it is known."""

    def __init__(self, config: pytest.Config) -> None:
        given: dict[str, Any] = getattr(config, "workerinput", {})
        self.text: Optional[str] = given.get(TEXT)
        self.folder: Optional[str] = given.get(FOLDER)
        self.shared: Optional[str] = None
        self._report: Optional[Report] = None
        self._failed = ""
        path = config.getoption("probes_report")
        if path and not hasattr(config, "workerinput"):
            from .errors import ReportError
            from .fact import Report

            try:
                self._report = Report.load(path)
            except ReportError as error:
                raise pytest.UsageError(f"--probes-report: {error}") from None
            self.text = self._report.dumps()

    def report(self) -> Report:
        """Return the report; fail the test if there cannot be one."""
        from .errors import ReportError

        if self._report is None and not self._failed:
            try:
                self._report = self._find()
            except ReportError as error:
                self._failed = f"probes: {error}"
        if self._report is None:
            pytest.fail(self._failed, pytrace=False)
        return self._report

    def _find(self) -> Report:
        import probes

        from .fact import Report

        if self.text is not None:
            return Report.loads(self.text)
        # A worker without the folder is on another machine, and measures that platform.
        if not self.folder or not os.path.isdir(self.folder):
            return probes.measure()

        import fcntl

        path = os.path.join(self.folder, "report.json")
        with open(os.path.join(self.folder, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                probes.measure().save(path)
        return Report.load(path)


_SESSION: pytest.StashKey[_Session] = pytest.StashKey()
