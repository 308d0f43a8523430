"""Test which text is fit for a terminal."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.client.text import escape, is_safe, is_visible

PERSIAN = "می\u200cخواهم"  # noqa: RUF001


@pytest.mark.parametrize(
    "text",
    [
        "日本\u3000語", PERSIAN, "«\u00a0oui\u202f»", "👨\u200d👩\u200d👧\u200d👦", "co\u00adop",
        "क्ष", "한글",
        "\u1112\u1161\u11ab", "שָׁלוֹם\u200f!", "🏴\U000e0067\U000e0062\U000e007f", "❤\ufe0f",
        "Việt", "\U0001fae9", "\ue0b0", "a\tb",
        "བསྒྲུབས", "\ufeffx", "\u061c\u200e\u200f",
    ],
)  # fmt: skip
def test_text_of_any_script_is_left_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_exactly_what_ends_or_reorders_a_line_is_escaped() -> None:
    explicit = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    unsafe = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *explicit, *range(0xD800, 0xE000)}
    assert {c for c in range(sys.maxunicode + 1) if not is_safe(chr(c))} == unsafe
    assert escape("\x1b[2J\x9b\u202ex\u2066\u2028") == "\\x1b[2J\\x9b\\u202ex\\u2066\\u2028"


@pytest.mark.parametrize("joiner", ["", "\u200d", "\u200c", "\u2060"])
@pytest.mark.parametrize("mark", ["\u0301", "\u0489", "\u093e", "\u1161", "\ufe0f"])
def test_marks_do_not_pile_up(mark: str, joiner: str) -> None:
    shown = escape("a" + f"{mark}{joiner}" * 300 + "b" + mark)
    assert shown.count(mark) == 11
    assert shown.count("…") == 1
    assert shown.endswith(f"b{mark}")
    assert escape("a" + mark * 10) == "a" + mark * 10


@given(st.text())
def test_escaped_text_is_safe(text: str) -> None:
    assert all(is_safe(c) or c == "\t" for c in escape(text))


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=20))
def test_words_are_left_as_they_are(text: str) -> None:
    marks = ("\u1160" <= c <= "\u11ff" or unicodedata.category(c)[0] == "M" for c in text)
    assert escape(text) == text or sum(marks) > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("-", True), ("क्", True), ("", False), (" \t\u3000", False), ("\u200b", False)],
)
def test_text_with_ink_is_visible(text: str, expected: bool) -> None:
    assert is_visible(text) is expected
