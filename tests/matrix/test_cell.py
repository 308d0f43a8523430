"""Cells: whose definition counts, where their baselines are, and what is refused."""

from __future__ import annotations

import platform as host
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from matrix import providers
from matrix.cell import BASELINES, Cell, choose_cells, load_cells, name_baseline
from probes.environment import describe
from probes.errors import CommandError
from probes.fact import Platform

DEBIAN = Platform(
    "Linux", "6.1.0", "x86_64", "glibc", "2.36", 64, distribution="Debian GNU/Linux 12",
    python="CPython 3.11.2",
)  # fmt: skip
FREEBSD = Platform("FreeBSD", "14.3-RELEASE", "amd64", "freebsd", "14.3", 64, python="PyPy 3.10.1")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "cells.toml"


def test_the_users_cells_win_over_ours(mine: Path) -> None:
    ours = load_cells()
    mine.write_text(
        '[cell.freebsd]\nways = ["ssh:me@box"]\n'
        '[cell.mybox]\ntitle = "My box"\nways = ["ssh:mybox", "here:/opt/python"]\nbits = 32\n'
    )
    found = load_cells(str(mine))
    # The whole cell is the user's: nothing of ours is left in it.
    assert found["freebsd"] == Cell("freebsd", (("ssh", "me@box"),), title="freebsd")
    assert ours["freebsd"] != found["freebsd"]
    assert found["mybox"] == Cell(
        "mybox", (("ssh", "mybox"), ("here", "/opt/python")), title="My box", bits=32
    )
    assert {n: c for n, c in found.items() if n not in ("freebsd", "mybox")} == {
        name: cell for name, cell in ours.items() if name != "freebsd"
    }
    assert list(found) == [*ours, "mybox"]


def test_baselines_are_in_the_users_folder_for_all(mine: Path) -> None:
    mine.write_text('[cell.mybox]\nways = ["here"]\n')
    for folder in (None, "/mine"):
        found = load_cells(str(mine), folder)
        assert {cell.baselines for cell in found.values()} == {folder or BASELINES}
    assert load_cells(str(mine), "/mine")["mybox"].baseline == "/mine/mybox.json"
    assert Path(load_cells()["musl"].baseline) == Path(BASELINES) / "musl.json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cell.x]\n", "cell x has no ways"),
        ('[cell.x]\nways = "here"\n', "has no ways"),
        ("[cell.x]\nways = [1]\n", "has no ways"),
        ("cell = 3\n", "cell is a number; a cell is written: .cell.NAME. and below it ways = "),
        ("cell = [3]\n", "cell is a list; a cell is written: "),
        ("[[cell]]\nways = 3\n", "cell is a list; a cell is written: "),
        ("[cell]\nx = 1\n", "cell x is a number; a cell is written: "),
        ("[cell]\nx = 1979-05-27\n", "cell x is a time; a cell is written: "),
        ('[cell.x]\nways = ["here"]\nbits = "32"\n', "bits is a string, and must be a number"),
        ('[cell.x]\nways = ["here"]\nbits = true\n', "bits is true or false, and must be a num"),
        ('[cell.x]\nways = ["here"]\nbits = 31\n', "bits is 31, and must be 32 or 64"),
        ('[cell.x]\nways = ["here"]\nkernel_bits = 0\n', "kernel_bits is 0, and must be 32 or 64"),
        ('[cell.x]\nways = ["here"]\npython = "new"\n', "python is 'new', and must be one such as"),
        ('[cell.x]\nways = ["here"]\ntitle = 3\n', "title is a number, and must be a string"),
        ('[cell.x]\nways = ["here"]\nname = "x"\n', "unknown entry name; there are ways, title"),
        (
            '[cell.x]\nways = ["ssh"]\n',
            'cell x: the provider ssh needs a host that .*: "ssh:me@box"',
        ),
        ('[cell.x]\nways = ["ssh: "]\n', "the provider ssh needs a host"),
        (
            '[cell.x]\nways = ["here", "vagrant"]\n',
            "the provider vagrant needs a machine of the Vag",
        ),
        ('[cell.x]\nways = ["chroot:"]\n', "the provider chroot needs debian32, "),
        ('[cell.x]\nways = ["qemu"]\n', "the provider qemu needs a guest"),
        ('[cell.python3.14]\nways = ["here"]\n', '.cell."python3.14".'),
        ("x = " + "[" * 3000, "nested too deeply|not TOML"),
        ('[cell.".x"]\nways = ["here"]\n', "names files"),
        ('[cell."x y"]\nways = ["here"]\n', "names files"),
        ('[cells.x]\nways = ["here"]\n', "unknown entry cells; a cell is written: .cell.NAME."),
        ('[cell.x]\nways = ["here", "moon:a"]\n', "no provider 'moon'; there are "),
        ("[cell.x", "Expected"),
    ],
)
def test_what_is_no_cell(mine: Path, text: str, said: str) -> None:
    mine.write_text(text)
    with pytest.raises(CommandError, match=said) as raised:
        load_cells(str(mine))
    assert str(raised.value).startswith(f"{mine}: ")


