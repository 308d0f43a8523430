"""Test the archives that are sent to a platform and fetched from it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from matrix import execute
from matrix.execute import pack_files, unpack_files
from probes.errors import CommandError


def archive(*members: tuple[str, bytes, bytes]) -> bytes:
    """Return a tar archive of members: name, type, and content or target."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as made:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o4777
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = content.decode()
            else:
                member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return data.getvalue()


def test_files_and_folders_come_back_as_they_were_packed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    target.mkdir()
    (source / "deep" / "file").write_bytes(bytes(range(256)))
    (source / "tool").write_text("#!/bin/sh\n")
    (source / "tool").chmod(0o755)
    assert unpack_files(pack_files(str(source), True), str(target)) == []
    assert (target / "deep" / "file").read_bytes() == bytes(range(256))
    assert (target / "deep" / "file").stat().st_mode & 0o777 == 0o644
    assert (target / "tool").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", ".."])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(CommandError, match="outside its folder") as caught:
        unpack_files(archive((name, tarfile.REGTYPE, b"bad")), str(folder))
    assert caught.value.status == 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_links_are_left_out_and_never_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("kept")
    members = (
        ("link", tarfile.SYMTYPE, b"../outside"),
        ("link", tarfile.REGTYPE, b"bad"),
        ("hard", tarfile.LNKTYPE, b"link"),
    )
    assert unpack_files(archive(*members), str(folder)) == ["link", "hard"]
    assert outside.read_text() == "kept"
    # Also not a link that an earlier run, or the user, left there.
    (folder / "old").symlink_to(outside)
    unpack_files(archive(("old", tarfile.REGTYPE, b"new")), str(folder))
    assert (outside.read_text(), (folder / "old").read_text()) == ("kept", "new")


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "MOST_BYTES", 1 << 20)
    (tmp_path / "large").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(CommandError, match="more than 1 MiB; send another folder"):
        pack_files(str(tmp_path), True)
