"""`tox -e freebsd,debian32` on a machine that has neither, nor a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .workplace import ROOT

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("tox"), reason="needs tox: pip install tox"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the repository with results and environments elsewhere."""
    names = ("tox.ini", "toxfile.py", "Vagrantfile", "pyproject.toml", "matrix", "papaya", "probes")
    for name in names:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run_tox(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    nowhere = "http://127.0.0.1:1/"
    offline = {
        "HOME": str(project), "TMPDIR": str(project), "XDG_CACHE_HOME": str(project / "cache"),
        "VAGRANT_SERVER_URL": nowhere, "MATRIX_MIRROR": nowhere, "no_proxy": "127.0.0.1",
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "",
    }  # fmt: skip
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("TOX", "MATRIX", "PIP"))}
    return subprocess.run(
        [sys.executable, "-m", "tox", "--colored", "no", *arguments],
        cwd=project, env={**inherited, **offline}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Return the table at the end: mark and reason by platform."""
    _, _, table = done.stdout.rpartition("\nplatforms\n")
    rows = re.findall(r"^  (\S+) +(\w+) +(.*)$", table, re.M)
    assert len(rows) == len(table.splitlines()), done.stdout + done.stderr
    return {name: (mark, line) for name, mark, line in rows}


@pytest.mark.parametrize("parallel", [(), ("-p", "all")])
def test_each_missing_platform_is_said_and_the_others_go_on(
    project: Path, parallel: tuple[str, ...]
) -> None:
    done = run_tox(project, *parallel, "-e", "freebsd,here,debian32")
    assert done.returncode not in (0, None)
    told = summary(done)
    assert set(told) == {"freebsd", "here", "debian32"}
    assert {name: mark for name, (mark, _) in told.items()} == {
        "freebsd": "MISSING", "here": "FAILED", "debian32": "MISSING",
    }  # fmt: skip
    for name in ("freebsd", "debian32"):
        assert re.search(r"apt-get install|cannot be reached", told[name][1])
    # pip was asked only where there is something to measure.
    assert "execnet cannot be installed" in told["here"][1]
    assert not re.search(r"(freebsd|debian32): installing", done.stdout + done.stderr)
    for name in told:
        assert re.search(rf"^  {name}: FAIL code 3", done.stdout, re.M), done.stdout
    assert not list(project.glob("matrix-summary-*"))


def test_what_may_be_missing_is_skipped_and_not_passed(project: Path) -> None:
    done = run_tox(project, "-e", "freebsd,debian32", "--", "--allow-missing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [mark for mark, _ in summary(done).values()] == ["SKIPPED", "SKIPPED"]


def test_an_environment_that_cannot_be_made_is_in_the_table(project: Path) -> None:
    broken = "testenv:freebsd.commands_pre=python -c 'raise SystemExit(7)'"
    done = run_tox(project, "-x", broken, "-e", "freebsd,debian32")
    assert done.returncode != 0
    told = summary(done)
    assert told["freebsd"] == ("FAILED", "it did not run; see above")
    assert told["debian32"][0] == "MISSING"


def test_cells_that_tests_run_are_not_in_the_table(project: Path) -> None:
    script = project / "runs.py"
    script.write_text(
        "import os\nwith open(os.environ['MATRIX_SUMMARY'], 'a') as file:\n"
        "    for cell in 'ab':\n"
        '        file.write(\'{"cell": "%s", "mark": "x", "line": ""}\\n\' % cell)\n'
    )
    done = run_tox(
        project, "-x", "testenv:guests.deps=", "-x", "testenv:guests.commands=python runs.py",
        "-e", "guests",
    )  # fmt: skip
    assert (done.returncode, "\nplatforms\n" in done.stdout) == (0, False), done.stderr
    assert not list(project.glob("matrix-summary-*"))


def test_all_platforms_of_this_machine_are_in_the_table(project: Path) -> None:
    run = "python -m matrix run --all-here --allow-missing"
    # pip finds no execnet: each cell that can run here says so.
    done = run_tox(project, "-x", f"testenv:platforms.commands={run}", "-e", "platforms")
    told = summary(done)
    assert "here" in told
    assert "platforms" not in told
    assert "execnet is not installed" in told["here"][1]


def test_one_platform_and_none_have_no_table(project: Path) -> None:
    done = run_tox(project, "-e", "freebsd")
    assert done.returncode == 3
    assert "freebsd  MISSING" in done.stdout
    assert "\nplatforms\n" not in done.stdout
    done = run_tox(project, "list")
    assert (done.returncode, "\nplatforms\n" in done.stdout) == (0, False), done.stderr
    assert not list(project.glob("matrix-summary-*"))
