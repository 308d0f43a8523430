"""Test where Debian's packages come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.boxes import _mirror


@pytest.mark.parametrize(
    ("name", "text", "url"),
    [
        (
            "sources.list",
            "# deb http://old/\ndeb http://one/debian bookworm main\n",
            "http://one/debian",
        ),
        ("sources.list", "deb [signed-by=/a/b] https://two/d bookworm main\n", "https://two/d"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://three/d\n", "http://three/d"),
        ("sources.list", "deb-src http://four/ x main\n", ""),
    ],
)
def test_the_archive_of_the_hosts_own_apt(tmp_path: Path, name: str, text: str, url: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert _mirror._find_hosts_archive(str(tmp_path)) == url


@pytest.mark.parametrize("proxy", [False, True])
def test_a_mirror_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: bool
) -> None:
    """Where apt has a proxy of its own, that one may be able to."""
    said = "Acquire::http::Proxy=http://proxy:3142" if proxy else "Acquire::http::Proxy="
    program = tmp_path / "apt-config"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MATRIX_MIRROR", "http://127.0.0.1:1/debian")
    wanted = (
        "127.0.0.1 cannot be reached (Connection refused); "
        "for another mirror: export MATRIX_MIRROR=URL"
    )
    assert _mirror.explain_lack() == ("" if proxy else wanted)
