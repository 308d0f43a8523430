"""Test that text is made fit for one line of a terminal."""

from __future__ import annotations

import pytest

from probes.text import make_printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("flock(2)", "flock(2)"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202ereversed", "\\u202ereversed"),
        ("\udc80", "\\udc80"),
        ("größer 日本", "größer 日本"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    assert make_printable(text) == shown
