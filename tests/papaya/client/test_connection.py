"""Test the client's connection: which text it shows, and how users may name a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.client.connection import MessageSplitter, escape, split_server


@given(st.binary(max_size=300), st.integers(1, 20))
def test_the_client_shows_no_control_sequences(data: bytes, step: int) -> None:
    splitter = MessageSplitter()
    for at in range(0, len(data), step):
        for message in splitter.feed(data[at : at + step]):
            assert all(c.isprintable() or c == "\t" for c in message.name + message.text)
    assert escape("\x1b[2J") == "\\x1b[2J"


def test_an_endless_line_does_not_fill_the_memory() -> None:
    splitter = MessageSplitter()
    shown = [one for _ in range(100) for one in splitter.feed(b"x" * 65536)]
    assert len(splitter.unfinished) < 1 << 18
    assert sum(len(one.text) for one in shown) + len(splitter.unfinished) == 100 * 65536


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host", ("host", 7722)), ("host:1", ("host", 1)), ("::1", ("::1", 7722)),
        ("[::1]", ("::1", 7722)), ("[::1]:5", ("::1", 5)), (":9", ("localhost", 9)),
    ],
)  # fmt: skip
def test_a_server_is_named_in_every_usual_way(given: str, expected: tuple[str, int]) -> None:
    assert split_server(given) == expected
