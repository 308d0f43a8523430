"""Test the boxes of all Debian's releases and processors with a stand-in for mmdebstrap."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from matrix.boxes import debian
from probes.errors import CommandError
from tests.matrix.guest import MODULE, Stage, make_root
from tests.matrix.workplace import Workplace

from .test_cpio import read_entries

NAME = "debian:bookworm:s390x"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(Workplace(tmp_path))


def list_scratch(stage: Stage) -> list[Path]:
    return list(stage.work.scratch.iterdir())


def test_kernel_modules_and_needed_files_are_taken_from_the_root_folder(tmp_path: Path) -> None:
    debian._convert(io.BytesIO(make_root()), tmp_path, debian._LEFT_OUT, {})
    assert (tmp_path / "kernel").read_bytes() == b"kernel"
    assert (tmp_path / "packages").read_text() == "adduser 3\nzlib1g 1:2\n"
    packed = read_entries(gzip.decompress((tmp_path / "initramfs").read_bytes()))
    assert {path: data for path, _, data in packed if data} == {
        "usr/bin/python3": b"python",
        # In the order in which they must be loaded.
        "modules-0-virtio_ring.ko": MODULE % (b"", b"r"),
        "modules-1-virtio_console.ko": MODULE % (b"virtio-ring", b"c"),
    }
    assert {"proc", "sys", "dev", "tmp"} <= {path for path, _, _ in packed}


@pytest.mark.parametrize(
    "path", ["boot/vmlinux-6.1-s390x", "usr/lib/modules/7.2/vmlinuz", "usr/lib/modules/7.2/vmlinux"]
)
def test_the_kernel_is_found_wherever_a_release_has_it(tmp_path: Path, path: str) -> None:
    root = make_root({f"./{path}": b"another"})
    debian._convert(io.BytesIO(root), tmp_path, debian._LEFT_OUT, {})
    assert (tmp_path / "kernel").read_bytes() == b"another"


def test_a_guest_gets_the_box_and_then_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "initramfs").write_bytes(b"12345")
    box = debian.Box(*(str(tmp_path / name) for name in ("kernel", "initramfs", "packages")))
    file = io.BytesIO()
    modules = {"crc": b"c", "ipv6": b"6"}
    debian.extend_initramfs(box, file, debian.make_channel_files(b"the channel", modules))
    assert file.getvalue()[:8] == b"12345\0\0\0"
    added = {path: (mode, data) for path, mode, data in read_entries(file.getvalue()[8:])}
    assert added["channel.py"] == (0o100644, b"the channel")
    assert added["init"][0] == 0o100755
    assert added["uml-modules-0-crc.ko"][1] == b"c"
    assert added["uml-modules-1-ipv6.ko"][1] == b"6"


def test_a_box_is_built_once_and_always_the_same(stage: Stage) -> None:
    done = stage.work("box", NAME, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["kernel"] == str(stage.box / "kernel")
    first = {path.name: path.read_bytes() for path in stage.box.iterdir()}
    assert stage.work("box", NAME).returncode == 0
    assert (stage.programs / "runs").read_text() == "x\n"
    assert stage.work("box", NAME, "--force").returncode == 0
    assert (stage.programs / "runs").read_text() == "x\nx\n"
    assert {path.name: path.read_bytes() for path in stage.box.iterdir()} == first
    assert list_scratch(stage) == []


@pytest.mark.parametrize("name", ["kernel", "initramfs", "packages", "SHA256SUMS"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_box_is_built_again(stage: Stage, name: str, missing: bool) -> None:
    stage.work("box", NAME)
    whole = (stage.box / name).read_bytes()
    if missing:
        (stage.box / name).unlink()
    else:
        (stage.box / name).write_bytes(whole[:-1] + b"?")
    done = stage.work("box", NAME)
    assert done.returncode == 0, done.stderr
    assert "is damaged: building the box again" in done.stderr
    assert (stage.box / name).read_bytes() == whole


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat root.tar; echo 'E: no network' >&2; exit 25", "mmdebstrap: E: no network"),
        ("echo 'E: no such release' >&2; exit 25", "mmdebstrap: E: no such release"),
        ("exit 7", "mmdebstrap: exit status 7"),
        ("head -c 514 root.tar", "mmdebstrap's archive is damaged: unexpected end of data"),
        ("tar -cf - runs", "linux-image-s390x has no kernel"),
    ],
)
def test_a_box_that_cannot_be_built(stage: Stage, script: str, reason: str) -> None:
    stage.make_mmdebstrap(script)
    done = stage.work("box", NAME)
    assert done.returncode == 3
    *_, said = done.stderr.splitlines()
    assert said == f"matrix: debian-bookworm-s390x cannot be built: {reason}"
    assert [path.name for path in stage.cache.iterdir()] == ["debian-bookworm-s390x.lock"]
    assert list_scratch(stage) == []


def test_without_mmdebstrap(stage: Stage) -> None:
    stage.work.environment["PATH"] = str(stage.work.folder)
    done = stage.work("box", NAME)
    assert done.returncode == 3
    assert done.stderr == (
        "matrix: debian-bookworm-s390x cannot be built: mmdebstrap is not installed: "
        "apt-get install mmdebstrap debian-archive-keyring\n"
    )


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "unknown release ''; choose from bookworm, trixie, sid"),
        ("jessie:amd64", "unknown release 'jessie'; choose from bookworm, "),
        ("bookworm", "unknown architecture ''; choose from amd64, "),
        ("bookworm:x86_64", "unknown architecture 'x86_64'; choose from amd64, "),
        ("trixie:i386", "Debian trixie has no kernel for i386; choose from bookworm"),
        (
            "bookworm:armel",
            "no kernel of Debian for armel runs in QEMU; "
            "there is its userland: chroot:debian:bookworm:armel",
        ),
        ("bookworm:armel:rpi", "no kernel of Debian for armel runs in QEMU; "),
        ("bookworm:amd64:../x", "'../x' is not a kernel; "),
        ("bookworm:amd64,gcc,--no", "'--no' is not the name of a Debian package"),
        ("bookworm:amd64,", "'' is not the name of a Debian package"),
    ],
)
def test_an_argument_that_names_nothing(argument: str, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        debian.parse_argument(argument)
    assert str(caught.value).startswith(said)


def test_another_kernel_is_another_box() -> None:
    usual, cloud = map(debian.parse_argument, ("trixie:amd64", "trixie:amd64:cloud-amd64"))
    assert (usual.kernel, usual.name) == ("amd64", "debian-trixie-amd64")
    assert (cloud.kernel, cloud.name) == ("cloud-amd64", "debian-trixie-amd64-cloud-amd64")
    assert "linux-image-cloud-amd64" in " ".join(debian.make_command(cloud))


def test_other_packages_are_another_box_with_what_they_need(tmp_path: Path) -> None:
    one, other = (
        debian.parse_argument(f"bookworm:s390x,{packages}") for packages in ("make,g++", "g++,make")
    )
    assert one == other
    assert one.name.startswith("debian-bookworm-s390x-")
    assert one.name != debian.parse_argument("bookworm:s390x,make").name
    included = next(word for word in debian.make_command(one) if word.startswith("--include="))
    assert {"g++", "make", "python3-minimal", "sed"} <= {*included.split("=")[1].split(",")}
    files = {"./usr/bin/gcc": b"gcc", "./usr/share/doc/x": b"", "./usr/share/perl/x": b"used"}
    debian._convert(io.BytesIO(make_root(files)), tmp_path, *debian._choose_files(one))
    packed = read_entries(gzip.decompress((tmp_path / "initramfs").read_bytes()))
    kept = {path: (mode, data) for path, mode, data in packed}
    # The script of the package gcc, which would make the link, is not run.
    assert kept["usr/bin/cc"] == (0o120777, b"gcc")
    assert kept["usr/share/perl/x"][1] == b"used"
    assert not {"usr/share/doc/x", "usr/bin/c++"} & {*kept}


@pytest.mark.parametrize("architecture", debian.MACHINES)
def test_every_machine_has_a_command(architecture: str) -> None:
    machine = debian.MACHINES[architecture]
    for release in machine.kernels:
        wanted = debian.parse_argument(f"{release}:{architecture}")
        command = debian.make_qemu_command(wanted, debian.Box("K", "I", "P"), "I", False, "a=b")
        assert command[0] == f"qemu-system-{machine.program}"
        assert command[-1].endswith(" a=b")
        assert command[command.index("-accel") + 1] == "tcg"
