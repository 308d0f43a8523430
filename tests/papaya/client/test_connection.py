"""Test the client's connection: which text it shows, and how users may name a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.client.connection import (
    HistoryFilter,
    MessageSplitter,
    load_account,
    parse_message,
    split_server,
)
from papaya.client.text import is_safe
from probes.errors import CommandError


@given(st.binary(max_size=300), st.integers(1, 20))
def test_the_client_shows_no_control_sequences(data: bytes, step: int) -> None:
    splitter = MessageSplitter()
    for at in range(0, len(data), step):
        for message in splitter.feed(data[at : at + step]):
            assert all(is_safe(c) or c == "\t" for c in message.name + message.text)


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


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("bob: hi", "bob"), ("b c: hi", "b c"), ("bob hi", ""), (": hi", ""), ("bob:\u00a0hi", ""),
        ("\u200b\u3000: hi", ""), ("\u3164: hi", ""), ("x" * 64 + ": hi", "x" * 64),
        ("x" * 65 + ": hi", ""), ("x" * 5000 + ": hi", ""), ("\x9b" * 17 + ": hi", ""),
        ("* bob: hi", ""),
    ],
)  # fmt: skip
def test_a_name_is_short_and_visible(line: str, name: str) -> None:
    message = parse_message(line.encode())
    assert message.name == name
    assert message.text.endswith("hi")
    assert "x" * 5000 in message.text or len(line) < 5000


@pytest.mark.parametrize("name", ["\u200b", "\u3000", "x" * 65, "é" * 5000, ":"])
def test_nobody_chooses_a_name_that_others_do_not_see(name: str) -> None:
    with pytest.raises(CommandError, match=r"--name: .*; choose"):
        load_account("host", "/nonexistent", name)


@pytest.mark.parametrize(
    ("again", "gap"),
    [("abc bcd", False), ("abc c", False), ("abc d", True), ("abc abx", True), (" d", False)],
)
def test_lines_that_may_be_missing_are_said_once(again: str, gap: bool) -> None:
    history = HistoryFilter()
    before, after = again.split(" ")
    for letter in before:
        history.filter(parse_message(letter.encode()))
    history.start_connection()
    assert not history.take_gap()
    for letter in after:
        history.filter(parse_message(letter.encode()))
    assert (history.take_gap(), history.take_gap()) == (gap, False)


def test_a_line_that_seems_to_repeat_is_shown_at_the_end_of_the_history() -> None:
    history = HistoryFilter()
    for letter in b"ab":
        history.filter(parse_message(bytes([letter])))
    history.start_connection()
    assert history.filter(parse_message(b"a")) == []
    assert [one.text for one in history.finish()] == ["a"]
    assert history.take_gap()
    assert history.finish() == []
