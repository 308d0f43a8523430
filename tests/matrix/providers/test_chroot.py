"""Test userlands on this kernel: real ones, native and emulated, if they can be entered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from matrix.boxes import _userland
from matrix.errors import Unavailable
from matrix.providers.chroot import Chroot
from probes import Report
from tests.matrix.guest import Stage
from tests.matrix.workplace import Workplace
from tests.worlds import needs_linux

pytestmark = needs_linux


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("debian64", "unknown userland 'debian64'; write debian32, "),
        ("debian:", "unknown userland 'debian:'; write debian32, "),
        ("debian:jessie:amd64", "unknown release 'jessie'; choose from bookworm"),
        ("debian:sid:x86_64", "unknown architecture 'x86_64'; choose from amd64"),
        ("/does/not/exist", "/does/not/exist: not a folder"),
    ],
)
def test_an_argument_that_names_nothing(
    argument: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Chroot(argument, str(tmp_path), print).explain_lack().startswith(said)


def test_what_a_build_lacks_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Workplace(tmp_path))
    for name, value in stage.work.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    asked = []

    def explain_lack() -> str:
        asked.append("bookworm")
        return ""

    monkeypatch.setattr("matrix.boxes.debian.explain_lack", explain_lack)
    # The stand-in for Python in the folder is not a program.
    with pytest.raises(Unavailable, match="its /usr/bin/python3 does not run"):
        Chroot("debian:bookworm:amd64", str(tmp_path), lambda line: None).up()
    assert asked == ["bookworm"]


def measure(argument: str, tmp_path: Path) -> Report:
    """Measure a userland of the cache; without it only if nothing may be skipped."""
    if not _userland.is_built(argument) and not os.environ.get("REQUIRE_ALL"):
        pytest.skip(f"it is not in the cache: python3 -m matrix run with chroot:debian:{argument}")
    if lack := Chroot(f"debian:{argument}", str(tmp_path), print).explain_lack():
        pytest.skip(lack)
    work = Workplace(tmp_path)
    work.cell("box", f"chroot:debian:{argument}")
    done = work.run("box", "--no-selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    report = Report.load(work.results("box") / "report.json")
    emulated = "compared with nothing" in done.stdout
    assert ("to record one" in done.stdout) is not emulated
    assert emulated is (report.environment.hypervisor == "qemu-user")
    return report


def test_another_release_is_an_ordinary_userland(tmp_path: Path) -> None:
    report = measure("trixie:amd64", tmp_path)
    assert report.environment.distribution.startswith("Debian GNU/Linux 13")
    assert report.environment.libc_version == "2.41"
    assert report.environment.release == os.uname().release
    assert report.environment.hypervisor != "qemu-user"


def test_another_processors_userland_is_marked_as_emulated(tmp_path: Path) -> None:
    report = measure("bookworm:arm64", tmp_path)
    assert report.environment.machine == "aarch64"
    assert report.environment.hypervisor == "qemu-user"
    assert report["abi.char_signed"].value is False
    # Its words lie where only the kernel's own answer has them.
    assert report["sockets.backlog_clamp"].status == "blocked"
