"""A test that lacks a program says the package, and the run's end lists them once."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import needs
from tests.worlds import ROOT

TESTS = """
from tests.needs import needs, require

@needs("pypy3", "musl-gcc")
def test_marked(): raise SystemError

def test_asking():
    require("strace")
    raise SystemError

def test_running(): pass
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize("all_required", [False, True])
def test_without_programs_it_skips_and_says_once_what_runs_them(
    workers: tuple[str, ...], all_required: bool, tmp_path: Path
) -> None:
    if workers:
        pytest.importorskip("xdist")
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TESTS)
    clean = {k: v for k, v in os.environ.items() if k != "REQUIRE_ALL" and "PYTEST" not in k}
    more = {"REQUIRE_ALL": "1"} if all_required else {}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-qra", f"--rootdir={tmp_path}", *workers, str(tmp_path)],
        cwd=tmp_path, env={**clean, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT),
                           **more},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == all_required, done.stdout
    if all_required:
        assert "1 failed, 1 passed, 1 error" in done.stdout
        assert "needs strace: apt-get install strace" in done.stdout
    else:
        *_, last, counts = done.stdout.splitlines()
        assert last == "2 skipped: apt-get install musl-tools pypy3 strace runs them"
        assert counts.startswith("1 passed, 2 skipped")


def test_each_program_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_found", lambda program: program == "git")
    needs.lacks.cache_clear()
    assert needs.lacks("git") == ""
    assert needs.lacks("cc", "git", "ps", "sysctl") == (
        "needs a C compiler and ps and sysctl: apt-get install gcc libc6-dev procps"
    )
    needs.lacks.cache_clear()


def test_reasons_that_name_no_package_are_not_counted() -> None:
    reasons = [
        "needs root: run the tests as root",
        "x: apt-get install b a')",
        "y: apt-get install a",
    ]
    assert needs.missing_packages(reasons) == (2, ["a", "b"])


def test_a_compiler_without_headers_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(needs, "_PATH", str(tmp_path))
    assert not needs._found("cc")
    compiler.write_text("#!/bin/sh\nexit 0\n")
    assert needs._found("cc")


def test_manual_ci_and_tests_name_the_same_packages() -> None:
    """What the manual installs is what the tests skip for, and .ci/run installs all of it."""
    (line,) = re.findall(
        r"^```text\napt-get install ((?:.*\\\n)*.*)\n```$",
        (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    promised = line.replace("\\\n", " ").split()
    assert promised == sorted(promised)
    named = {package for _, packages in needs.PACKAGES.values() for package in packages.split()}
    assert set(promised) == named | BUILDS_MUSL
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    installed = {p for found in re.findall(r"need\+=\((.*?)\)", ci) for p in found.split()}
    assert set(promised) <= installed


BUILDS_MUSL = {
    "debian-archive-keyring", "dpkg-dev", "gcc", "linux-libc-dev", "make", "musl", "musl-dev",
}  # fmt: skip


if sys.version_info >= (3, 11):  # The oldest Python for the matrix.

    def test_what_the_box_musl_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
        musl = importlib.import_module("matrix.boxes.musl")
        monkeypatch.setattr("shutil.which", lambda name: None)
        monkeypatch.setattr("os.path.exists", lambda path: False)
        _, packages = needs.missing_packages([musl.explain_lack()])
        assert set(packages) == BUILDS_MUSL | {"apt"}


def test_each_program_asked_for_has_packages() -> None:
    """A test that names another program fails only where that is missing, so it is read here."""
    for path in (ROOT / "tests").rglob("*.py"):
        for call in re.findall(r"\b(?:needs|require)\(([^()]*)\)", path.read_text()):
            for program in re.findall(r'"([\w-]+)"', call):
                assert program in needs.PACKAGES, (path, program)


def test_no_property_is_judged_by_its_time() -> None:
    """Hypothesis fails what is slow, unless tests/conftest.py says otherwise; machines are busy."""
    assert settings.default
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
