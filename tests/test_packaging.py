"""The source distribution is whole, and what a wheel installs works and is never written to."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.needs import require
from tests.worlds import ROOT

LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.pyc", ".git", ".tox", ".venv", ".*_cache", ".hypothesis", ".experiment",
    "*.egg-info", "build", "dist", "quick", "experiment.out",
)  # fmt: skip
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("CI", "GITHUB_STEP_SUMMARY", "PYTHONPATH", "REQUIRE_ALL")
}


def _run(
    *command: object, folder: Path, status: int = 0, environment: Optional[Mapping[str, str]] = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done


def _build(kind: str, source: Path, folder: Path) -> Path:
    """Build an ``sdist`` or a ``wheel`` as pip would, with what is installed here."""
    folder.mkdir()
    call = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    _run(sys.executable, "-c", call, folder, folder=source)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked source distribution."""
    setuptools: Any = pytest.importorskip("setuptools", reason="pip install 'setuptools>=77'")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip(f"setuptools {setuptools.__version__} is too old: pip install 'setuptools>=77'")
    folder = tmp_path_factory.mktemp("sdist")
    clone = shutil.copytree(ROOT, folder / "clone", ignore=_ignore)
    with tarfile.open(_build("sdist", clone, folder / "dist")) as archive:
        # Python 3.9's first releases do not know filters.
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **options)
    (unpacked,) = folder.glob("papaya_lab-*")
    return unpacked


@pytest.fixture(scope="module")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield an environment with only the wheel in it, where nothing can be written."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("pip is not installed: apt-get install python3-pip")
    folder = tmp_path_factory.mktemp("installed")
    wheel = _build("wheel", sdist, folder / "dist")
    venv = folder / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", venv, folder=folder)
    _run(
        sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--quiet",
        "--no-deps", "--no-index", wheel, folder=folder,
    )  # fmt: skip
    shutil.rmtree(sdist / "build", ignore_errors=True)
    site = _site(venv)
    for path in (site, *site.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    yield venv
    for path in (site, *site.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


def _site(venv: Path) -> Path:
    (site,) = venv.glob("lib/python*/site-packages")
    return site


def _ignore(folder: str, names: list[str]) -> set[str]:
    """Return which of ``names`` are no part of the repository; a package may be named results."""
    results = {"results"} if Path(folder) == ROOT else set()
    return LEFT_OUT(folder, names) | results


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def test_the_sdist_is_the_whole_repository(sdist: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone, which knows what belongs to the repository")
    require("git")
    tracked = _run("git", "ls-files", folder=ROOT).stdout.splitlines()
    tracked = [name for name in tracked if (ROOT / name).exists()]
    assert [name for name in tracked if not (sdist / name).exists()] == []


def test_tests_of_the_sdist_pass(sdist: Path) -> None:
    done = _run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
        "tests/test_fact.py", folder=sdist, environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert " passed" in done.stdout


def test_the_wheel_holds_every_file_of_the_packages(sdist: Path, installed: Path) -> None:
    site = _site(installed)
    for package in ("probes", "papaya", "matrix"):
        for path in (sdist / package).rglob("*"):
            name = path.relative_to(sdist)
            if path.is_file() and "__pycache__" not in name.parts:
                assert (site / name).exists(), name


def test_the_installed_commands_run(installed: Path, tmp_path: Path) -> None:
    commands = installed / "bin"
    hook = re.search(r"^  entry: (\w+) gate$", (ROOT / ".pre-commit-hooks.yaml").read_text(), re.M)
    assert hook
    assert (commands / hook.group(1)).exists()
    (points,) = _site(installed).glob("*.dist-info/entry_points.txt")
    assert "[pytest11]\nprobes = probes.pytest_plugin\n" in points.read_text()
    report = _run(commands / "probes", "report", "--only", "abi", folder=tmp_path)
    assert f"more: {commands / 'probes'} list" in report.stdout
    if sys.version_info < (3, 11):
        for name in ("papaya", "matrix"):
            assert "3.11" in _run(commands / name, "--help", folder=tmp_path, status=3).stderr
        return
    for name in ("papaya", "matrix"):
        assert f"usage: {commands / name}" in _run(commands / name, "-h", folder=tmp_path).stdout


if sys.version_info >= (3, 11):  # The oldest Python for the matrix.

    def test_a_baseline_is_recorded_outside_of_the_installation(
        installed: Path, tmp_path: Path
    ) -> None:
        execnet: Any = pytest.importorskip("execnet", reason="pip install 'execnet>=2.1'")
        (tmp_path / "extra").mkdir()
        (tmp_path / "extra" / "execnet").symlink_to(Path(execnet.__file__).parent)
        more = {"PYTHONPATH": str(tmp_path / "extra"), "XDG_DATA_HOME": str(tmp_path / "data")}
        before = _contents(_site(installed))
        assert any(name.endswith(f"baselines{os.sep}musl.json") for name in before)
        matrix, probes = installed / "bin/matrix", installed / "bin/probes"
        rows = _run(matrix, "doctor", "here", folder=tmp_path, environment=more).stdout
        assert "yes" in rows
        own = tmp_path / "results" / "here"
        own.mkdir(parents=True)
        measured = (probes, "report", "--json", "-o", own / "report.json")
        _run(*measured, folder=tmp_path)
        record = ("baseline", "here", "--reason", "a test", "--import", own / "report.json")
        _run(matrix, *record, folder=tmp_path, environment=more)
        (written,) = (tmp_path / "data" / "papaya-lab" / "baselines").iterdir()
        gate = ("gate", "--cell", "auto", "--against", own / "report.json")
        said = _run(probes, *gate, folder=tmp_path, environment=more)
        assert os.path.relpath(written, tmp_path) in said.stderr
        assert _contents(_site(installed)) == before


def test_what_is_measured_in_a_clone_is_recorded_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probes import recorded

    clone = tmp_path / "clone"
    (clone / "matrix").mkdir(parents=True)
    monkeypatch.setattr(recorded, "_TOP", sysconfig.get_path("purelib"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(clone)
    elsewhere = str(tmp_path / ".local/share/papaya-lab/baselines")
    assert recorded.find_own_folder() == elsewhere
    (clone / "pyproject.toml").touch()
    (clone / "matrix" / "cells.toml").touch()
    assert recorded.find_own_folder() == str(clone / "matrix" / "baselines")
