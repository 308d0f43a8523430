"""Test that docstrings are read from the source, which python -OO drops from the code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from probes.source import read_docstring

SOURCE = """
import functools

def asked():
    '''Is it so?'''

@functools.lru_cache(
    maxsize=1
)
@functools.wraps(asked)
def decorated():
    '''Is it
    decorated?
    '''

def not_asked():
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "invented_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("invented_module")
    del sys.modules["invented_module"]


def test_a_docstring_is_found_by_name_and_line(module: ModuleType) -> None:
    assert read_docstring(module.asked) == "Is it so?"
    assert read_docstring(module.not_asked) == ""


def test_the_docstring_below_a_decorator_is_found(module: ModuleType) -> None:
    assert read_docstring(module.decorated.__wrapped__) == "Is it\ndecorated?"


def test_a_function_without_a_source_has_none() -> None:
    made: dict[str, object] = {}
    exec("def asked():\n    'Is it so?'\n", made)
    assert read_docstring(made["asked"]) == ""  # type: ignore[arg-type]
