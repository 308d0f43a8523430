"""The wire format: lines, their length, their time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.protocol import (
    LineSplitter,
    clean_line,
    format_request,
    make_stamp,
    parse_request,
    read_stamp,
    split_time,
    stamp_lines,
)


@given(st.lists(st.binary(max_size=40)), st.data())
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at_once = LineSplitter(20)
    expected, refused = at_once.feed(whole)
    in_parts = LineSplitter(20)
    fed = [in_parts.feed(part) for part in parts]
    assert list(itertools.chain(*(lines for lines, _ in fed))) == expected
    assert sum(too_long for _, too_long in fed) == refused
    assert in_parts.finish() == at_once.finish()


@given(st.binary(max_size=200))
def test_a_clean_line_is_one_line_of_text(line: bytes) -> None:
    kept = clean_line(line)
    text = kept.decode()
    assert not any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in text)
    assert clean_line(kept) == kept


def test_the_length_counts_without_its_end() -> None:
    lines = LineSplitter(4)
    assert lines.feed(b"abcd\nabcd\r\nabcde\nabcde\r\n") == ([b"abcd", b"abcd"], 2)
    assert lines.feed(b"abcdef") == ([], 1)
    assert lines.feed(b"g\nok\n") == ([b"ok"], 0)


def test_a_line_that_grows_is_too_long() -> None:
    lines = LineSplitter(16)
    assert lines.feed(b"\xff" * 5 + b"\n" + b"\xff" * 6 + b"\n") == ([5 * "\ufffd".encode()], 1)
    assert lines.feed(b"\xff" * 6) == ([], 0)
    assert lines.finish() == []


def test_time_stands_before_each_line() -> None:
    assert (
        stamp_lines([b"a: b", b"c"], make_stamp(0))
        == b"1970-01-01T00:00:00Z a: b\n1970-01-01T00:00:00Z c\n"
    )
    assert split_time("1970-01-01T00:00:00Z a: b") == ("1970-01-01T00:00:00Z", "a: b")
    assert split_time("a: b") == (None, "a: b")


@given(st.integers(0, 253402300799))
def test_a_stamp_is_read_as_it_was_written(seconds: int) -> None:
    stamp = make_stamp(seconds)
    assert read_stamp(stamp_lines([b"a: b"], stamp)) == stamp
    assert make_stamp(seconds + 1) > stamp


@pytest.mark.parametrize("line", [b"", b"a: b\n", b"\xff", b"2026-11-22 23:59:59 a", b"x" * 32])
def test_a_line_without_a_time_has_no_stamp(line: bytes) -> None:
    assert read_stamp(line) == 0


@given(st.integers(0, 253402300799))
def test_a_request_is_read_and_is_no_line_to_who_does_not_know_it(seconds: int) -> None:
    stamp = make_stamp(seconds)
    request = format_request(stamp)
    assert parse_request(request) == stamp
    assert LineSplitter(100).feed(b"a: b\n" + request + b"c: d\n") == ([b"a: b", b"c: d"], 0)


@given(
    st.binary(max_size=20) | st.binary(min_size=14, max_size=14).map(lambda b: b"\x01" + b + b"\n")
)
def test_what_is_no_request_is_not_read_as_one(data: bytes) -> None:
    stamp = parse_request(data)
    assert stamp == 0 or format_request(stamp) == data
