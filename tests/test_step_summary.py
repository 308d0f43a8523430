"""The step summary of GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.step_summary import append_step_summary


def test_a_summary_longer_than_github_shows_says_that_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    append_step_summary("é\n" * (1 << 19))
    text = path.read_bytes()
    assert 1_000_000 < len(text) <= 1 << 20
    assert text.decode().startswith("é\né\n")
    assert text.endswith(b"\nCut here: GitHub shows 1 MiB. The log of the step has it all.\n")
