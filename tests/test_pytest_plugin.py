"""The pytest plugin, in sessions of its own: with one process and under pytest-xdist."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from probes import Fact, Report
from probes.environment import describe
from tests.worlds import ROOT

pytest_plugins = ["pytester"]

ASKED = """
    import pytest
    @pytest.mark.requires_fact("sockets.v6only_default", False)
    def test_met(): pass
    @pytest.mark.requires_fact("sockets.v6only_default")
    def test_not_met(): assert False
    @pytest.mark.requires_fact("sockets.v6only_default", True, strict=True)
    def test_strict(): assert False
    @pytest.mark.requires_fact("locks.ofd_exists")
    def test_not_measured(): assert False
    @pytest.mark.requires_fact("locks.flock_survives_exec")
    def test_not_in_it(): assert False
    @pytest.mark.requires_fact("sockets.misspelt", False)
    def test_misspelt(): assert False
    @pytest.mark.parametrize("n", range(8))
    def test_fixture(facts, n): assert facts["sockets.v6only_default"].value is False
"""
COUNTED = """
    import pathlib, probes
    def measure():
        with open({counter!r}, "a") as file:
            print("measured", file=file)
        return probes.Report.load({path!r})
    probes.measure = measure
"""
OUTCOMES = {"passed": 9, "skipped": 3, "failed": 1, "errors": 1}

with_xdist = pytest.mark.skipif(
    not importlib.util.find_spec("xdist"), reason="xdist is not installed: pip install pytest-xdist"
)


@pytest.fixture(autouse=True)
def _session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("REQUIRE_ALL", raising=False)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a report of two facts."""
    facts = {
        "sockets.v6only_default": Fact("sockets.v6only_default", "measured", False),
        "locks.ofd_exists": Fact("locks.ofd_exists", "blocked", reason="a filter"),
    }
    path = tmp_path / "recorded.json"
    Report(describe(""), facts).save(path)
    return path


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "probes.pytest_plugin", "-rA", *options)


@pytest.mark.parametrize("options", [[], pytest.param(["-n", "2"], marks=with_xdist)])
def test_a_recorded_report_decides(
    pytester: pytest.Pytester, recorded: Path, tmp_path: Path, options: list[str]
) -> None:
    counter = tmp_path / "counter"
    pytester.makeconftest(COUNTED.format(counter=str(counter), path=str(recorded)))
    pytester.makepyfile(ASKED)
    result = run(pytester, "--strict-markers", f"--probes-report={recorded}", *options)
    result.assert_outcomes(**OUTCOMES)
    assert not counter.exists()
    said = result.stdout.str()
    assert "sockets.v6only_default is no here, not yes" in said
    assert "locks.ofd_exists: blocked: a filter" in said
    assert "locks.flock_survives_exec: not in the report; measure again" in said
    assert "no fact 'sockets.misspelt'; `" in said


@pytest.mark.parametrize("options", [[], pytest.param(["-n", "2"], marks=with_xdist)])
def test_it_is_measured_once_a_session(
    pytester: pytest.Pytester,
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    counter = tmp_path / "counter"
    pytester.makeconftest(COUNTED.format(counter=str(counter), path=str(recorded)))
    pytester.makepyfile(ASKED)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    run(pytester, *options).assert_outcomes(**OUTCOMES)
    assert counter.read_text() == "measured\n"
    assert not list((tmp_path / "temporary").glob("probes-*"))


def test_nothing_is_measured_until_a_test_asks(
    pytester: pytest.Pytester, recorded: Path, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    pytester.makeconftest(COUNTED.format(counter=str(counter), path=str(recorded)))
    pytester.makepyfile("def test_it(): pass")
    run(pytester).assert_outcomes(passed=1)
    assert not counter.exists()


def test_it_measures_this_platform(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.requires_fact("abi.long_bits", 1)
        def test_never(): assert False
        def test_it(facts): assert facts["abi.long_bits"].value in (32, 64)
        """
    )
    run(pytester).assert_outcomes(passed=1, skipped=1)


def test_a_report_that_cannot_be_read_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--probes-report=missing.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --probes-report: missing.json: *"])


def test_a_lab_that_fails_fails_who_asks(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import probes
        from probes.fact import ReportError
        def measure(): raise ReportError("the lab cannot run here")
        probes.measure = measure
        """
    )
    pytester.makepyfile("def test_it(facts): pass\ndef test_other(): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*probes: the lab cannot run here*"])
