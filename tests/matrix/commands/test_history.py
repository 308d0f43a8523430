"""Test the command history: which reports it takes, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.cell import BASELINES
from probes import Report
from tests.matrix.reports import changed, saved
from tests.matrix.tables import run

FACT = "accepting.inherits_nonblock"


@pytest.fixture
def history(
    tmp_path: Path, old: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return the command, where only Debian 12 is recorded; it returns status and output."""
    (tmp_path / "baselines").mkdir()
    saved(old.with_later(approvals=[{}]), tmp_path / "baselines" / "bookworm-amd64.json")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        status = run("--baselines", "baselines", "history", *words)
        return status, *capsys.readouterr()

    return call


def show(history: Callable[..., tuple[int, str, str]], *words: str) -> dict[str, Any]:
    """Return the only family of the history as data."""
    status, out, err = history("--json", *words)
    assert (status, err) == (0, "")
    (family,) = json.loads(out)["families"]
    assert isinstance(family, dict)
    return family


def names(family: dict[str, Any]) -> list[str]:
    return [each["report"] for each in family["releases"]]


def test_one_recorded_release_says_how_to_measure_another(
    history: Callable[..., tuple[int, str, str]],
) -> None:
    for words in ((), ("debian",), ("debian-amd64",), ("DEBIAN",), ("bookworm-amd64",)):
        status, out, _ = history(*words)
        assert status == 0
        (line,) = out.splitlines()
        assert line.startswith("Debian amd64: only one release recorded: Debian 12 (bookworm-am")
        assert line.endswith("to measure another: python3 -m matrix run trixie-amd64")


def test_a_report_is_compared_with_what_is_recorded(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, old: Report, new: Report
) -> None:
    saved(changed(new, {}, {FACT: not new[FACT].value}), tmp_path / "mine.json")
    family = show(history, "mine.json")
    assert names(family) == ["bookworm-amd64", "mine"]
    assert [each["id"] for each in family["steps"][0]["changes"]] == [FACT]
    # It takes the place of a recorded one of its release.
    saved(old, tmp_path / "older.json")
    family = show(history, "debian", "older.json", "mine.json")
    assert names(family) == ["older", "mine"]
    assert family["others"] == ["bookworm-amd64"]


def test_what_was_measured_last_is_taken_first(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, new: Report
) -> None:
    for name, day in (("trixie-amd64", 25), ("mine", 24)):
        at = f"2026-11-{day}T12:00:00Z"
        (tmp_path / "results" / name).mkdir(parents=True)
        report = changed(new, {}, cell=name, measured_at=at)
        saved(report, tmp_path / "results" / name / "report.json")
    assert names(show(history)) == ["bookworm-amd64", "trixie-amd64"]
    assert names(show(history, "results/mine/report.json")) == ["bookworm-amd64", "mine"]
    assert names(show(history, "--results", "elsewhere")) == ["bookworm-amd64"]


def test_only_families_of_the_given_reports_are_shown(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, freebsd: Report
) -> None:
    saved(freebsd, tmp_path / "bsd.json")
    assert names(show(history, "bsd.json")) == ["bsd"]
    _, out, _ = history("--json", "bsd.json", "debian")
    assert [each["system"] for each in json.loads(out)["families"]] == ["Debian", "FreeBSD"]


def test_one_release_on_another_kernel_is_named_only(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, new: Report
) -> None:
    inside = changed(new, {"container": "docker"}, approvals=[{}])
    saved(inside, tmp_path / "mine.json")
    saved(inside, tmp_path / "baselines" / "inside.json")
    last = "not on the kernel of their release, so not compared: inside"
    assert history()[1].splitlines()[-1] == last
    assert history("debian")[1].splitlines()[-1] == last
    assert "only one release recorded: Debian 13 (inside)" in history("inside")[1]
    assert "only one release recorded: Debian 13 (mine)" in history("mine.json")[1]
    assert history("inside", "--json")[1] != history("bookworm-amd64", "--json")[1]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("debien", r"unknown system 'debien'; did you mean debian"),
        ("moon", r"unknown system 'moon'; recorded are debian, debian-amd64$"),
        ("debian-s390x", r"unknown system 'debian-s390x'; did you mean .*debian-amd64"),
        ("Ubuntu", r"no release of Ubuntu is recorded; to measure one: .*matrix run ubuntu$"),
        ("none.json", r"none\.json: No such file or directory$"),
        ("./bad", r"\./bad: "),
        ("./alpine.json", r"alpine: of a release whose place among the others is not known; add "),
    ],
)
def test_what_is_refused_is_one_line(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, old: Report, word: str, said: str
) -> None:
    (tmp_path / "bad").write_text("{")
    saved(changed(old, {"distribution": "Alpine Linux v3.20"}), tmp_path / "alpine.json")
    status, out, err = history(word)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert re.search(said, line)


def test_nothing_recorded_says_how_to_begin(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, new: Report
) -> None:
    (tmp_path / "baselines" / "bookworm-amd64.json").unlink()
    status, _, err = history()
    assert status == 2
    assert err.startswith("matrix: no report in results, and no baseline in baselines; to measure")
    saved(new, tmp_path / "mine.json")
    assert names(show(history, "mine.json")) == ["mine"]


@pytest.mark.parametrize("format", ["text", "markdown", "json"])
def test_each_format_is_written_to_a_file(
    history: Callable[..., tuple[int, str, str]], tmp_path: Path, new: Report, format: str
) -> None:
    saved(changed(new, {}, {FACT: not new[FACT].value}), tmp_path / "mine.json")
    assert history("mine.json", "--format", format, "-o", "out") == (0, "", "")
    assert FACT in (tmp_path / "out").read_text()


def test_the_shipped_baselines_have_a_history(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert os.listdir(BASELINES)
    assert run("history", "--json", "--results", str(tmp_path)) == 0
    document = json.loads(capsys.readouterr().out)
    shown = {each["report"] for family in document["families"] for each in family["releases"]}
    assert "freebsd13" in shown
    assert "gvisor" in document["on_other_kernels"]
    assert document["unknown"] == []
