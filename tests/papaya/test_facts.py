"""Facts: what contradicts a wanted answer, and what is not known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from papaya import facts
from probes import Fact, Platform, Report
from probes.errors import CommandError

REPORT = Report(
    Platform("Linux", "1", "amd64", "libc", "1", 64),
    {
        "a.yes": Fact("a.yes", "measured", True),
        "a.lacks": Fact("a.lacks", "unsupported", None, reason="because"),
        "a.blocked": Fact("a.blocked", "blocked", None, reason="because"),
    },
)


def test_another_answer_and_a_missing_feature_contradict() -> None:
    wanted = {"a.yes": False, "a.lacks": True, "a.blocked": True, "a.absent": True}
    found = facts.list_contradictions(wanted, REPORT)
    assert found == ["a.yes is yes", "a.lacks is unsupported"]
    assert facts.list_contradictions({"a.yes": True}, REPORT) == []


def test_what_has_no_answer_is_unmeasured() -> None:
    ids = ["a.yes", "a.lacks", "a.blocked", "a.absent"]
    assert facts.list_unmeasured(ids, REPORT) == ids[1:]


def test_answers_are_those_of_the_report() -> None:
    ids = ["a.yes", "a.absent", "a.yes", "a.blocked"]
    assert facts.list_answers(ids, REPORT) == {"a.yes": "yes", "a.blocked": "blocked"}


def test_facts_are_measured_and_read_back(tmp_path: Path) -> None:
    # In a process that has just started, because a fork of it measures: pytest's may have threads
    # and children.
    path, id = tmp_path / "report.json", "files.offset_shared_by_new_open"
    program = f"from papaya import facts; facts.measure_facts([{id!r}]).save({str(path)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    report = facts.read_facts(str(path))
    assert list(report.facts) == [id]
    assert report.facts[id].measured
    with pytest.raises(CommandError, match="absent"):
        facts.read_facts(str(tmp_path / "absent"))