def test_a_cell_that_replaces_a_built_in_one_is_said(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(
        '[cell.here]\nways = ["ssh:box"]\n[cell."python3.9"]\nways = ["here"]\n'
        '[cell.mybox]\nways = ["here"]\n'
    )
    load_cells(str(mine))
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f'matrix: {mine}: [cell."python3.9"] replaces the built-in cell',
        f"matrix: {mine}: [cell.here] replaces the built-in cell",
    ]
    load_cells()
    assert capsys.readouterr().err == ""


def test_baselines_that_are_no_folder(mine: Path) -> None:
    mine.touch()
    with pytest.raises(CommandError, match="not a folder of baselines; name one in --baselines"):
        load_cells(None, str(mine))


def test_an_argument_for_a_provider_that_takes_none(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.load_provider("musl"), "argument_is", "")
    mine.write_text('[cell.x]\nways = ["musl:i386"]\n')
    with pytest.raises(CommandError, match='the provider musl takes no argument; write: "musl"'):
        load_cells(str(mine))


def test_every_way_says_what_its_argument_is() -> None:
    for name in providers.list_providers():
        way = providers.load_provider(name)
        assert way.argument_is == "" or f'"{name}:' in way.argument_is


@pytest.mark.parametrize("name", ["a", "a-b", "a_b", "a.b", "a.", "-a", "7"])
def test_names_that_name_files(mine: Path, name: str) -> None:
    mine.write_text(f'[cell."{name}"]\nways = ["here"]\n')
    assert name in load_cells(str(mine))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"{tmp_path}/none: No such file or directory"):
        load_cells(f"{tmp_path}/none")


def test_those_asked_for_each_once() -> None:
    ours = load_cells()
    assert [cell.name for cell in choose_cells(ours, ["musl", "here", "musl"])] == ["musl", "here"]
    with pytest.raises(CommandError, match="no cell 'moon': there are here, python-oldest, "):
        choose_cells(ours, ["musl", "moon"])


@pytest.mark.parametrize(
    ("system", "release", "machine", "distribution", "name"),
    [
        ("Linux", "6.1", "x86_64", {"ID": "debian", "VERSION_ID": "12"}, "debian12-amd64"),
        ("Linux", "6.1", "aarch64", {"ID": "ubuntu", "VERSION_ID": "24.04"}, "ubuntu2404-arm64"),
        ("Linux", "6.1", "riscv64", {"ID": "arch"}, "arch-riscv64"),
        ("Linux", "6.1", "amd64", None, "linux-amd64"),
        ("FreeBSD", "14.3-RELEASE", "amd64", None, "freebsd14-amd64"),
        ("Darwin", "23.1.0", "arm64", None, "darwin23-arm64"),
    ],
)
def test_what_this_host_is_name_baseline(
    monkeypatch: pytest.MonkeyPatch, system: str, release: str, machine: str,
    distribution: dict[str, str] | None, name: str,
) -> None:  # fmt: skip
    def told() -> dict[str, str]:
        if distribution is None:
            raise OSError
        return distribution

    for asked, answer in (("system", system), ("release", release), ("machine", machine)):
        monkeypatch.setattr(host, asked, lambda answer=answer: answer)
    monkeypatch.setattr(host, "freedesktop_os_release", told)
    monkeypatch.setattr(struct, "calcsize", lambda code: 8)
    assert name_baseline("here") == name
    assert name_baseline("musl") == "musl"
    assert Cell("here", (("here", ""),), baselines="/b").baseline == f"/b/{name}.json"


def test_a_32_bit_python_is_not_recorded_as_its_64_bit_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "machine", lambda: "x86_64")
    monkeypatch.setattr(struct, "calcsize", lambda code: 4)
    assert name_baseline("here").endswith("-i386")


def test_the_oldest_python_has_the_baseline_of_its_version(tmp_path: Path) -> None:
    oldest = Cell("python-oldest", (("here", "oldest"),), baselines=str(tmp_path))
    assert oldest.find_baseline(DEBIAN) == str(tmp_path / "python3.11.json")
    assert oldest.find_baseline(FREEBSD) == str(tmp_path / "python3.10.json")
    other = replace(oldest, ways=(("here", "python3.9"),))
    assert other.find_baseline(DEBIAN) == other.baseline
    Path(oldest.baseline).touch()
    assert oldest.find_baseline(DEBIAN) == oldest.baseline == str(tmp_path / "python-oldest.json")


@pytest.mark.parametrize(
    ("ways", "here"),
    [
        ((("here", ""),), True),
        ((("here", "python3.9"), ("here", "oldest")), True),
        ((("here", "/opt/python"),), False),
        ((("here", ""), ("ssh", "box")), False),
        ((("chroot", "debian32"),), False),
    ],
)
def test_what_is_this_host(ways: tuple[tuple[str, str], ...], here: bool) -> None:
    assert Cell("x", ways).is_here == here


THERE = (("ssh", "box"),)


