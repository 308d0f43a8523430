"""Test that plugins are found by their files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from probes.errors import CommandError
from probes.plugins import list_plugins, load_plugin


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return a package of two plugins and a module that they share."""
    folder = tmp_path / "invented_package"
    folder.mkdir()
    for name in ("__init__", "pear", "apple", "_shared"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(folder.name)
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_a_plugin_is_a_file_without_an_underscore(package: ModuleType) -> None:
    assert list_plugins(package) == ["apple", "pear"]
    (Path(package.__path__[0]) / "fig.py").write_text("")
    assert list_plugins(package) == ["apple", "fig", "pear"]


def test_a_plugin_is_imported_by_its_name(package: ModuleType) -> None:
    assert load_plugin(package, "fruit", "pear").NAME == "pear"


@pytest.mark.parametrize("name", ["_shared", "__init__", "plum", "", "os"])
def test_another_name_is_refused_with_the_names_there_are(package: ModuleType, name: str) -> None:
    with pytest.raises(CommandError) as caught:
        load_plugin(package, "fruit", name)
    assert str(caught.value) == f"no fruit {name!r}: there are apple, pear"
    assert caught.value.status == 2
