"""Test the report in a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from papaya.experiment.report import output


def test_in_a_file_there_is_no_colour(folder: Path) -> None:
    out = io.StringIO()
    output.draw_in_terminal(folder, out)
    text = out.getvalue()
    assert "\x1b" not in text
    assert "Read and discard: percent of a core by connections" in text
    assert "aa papaya-fork" in text
    assert "go-goroutines uses 0.4" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("colour", [True, False])
def test_in_a_terminal_there_is_colour_unless_it_is_not_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    output.draw_in_terminal(folder, out)
    assert bool(re.search(r"\x1b\[[\d;]*[1-9]", out.getvalue())) == colour
