"""Test the command table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.report import FORMATS
from matrix.table import (
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    RECORDED,
)
from probes import Report
from tests.matrix.reports import ELSEWHERE, changed, saved
from tests.matrix.tables import ID, run
from tests.matrix.workplace import ROOT


@pytest.mark.parametrize("name", FORMATS)
def test_command_writes_each_format(tmp_path: Path, linux: Report, name: str) -> None:
    path = saved(linux, tmp_path / "one.json")
    output = tmp_path / "table"
    assert run("table", path, "--format", name, "-o", str(output)) == 0
    assert ID in output.read_text()


def test_command_knows_a_report_of_this_host(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = saved(linux, tmp_path / "mine.json")
    other = saved(changed(linux, ELSEWHERE), tmp_path / "other.json")
    assert run("table", mine, other, "--format", "json") == 0
    kinds = {c["name"]: c["kind"] for c in json.loads(capsys.readouterr().out)["columns"]}
    assert kinds["mine"] == MEASURED_HERE
    assert kinds["other"] == RECORDED
    assert kinds["freebsd"] == DOCUMENTED_ONLY


@pytest.mark.parametrize("command", ["table --format html", "table --format text", "atlas"])
@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_whatever_the_locale(command: str, locale: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "matrix", *command.split()],
        cwd=ROOT, env={**os.environ, **locale}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert ID in done.stdout.decode()


@pytest.mark.parametrize("content", [None, "{", '{"schema": 99}', "[]"])
def test_bad_input_is_one_clear_line(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    for command in ("table", "atlas"):
        assert run(command, str(path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "bad.json" in line


@pytest.mark.parametrize("command", ["table", "atlas"])
def test_no_report_at_all_says_how_to_get_one(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ("--baselines", str(tmp_path), command, "--results", str(tmp_path / "none"))
    assert run(*folders) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"matrix: no report in {tmp_path}/none, and no baseline in {tmp_path}; "
        r"to measure one: .*matrix run here",
        line,
    )


def test_measured_columns_alone(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(linux, tmp_path / "one.json")
    assert run("table", path, "--measured", "--format", "json") == 0
    assert [c["name"] for c in json.loads(capsys.readouterr().out)["columns"]] == ["one"]


@pytest.mark.parametrize("name", ["text", "markdown", "html"])
def test_many_platforms_are_shown_by_families_unless_wide(tmp_path: Path, name: str) -> None:
    outputs = []
    for options in ((), ("--wide",)):
        output = tmp_path / "table"
        command = ("table", "--results", str(tmp_path), "--format", name, "-o", str(output))
        assert run(*command, *options) == 0
        outputs.append(output.read_text())
    families, wide = outputs
    range = "CPython 3.9 to 3.13"
    assert (range in families, range in wide) == (True, False)
    told = "none; SA_ONSTACK from 3.10"
    assert (told in families, told in wide) == (True, False)


def test_unknown_documented_name_is_refused(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(linux, tmp_path / "one.json")
    assert run("table", path, "--documented", "beos") == 2
    assert re.search(r"'beos': there are .*freebsd", capsys.readouterr().err)