@pytest.mark.parametrize(
    ("told", "platform", "said"),
    [
        ({}, DEBIAN, ""),
        ({}, FREEBSD, ""),
        ({"platform": "linux"}, FREEBSD, "it is not linux"),
        ({"platform": "linux"}, replace(DEBIAN, libc="musl"), "its C library is musl"),
        ({"platform": "linux-musl"}, replace(DEBIAN, libc="musl"), ""),
        ({"platform": "linux"}, replace(DEBIAN, hypervisor="gvisor"), "its kernel is gVisor"),
        ({"platform": "gvisor"}, replace(DEBIAN, hypervisor="gvisor"), ""),
        ({"platform": "linux"}, replace(DEBIAN, hypervisor="qemu-user"),
         "qemu-user emulates its processor"),
        ({"platform": "qemu-user"}, replace(DEBIAN, hypervisor="qemu-user"), ""),
        ({"platform": "qemu-user"}, DEBIAN, "it is not qemu-user"),
        ({"platform": "linux"}, replace(DEBIAN, hypervisor="User-mode Linux"), ""),
        ({"platform": "freebsd"}, FREEBSD, ""),
        ({"release": "FreeBSD 14"}, FREEBSD, ""),
        ({"release": "FreeBSD 1"}, FREEBSD, "its release is not FreeBSD 1"),
        ({"release": "Debian"}, DEBIAN, ""),
        ({"release": "Linux 6.1.0"}, DEBIAN, "its release is not Linux 6.1.0"),
        ({"bits": 64}, DEBIAN, ""),
        ({"bits": 32}, DEBIAN, "its programs have 64 bits"),
        ({"kernel_bits": 64}, DEBIAN, ""),
        ({"kernel_bits": 32}, DEBIAN, "its kernel has 64 bits"),
        ({"bits": 32, "kernel_bits": 64},
         replace(DEBIAN, pointer_bits=32, emulated_32_bit=True), ""),
        ({"bits": 32, "kernel_bits": 64}, replace(DEBIAN, pointer_bits=32),
         "its kernel has 32 bits"),
        ({"python": "3.11"}, DEBIAN, ""),
        ({"python": "3.1"}, DEBIAN, "its Python is CPython 3.11.2"),
        ({"python": "3.10"}, FREEBSD, ""),
    ],
)  # fmt: skip
def test_whether_a_report_is_of_it(told: dict[str, object], platform: Platform, said: str) -> None:
    cell = replace(Cell("x", THERE, title="box"), **told)  # type: ignore[arg-type]
    assert cell.explain_mismatch(platform) == (
        f"{platform}, which is not box: {said}" if said else ""
    )


def test_a_cell_that_is_here_is_of_this_host() -> None:
    here = describe("")
    cell = Cell("x", (("here", ""),), title="this host")
    assert cell.explain_mismatch(replace(here, python="CPython 3.0.1", container="docker")) == ""
    other = replace(here, libc="another")
    assert cell.explain_mismatch(other).endswith("which is not this host: it is not this host")
    assert replace(cell, ways=THERE).explain_mismatch(other) == ""


DEBIAN12, UBUNTU = "Debian GNU/Linux 12 (bookworm)", "Ubuntu 24.04.3 LTS"
LINUX = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64, python="CPython 3.11.2")
I386 = replace(LINUX, distribution=DEBIAN12, machine="i686", pointer_bits=32)
PATCHED = Platform("FreeBSD", "14.3-RELEASE-p1", "amd64", "freebsd", "14.3", 64)


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("debian32", I386, replace(I386, emulated_32_bit=True), "its kernel has 64 bits"),
        ("debian32-userland", replace(I386, emulated_32_bit=True), I386, "kernel has 32 bits"),
        ("debian32", I386, replace(I386, pointer_bits=64), "its programs have 64 bits"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU), replace(LINUX, distribution=DEBIAN12),
         "its release is not Ubuntu 24.04"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU),
         replace(LINUX, distribution=UBUNTU, hypervisor="gvisor"), "its kernel is gVisor"),
        ("gvisor", replace(LINUX, hypervisor="gvisor"), LINUX, "it is not gvisor"),
        ("musl", replace(LINUX, libc="musl"), LINUX, "it is not linux-musl"),
        ("ubuntu", replace(LINUX, distribution=UBUNTU),
         replace(LINUX, distribution=UBUNTU, libc="musl"), "its C library is musl"),
        ("freebsd", PATCHED, replace(PATCHED, release="13.4-RELEASE"), "not FreeBSD 14"),
        ("freebsd15", replace(PATCHED, release="15.0-RELEASE"), PATCHED, "not FreeBSD 15"),
        ("freebsd", PATCHED, replace(PATCHED, release="140.1"), "not FreeBSD 14"),
        ("python3.9", replace(describe(""), python="CPython 3.9.18"),
         replace(describe(""), python="CPython 3.10.1"), "its Python is CPython 3.10.1"),
        ("here", describe(""), PATCHED, "it is not this host"),
    ],
)  # fmt: skip
def test_a_report_of_another_platform(
    name: str, right: Platform, wrong: Platform, said: str
) -> None:
    cell = load_cells()[name]
    assert cell.explain_mismatch(right) == ""
    assert said in cell.explain_mismatch(wrong)
