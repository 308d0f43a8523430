"""The key's file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from papaya import key
from probes.errors import CommandError
from tests.worlds import needs_root


def test_a_key_is_new_private_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key.create(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key.load(str(path))) == key.LENGTH
    with pytest.raises(CommandError, match="already exists"):
        key.create(str(path))


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_a_key_is_never_readable_by_others(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the mode while the key is written and afterwards, with every umask."""
    path, modes = tmp_path / "key", []
    for name in ("open", "fdopen", "fsync"):
        real = getattr(os, name)

        def seen(*arguments: object, real: Any = real, **more: object) -> object:
            came = real(*arguments, **more)
            modes.append(path.stat().st_mode & 0o777)
            return came

        monkeypatch.setattr(os, name, seen)
    before = os.umask(umask)
    try:
        key.create(str(path))
    finally:
        os.umask(before)
        monkeypatch.undo()
    assert len(modes) == 3
    assert not any(mode & 0o077 for mode in modes)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.load(str(path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    key.create(str(path))
    path.chmod(mode)
    with pytest.raises(CommandError, match="others can read"):
        key.load(str(path))


@pytest.mark.parametrize(
    "text",
    [
        *("", "ab", "g" * 128, "a" * 127, "a" * 129, "a" * 128 + "\n\n"),
        "a" * 128 + "\r\n" + "b" * 128 + "\r\n",
    ],
)
def test_what_is_no_key_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(text.encode())
    path.chmod(0o600)
    with pytest.raises(CommandError, match="hexadecimal"):
        key.load(str(path))


@needs_root
def test_a_key_may_belong_to_the_user_that_papaya_runs_as(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key.create(str(path))
    os.chown(path, 65534, 65534)
    assert key.load(str(path), 65534)
    for owner in (0, 65533):
        with pytest.raises(CommandError, match="belongs to user 65534; chown it"):
            key.load(str(path), owner)
    path.chmod(0o620)
    with pytest.raises(CommandError, match="others can read or write it"):
        key.load(str(path), 65534)
