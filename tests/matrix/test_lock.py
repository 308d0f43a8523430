"""Test that a lock is held by one process at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from matrix.lock import hold_lock
from tests.matrix.locks import is_held


def test_a_lock_is_held_within_the_block_alone(tmp_path: Path) -> None:
    with hold_lock(str(tmp_path)):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_an_exception_releases_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold_lock(str(tmp_path)):
        raise KeyError
    assert not is_held(tmp_path)


def test_a_file_is_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_lock(str(path), os.O_WRONLY | os.O_CREAT):
        assert is_held(path)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hold_lock(str(tmp_path / "nothing")):
        pass
