"""Test the cache of boxes: a box is whole or not there, and built by one process at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from matrix.boxes._cache import build_folder, lock_cache, read_recipe, replace_folder
from matrix.errors import Unavailable
from tests.matrix.locks import is_held


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATRIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(name: str, recipe: str, content: str) -> None:
    with lock_cache(name), replace_folder(name, recipe) as folder:
        Path(folder, "image").write_text(content)


def test_a_box_replaces_the_one_before(cache: Path) -> None:
    build("box", "first", "old")
    build("box", "second", "new")
    assert (cache / "box" / "image").read_text() == "new"
    assert read_recipe(str(cache / "box")) == "second"
    assert (cache / "box").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in cache.iterdir()) == ["box", "box.lock"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("no space"), "box cannot be built: no space"),
        (subprocess.CalledProcessError(2, ["make", "all"], "one\nlast\n"), "built: make: last"),
        (subprocess.CalledProcessError(2, "make all", ""), "built: make all: exit status 2"),
    ],
)
def test_a_build_that_fails_leaves_the_box_as_it_was(
    cache: Path, error: Exception, said: str
) -> None:
    build("box", "first", "old")
    with pytest.raises(Unavailable, match=said), lock_cache("box"), replace_folder("box", "second"):
        raise error
    assert (cache / "box" / "image").read_text() == "old"
    assert read_recipe(str(cache / "box")) == "first"
    assert sorted(path.name for path in cache.iterdir()) == ["box", "box.lock"]


def test_a_folder_is_filled_once_for_each_recipe(cache: Path) -> None:
    asked: list[str] = []
    filled: list[str] = []
    said: list[str] = []

    def build_image(recipe: str, force: bool = False, files: Sequence[str] = ("image",)) -> str:
        """Return the content of the folder's file."""

        def explain_lack() -> str:
            asked.append(recipe)
            return ""

        def fill(folder: str) -> None:
            filled.append(recipe)
            Path(folder, "image").write_text(f"{recipe} {len(filled)}")

        path = build_folder("box", recipe, explain_lack, fill, said.append, force, files)
        assert path == str(cache / "box")
        return Path(path, "image").read_text()

    assert build_image("first") == "first 1"
    assert build_image("first") == "first 1"
    assert build_image("first", force=True) == "first 2"
    assert build_image("second") == "second 3"
    assert said == []
    (cache / "box" / "image").write_text("damaged")
    assert build_image("second", files=()) == "damaged"
    assert build_image("second") == "second 4"
    (cache / "box" / "SHA256SUMS").unlink()
    assert build_image("second") == "second 5"
    assert said == [f"{cache}/box is damaged: building the box again"] * 2
    # What the host lacks is asked once for each build, and not for what is in the cache.
    assert asked == filled
    assert sorted(path.name for path in cache.iterdir()) == ["box", "box.lock"]


def test_a_folder_that_the_host_cannot_build(cache: Path) -> None:
    def fill(folder: str) -> None:
        raise AssertionError("it was begun")

    with pytest.raises(Unavailable, match=r"^box cannot be built: make is not installed$"):
        build_folder("box", "first", lambda: "make is not installed", fill, print)
    assert [path.name for path in cache.iterdir()] == ["box.lock"]


def test_what_a_killed_builder_left_is_removed(cache: Path) -> None:
    (cache / ".box-left").mkdir(parents=True)
    (cache / ".other-left").mkdir()
    build("box", "first", "new")
    assert not (cache / ".box-left").exists()
    assert (cache / ".other-left").exists()


def test_a_box_is_locked_during_the_block_alone(cache: Path) -> None:
    with lock_cache("box"):
        assert is_held(cache / "box.lock")
    assert not is_held(cache / "box.lock")


def test_a_cache_that_is_no_folder_says_what_to_do(cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(Unavailable, match="name a folder in MATRIX_CACHE"), lock_cache("box"):
        pass


def test_a_folder_that_no_recipe_built_has_none(tmp_path: Path) -> None:
    assert read_recipe(str(tmp_path)) == ""
