"""Test root folders of all Debian's releases and processors with a stand-in for mmdebstrap."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from matrix.boxes import _userland, debian
from matrix.errors import Unavailable
from probes.errors import CommandError
from tests.matrix.guest import Stage, make_root
from tests.matrix.workplace import Workplace

OWN = "bookworm:amd64"
FOREIGN = "bookworm:s390x"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(Workplace(tmp_path))
    for name, value in stage.work.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return stage


def test_the_files_that_are_needed_are_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO(make_root())
    with tarfile.open(fileobj=file, mode="a") as tar:
        for name, kind, target in (
            ("./bin", tarfile.SYMTYPE, "usr/bin"),
            ("./etc/localtime", tarfile.SYMTYPE, "/usr/share/zoneinfo/Etc/UTC"),
            ("./dev/null", tarfile.CHRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    file.seek(0)
    debian.unpack(debian.parse_argument(OWN), file, tmp_path)
    assert (tmp_path / "bin" / "python3").read_bytes() == b"python"
    assert (tmp_path / "etc" / "localtime").readlink() == Path("/usr/share/zoneinfo/Etc/UTC")
    assert "root:" in (tmp_path / "etc" / "passwd").read_text()
    # The provider mounts the host's there.
    assert list((tmp_path / "dev").iterdir()) == []
    assert not (tmp_path / "boot" / "vmlinuz-6.1").exists()
    assert not (tmp_path / "usr" / "share" / "doc").exists()


def test_a_folder_is_built_once(stage: Stage) -> None:
    assert not _userland.is_built(OWN)
    folder = _userland.build(print, OWN)
    assert Path(folder, "usr", "bin", "python3").read_bytes() == b"python"
    assert _userland.is_built(OWN)
    assert not _userland.is_built(FOREIGN)
    assert _userland.build(print, OWN) == folder
    assert (stage.programs / "runs").read_text() == "x\n"


@pytest.mark.parametrize("argument", ["bookworm:armel", "trixie:i386"])
def test_no_kernel_is_needed(stage: Stage, argument: str) -> None:
    with pytest.raises(CommandError):
        debian.parse_argument(argument)
    folder = _userland.build(print, argument)
    assert Path(folder).name == f"debian-{argument.replace(':', '-')}-root"
    assert _userland.is_built(argument)
    assert "linux-image" not in " ".join(debian.make_command(_userland._parse_argument(argument)))


def test_a_kernel_is_not_taken() -> None:
    with pytest.raises(CommandError, match="a userland has no kernel; write sid:amd64"):
        _userland.explain_lack("sid:amd64:cloud-amd64")


def test_a_folder_that_cannot_be_built(stage: Stage) -> None:
    stage.make_mmdebstrap("cat root.tar; echo 'E: no network' >&2; exit 25")
    with pytest.raises(Unavailable, match="-root cannot be built: mmdebstrap: E: no network"):
        _userland.build(print, OWN)
    assert not _userland.is_built(OWN)
    assert [path.name for path in stage.cache.iterdir()] == ["debian-bookworm-amd64-root.lock"]


def make_program(stage: Stage, name: str, script: str = "exit 1") -> None:
    path = stage.programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_another_processors_programs_lack(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line names the command that mends it, and then the next thing is missing."""
    binfmt = tmp_path / "binfmt_misc"
    monkeypatch.setattr(_userland, "_BINFMT", str(binfmt))
    # Debian's qemu-user-static may be installed here.
    monkeypatch.setenv("PATH", str(stage.programs))
    assert _userland.explain_lack(OWN) == ""
    assert _userland.explain_lack(FOREIGN) == (
        "arch-test is not installed: apt-get install arch-test"
    )
    make_program(stage, "arch-test")
    assert _userland.explain_lack(FOREIGN) == (
        "qemu-s390x-static is not installed: apt-get install qemu-user-static binfmt-support"
    )
    make_program(stage, "qemu-s390x-static")
    assert _userland.explain_lack(FOREIGN) == (
        f"binfmt_misc is not mounted; as root: mount -t binfmt_misc binfmt_misc {binfmt} "
        "&& update-binfmts --enable"
    )
    binfmt.mkdir()
    (binfmt / "status").touch()
    assert _userland.explain_lack(FOREIGN) == (
        "qemu-s390x is not registered for programs of s390x; "
        "as root: update-binfmts --enable qemu-s390x"
    )
    assert not _userland.is_emulated(FOREIGN)
    (binfmt / "qemu-s390x").touch()
    make_program(stage, "arch-test", "exit 0")
    assert _userland.explain_lack(FOREIGN) == ""
    assert _userland.is_emulated(FOREIGN)


def test_without_mmdebstrap(stage: Stage) -> None:
    os.unlink(stage.programs / "mmdebstrap")
    os.environ["PATH"] = str(stage.programs)
    assert "mmdebstrap is not installed" in _userland.explain_lack(OWN)


def test_qemus_names_of_processors_are_those_of_its_programs_for_users() -> None:
    names = {
        _userland._name_emulator(_userland._parse_argument(f"sid:{name}"))
        for name in debian.MACHINES
    }
    assert names == {
        *("x86_64", "aarch64", "arm", "i386", "mips64el", "mipsel", "ppc64le", "riscv64", "s390x")
    }
