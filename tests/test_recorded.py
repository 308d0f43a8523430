"""Which recorded report is the baseline of a platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probes.errors import ReportError
from probes.fact import (
    Platform,
)
from probes.recorded import find_baseline, find_kind
from tests.gated import HERE, one

DEBIAN = replace(HERE, distribution="Debian GNU/Linux 12", python="CPython 3.11.2")
FREEBSD = Platform("FreeBSD", "14.1-RELEASE", "amd64", "freebsd", "14.1", 64)


@pytest.mark.parametrize(
    ("platform", "other"),
    [
        (DEBIAN, {"release": "6.12.9", "version": "#2"}),  # A distribution on another kernel.
        (DEBIAN, {"libc_version": "2.37"}),
        (DEBIAN, {"python": "CPython 3.9.1", "compiler": "clang", "root": True}),
        (DEBIAN, {"container": "docker", "hypervisor": "kvm", "scratch_filesystem": "zfs"}),
        (DEBIAN, {"machine": "amd64"}),
        (DEBIAN, {"probes_hash": "ab", "sysctls": {"a": "1"}, "interfaces": {"lo": []}}),
        (replace(DEBIAN, pointer_bits=32, machine="i686"), {"machine": "i386"}),
        (FREEBSD, {"release": "14.3-RELEASE-p1"}),
    ],
)
def test_what_a_platform_is_whatever_its_patches(platform: Platform, other: dict[str, Any]) -> None:
    assert find_kind(platform) == find_kind(replace(platform, **other))


@pytest.mark.parametrize(
    ("platform", "other"),
    [
        (DEBIAN, {"distribution": "Debian GNU/Linux 13"}),
        (DEBIAN, {"distribution": ""}),
        (DEBIAN, {"libc": "musl"}),
        (DEBIAN, {"pointer_bits": 32}),
        (DEBIAN, {"machine": "aarch64"}),
        (DEBIAN, {"hypervisor": "gvisor"}),
        (DEBIAN, {"hypervisor": "qemu-user"}),
        (DEBIAN, {"hypervisor": "User-mode Linux"}),
        (replace(DEBIAN, pointer_bits=32), {"emulated_32_bit": True}),
        (FREEBSD, {"system": "NetBSD"}),
        (FREEBSD, {"release": "15.0-RELEASE"}),
        (FREEBSD, {"release": "140.1"}),
    ],
)
def test_what_another_platform_is(platform: Platform, other: dict[str, Any]) -> None:
    assert find_kind(platform) != find_kind(replace(platform, **other))


def recorded(folder: Path, name: str, **other: Any) -> str:
    """Write a baseline of Debian, with another environment if one is given."""
    path = folder / f"{name}.json"
    replace(one(True), environment=replace(DEBIAN, **other)).save(path)
    return str(path)


def test_a_cell_is_found_by_its_name(tmp_path: Path) -> None:
    recorded(tmp_path, "b")
    path = recorded(tmp_path, "a.1", system="Plan9")
    (tmp_path / "a.1.allowed.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    assert find_baseline("a.1", str(tmp_path), DEBIAN) == path
    for name in ("c", "a.1.allowed", "notes", "a.1.json", ""):
        with pytest.raises(ReportError, match=r"there are a\.1, b$"):
            find_baseline(name, str(tmp_path), DEBIAN)
    with pytest.raises(ReportError, match="No such file or directory; name a folder of reports"):
        find_baseline("b", str(tmp_path / "nowhere"), DEBIAN)


def test_of_several_the_one_with_this_python_is_it(tmp_path: Path) -> None:
    def found() -> str:
        return Path(find_baseline("auto", str(tmp_path), DEBIAN)).stem

    recorded(tmp_path, "a", libc="musl", python=DEBIAN.python)
    (tmp_path / "a.allowed.json").write_text("{}")
    with pytest.raises(ReportError, match=r"no baseline of this platform, Debian.*there are a; "):
        found()
    recorded(tmp_path, "d", python="CPython 3.13.0")
    assert found() == "d"
    recorded(tmp_path, "c", python="CPython 3.9.18")
    assert found() == "c"  # Neither is of this Python: the first by its name.
    recorded(tmp_path, "z", python="CPython 3.11.7")
    assert found() == "z"  # The same minor version.
    recorded(tmp_path, "y", python="CPython 3.1.2")
    assert found() == "z"
    recorded(tmp_path, "zz", python=DEBIAN.python)
    assert found() == "zz"  # The very same.


def test_the_users_own_baseline_comes_before_the_labs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the lab's fits better: it was measured on another machine."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder in (shipped, own):
        folder.mkdir()
    recorded(shipped, "a", python=DEBIAN.python)
    recorded(own, "b", python="CPython 3.11.7")
    monkeypatch.setattr("probes.recorded.SHIPPED", str(shipped))
    monkeypatch.setattr("probes.recorded.find_own_folder", lambda: str(own))
    assert find_baseline("auto", "", DEBIAN) == str(own / "b.json")


def test_of_several_the_one_on_this_series_of_kernels_is_it(tmp_path: Path) -> None:
    for name, release in (("a", "6.18.4"), ("b", "6.1.0-50-amd64"), ("c", "6.12.1")):
        recorded(tmp_path, name, release=release)
    here = replace(DEBIAN, release="6.1.0-44-amd64")
    assert find_baseline("auto", str(tmp_path), here) == str(tmp_path / "b.json")
