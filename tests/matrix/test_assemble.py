"""Test which reports become columns, and their names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from matrix import assemble
from matrix.cell import name_baseline
from matrix.table import (
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    RECORDED,
)
from probes import Report
from tests.matrix.reports import changed, saved
from tests.matrix.tables import run


def test_a_measured_system_has_no_documented_column(
    tmp_path: Path, freebsd: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        saved(changed(freebsd, {"release": release}), tmp_path / f"{name}.json")
        for name, release in (("freebsd", "14.1"), ("freebsd13", "13.4"), ("freebsd15", "15.0"))
    ]
    assert run("table", *paths, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    documented = [c["name"] for c in document["columns"] if c["kind"] == DOCUMENTED_ONLY]
    assert documented == ["linux", "macos", "netbsd", "openbsd"]


def test_a_report_that_was_run_here_is_named_after_its_cell(tmp_path: Path, linux: Report) -> None:
    i386 = {"distribution": "Debian GNU/Linux 12", "libc": "glibc", "pointer_bits": 32}
    report = changed(linux, {**i386, "emulated_32_bit": False}, cell="debian32")
    ((name, loaded),) = assemble.load_reports([saved(report, tmp_path / "report.json")])
    assert name == "debian32"
    titles = [
        each for those in assemble.find_unmeasured([(name, loaded)]).values() for each in those
    ]
    assert "Debian 12 i386 on its own kernel" not in titles
    assert "Debian 12 i386 on this host's kernel" in titles
    # What only says so is not it.
    false = changed(report, {"pointer_bits": 64})
    titles = [
        each for those in assemble.find_unmeasured([(name, false)]).values() for each in those
    ]
    assert "Debian 12 i386 on its own kernel" in titles


def test_columns_of_one_file_name_are_told_apart(tmp_path: Path, linux: Report) -> None:
    (tmp_path / "a").mkdir()
    paths = [saved(linux, tmp_path / "x.json"), saved(linux, tmp_path / "a" / "x.json")]
    assert len({name for name, _ in assemble.load_reports(paths)}) == 2


def test_without_a_report_it_takes_the_baselines(tmp_path: Path, linux: Report) -> None:
    saved(linux, tmp_path / "debian12.json")
    (tmp_path / "debian12.allowed.json").write_text('{"allowed": []}')
    assert [name for name, _ in assemble.load_baselines(str(tmp_path))] == ["debian12"]


def test_what_was_just_measured_comes_first(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    """And takes the place of what is recorded of the same platform, be it days old."""
    results, baselines = tmp_path / "results", tmp_path / "baselines"
    baselines.mkdir()
    old = changed(linux, {}, approvals=[{"reason": "first"}], measured_at="2026-11-20T12:00:00Z")
    for name in ("musl", "gvisor", name_baseline("here")):
        saved(old, baselines / f"{name}.json")
    for name, at in (("musl", "2026-11-26T11:00:00Z"), ("here", "2026-11-26T12:00:00Z")):
        (results / name).mkdir(parents=True)
        saved(changed(linux, {}, cell=name, measured_at=at), results / name / "report.json")
    (results / "failed").mkdir()
    options = ("--baselines", str(baselines), "table", "--measured", "--results", str(results))
    assert run(*options, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["columns"]
    assert [(c["name"], c["where"], c["measured_at"][:10]) for c in found] == [
        ("here", MEASURED_HERE, "2026-11-26"),
        ("musl", MEASURED_HERE, "2026-11-26"),
        ("gvisor", "baseline", "2026-11-20"),
    ]
    assert run(*options) == 0
    said = capsys.readouterr().out
    assert re.search(r"^musl\* +measured here \d+ (minute|hour|day)s ago: ", said, re.M)
    assert re.search(r"^gvisor +baseline of 2026-11-20: ", said, re.M)
    page = tmp_path / "atlas.html"
    options = ("--baselines", str(baselines), "atlas", "--measured", "--results", str(results))
    assert run(*options, "-o", str(page)) == 0
    embedded = re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)
    assert embedded
    assert [
        (c["name"], c["where"], c["measured_at"]) for c in json.loads(embedded[1])["columns"]
    ] == [
        ("here", MEASURED_HERE, "2026-11-26T12:00:00Z"),
        ("musl", MEASURED_HERE, "2026-11-26T11:00:00Z"),
        ("gvisor", "baseline", "2026-11-20T12:00:00Z"),
    ]


def test_a_baseline_of_this_platform_is_not_measured_here(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(changed(linux, {}, approvals=[{"reason": "first"}]), tmp_path / "mine.json")
    assert run("table", path, "--measured", "--format", "json") == 0
    (column,) = json.loads(capsys.readouterr().out)["columns"]
    assert (column["kind"], column["where"]) == (RECORDED, "baseline")
