"""Test the escape of a shell; the command's tests open real ones."""

from __future__ import annotations

import pytest

from matrix.terminal import Keys


@pytest.mark.parametrize(
    ("typed", "escaped"),
    [
        (b"~.", True),
        (b"ls\r~.", True),
        (b"ls\n~.", True),
        (b"ls ~.\r", False),
        (b"cd ~\r.", False),
        (b"\r~x.", False),
    ],
)
def test_the_escape_stands_at_the_beginning_of_a_line(typed: bytes, escaped: bool) -> None:
    keys = Keys()
    assert any(keys.has_escape(bytes([key])) for key in typed) is escaped
    # Pasted at once, or in two pieces.
    assert Keys().has_escape(typed) is escaped
    keys = Keys()
    assert (keys.has_escape(typed[:-1]) or keys.has_escape(typed[-1:])) is escaped
