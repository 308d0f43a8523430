"""Test that records of wrong types are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from papaya.experiment.results import folder as results
from papaya.experiment.results.folder import TRIAL_COLUMNS, WINDOW_COLUMNS
from tests.papaya.experiment.results.said import said
from tests.papaya.experiment.synthetic import write


def test_a_reason_of_several_lines_is_one_field(folder: Path) -> None:
    trial = results.read_run(folder).trials[0]
    odd = dataclasses.replace(trial, status="refused", why='the "load"\nwas,\x85slow\u2028\udc80')
    write(folder / "cells.csv", TRIAL_COLUMNS, iter([odd.row()]))
    assert results.read_run(folder).trials[0].why == 'the "load" was, slow ?'


@pytest.mark.parametrize(
    ("part", "entry", "value"),
    [
        ("host", "cores", "two"),
        ("host", "cores", 2.5),
        ("host", "cores", True),
        ("design", "seconds", float("nan")),
        ("design", "connections", [1, None]),
        ("design", "connections", {"1": 1}),
        ("design", "subjects", ["c-processes"]),
        ("accounting", "method", None),
    ],
)
def test_a_wrong_entry_is_named(folder: Path, part: str, entry: str, value: object) -> None:
    document = json.loads((folder / "run.json").read_text())
    document[part][entry] = value
    (folder / "run.json").write_text(json.dumps(document))
    assert f"run.json: {part}: {entry}: " in said(folder)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("connections", "many", "line 2: invalid literal"),
        ("connections", "", "line 2: invalid literal"),
        ("aa", "yes", "line 2: 'yes' is not a bool"),
        ("seconds", "nan", "line 2: 'nan' is not a float"),
        ("bytes", "1e3", "line 2: invalid literal"),
        ("status", "fine", "status is 'fine'; it must be ok or refused"),
        ("cpu_seconds", "", "is ok but has no CPU time"),
        ("subject", "pascal", "subject pascal is not in run.json"),
    ],
)
def test_a_wrong_field_is_named(folder: Path, column: str, value: str, words: str) -> None:
    row = results.read_run(folder).trials[0].row()
    row[TRIAL_COLUMNS.index(column)] = value
    write(folder / "cells.csv", TRIAL_COLUMNS, iter([row]))
    assert words in said(folder)


def test_other_columns_are_said(folder: Path) -> None:
    write(folder / "windows.csv", WINDOW_COLUMNS[:-1], iter([]))
    assert "windows.csv: line 1: the columns must be block,subject" in said(folder)
