"""A results folder: what is written is read again, and what is broken is said in a line."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papaya.experiment.results import folder as results
from papaya.experiment.results.folder import TRIAL_COLUMNS, WINDOW_COLUMNS, Trial, Window
from papaya.experiment.subjects import SUBJECTS
from probes.errors import CommandError
from tests.papaya.experiment.results.said import FEW, said
from tests.papaya.experiment.synthetic import description, write

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def values(kind: type) -> st.SearchStrategy[Any]:
    """Return records of that kind, every field with any value of its type."""
    plain = {
        int: st.integers(0, 2**62),
        float: st.floats(0, allow_infinity=False),
        bool: st.booleans(),
        str: st.text(st.characters(codec="utf-8")).map(lambda text: " ".join(text.split())),
    }
    fields = {
        name: plain[hint] if hint in plain else st.none() | plain[typing.get_args(hint)[0]]
        for name, hint in typing.get_type_hints(kind).items()
    }
    return st.builds(kind, **fields)


def test_the_columns_are_the_contract() -> None:
    """Another program may write them: none is renamed, none changes its place."""
    assert ",".join(TRIAL_COLUMNS) == (
        "block,subject,connections,aa,status,why,attempts,seconds,cpu_seconds,cpu_percent,cv,"
        "offered_mbps,achieved_mbps,bytes,messages,deliveries,us_per_message,us_per_mbit,"
        "us_per_delivery,voluntary,involuntary,pss_kib,steal_seconds,load_cpu_percent,stalls,"
        "lost,torn,duplicated,disordered,p50_ms,p99_ms,p999_ms,max_ms,accounting"
    )
    assert ",".join(WINDOW_COLUMNS) == (
        "block,subject,connections,aa,at,seconds,exact_percent,ticks_percent,paper_percent"
    )


@ONE_FOLDER
@given(st.lists(values(Trial), unique_by=lambda trial: trial.key))
def test_any_trial_survives(tmp_path: Path, trials: list[Trial]) -> None:
    refused = [dataclasses.replace(trial, status="refused") for trial in trials]
    write(tmp_path / "cells.csv", TRIAL_COLUMNS, (trial.row() for trial in refused))
    assert results.read_trials(tmp_path) == refused


def test_a_run_survives(folder: Path) -> None:
    run = results.read_run(folder)
    assert run.description == description(tuple(FEW), (1, 8), 2, 3, False, {})
    # Two subjects, two numbers of connections, two blocks; and a twin a block.
    assert len(run.trials) == 2 * 2 * 2 + 2
    assert {len(windows) for windows in run.windows.values()} == {6}
    assert run.windows.keys() == {trial.key for trial in run.trials}
    assert list(run.subjects.values()) == [SUBJECTS[name] for name in FEW]


def test_a_later_version_may_add_to_the_description(folder: Path) -> None:
    path = folder / "run.json"
    document = json.loads(path.read_text())
    document["host"]["phase_of_the_moon"] = "full"
    path.write_text(json.dumps({**document, "weather": []}))
    assert results.read_run(folder).description.host.name == "bench"


def test_a_line_that_a_killed_run_left_unfinished_is_passed_over(folder: Path) -> None:
    whole = results.read_run(folder)
    text = (folder / "cells.csv").read_text()
    for cut in range(len(text) - len(text.splitlines()[-1]) - 1, len(text) - 1):
        (folder / "cells.csv").write_text(text[:cut])
        found = results.read_run(folder)
        assert found.trials == whole.trials[:-1]
        assert whole.trials[-1].key not in found.windows


def test_windows_of_an_attempt_that_was_killed_do_not_count(folder: Path) -> None:
    whole = results.read_run(folder)
    lines = (folder / "windows.csv").read_text().splitlines(keepends=True)
    last = len(whole.windows[whole.trials[-1].key])
    # It was killed after four windows, and done again when the run was resumed.
    (folder / "windows.csv").write_text("".join(lines[:-last] + lines[-last:][:4] + lines[-last:]))
    assert results.read_run(folder).windows == whole.windows


@pytest.mark.parametrize("name", ["run.json", "cells.csv", "windows.csv"])
def test_a_file_that_is_missing_is_said(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert said(folder) == (f"{folder / name}: no such file; is {folder} a results folder?")


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in said(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "schema is None; this version reads 1"),
        ('{"schema": 2}', "schema is 2; this version reads 1"),
        ('{"schema": 1}', "started is missing"),
    ],
)
def test_another_description_is_said(folder: Path, text: str, words: str) -> None:
    (folder / "run.json").write_text(text)
    assert words in said(folder)


def test_a_trial_listed_twice_is_refused(folder: Path) -> None:
    row = results.read_run(folder).trials[0].row()
    write(folder / "cells.csv", TRIAL_COLUMNS, iter([row, row]))
    assert "is listed twice" in said(folder)


@ONE_FOLDER
@given(
    st.sampled_from(["run.json", "cells.csv", "windows.csv"]),
    st.integers(0, 3000),
    st.integers(0, 50),
    st.binary(max_size=50),
)
def test_no_damage_ends_in_anything_but_a_line(
    folder: Path, name: str, at: int, length: int, put: bytes
) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + put + whole[at + length :])
    said = "it was harmless"
    try:
        results.read_run(folder)
    except CommandError as refused:
        said = str(refused)
    finally:
        path.write_bytes(whole)
    assert len(said.splitlines()) == 1


def test_windows_have_what_was_written() -> None:
    window = Window(1, "c-epoll", 8, True, 0.5, 0.5, 12.25, None, 0.0)
    assert window.row() == ["1", "c-epoll", "8", "1", "0.5", "0.5", "12.25", "", "0.0"]
