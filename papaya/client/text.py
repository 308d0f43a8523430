"""Make other users' text fit for a terminal: it must not control the terminal, nor deceive."""

from __future__ import annotations

import codecs
import unicodedata

_DIRECTIONS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""The explicit directional formatting characters of UAX #9, which reorder what follows them.

Its implicit marks (LRM, RLM, ALM) are left: Arabic and Hebrew need them, and they reorder nothing.
"""
_UNSAFE = frozenset(("Cc", "Cs", "Zl", "Zp"))
_MOST_MARKS = 10
"""Marks on one letter; no script needs more, and a terminal draws them over the rows around it."""
_INKLESS = frozenset(("Cc", "Cf", "Mn", "Me", "Zs"))
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that are blank."""


def is_safe(character: str) -> bool:
    """Return whether a terminal shows the character, without ending or reordering the line."""
    return (
        unicodedata.category(character) not in _UNSAFE
        and unicodedata.bidirectional(character) not in _DIRECTIONS
    )


def escape(text: str) -> str:
    """Return ``text`` with each unsafe character escaped, except tabs.

    Replace what exceeds 10 marks on one letter by ``…``.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = 0
    for character in text:
        if _is_mark(character):
            marks += 1
        elif unicodedata.category(character) != "Cf":  # Marks go on after a joiner.
            marks = 0
        if marks > _MOST_MARKS:
            shown += ["…"] if marks == _MOST_MARKS + 1 and _is_mark(character) else []
        elif character == "\t" or is_safe(character):
            shown.append(character)
        else:
            shown.append(codecs.encode(character, "unicode_escape").decode())
    return "".join(shown)


def _is_mark(character: str) -> bool:
    # Vowels and finals of conjoining Hangul are letters, but take no cell of their own.
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


def is_visible(text: str) -> bool:
    """Return whether anything of ``text`` leaves ink on the screen."""
    return any(
        character not in _FILLERS and unicodedata.category(character) not in _INKLESS
        for character in text
    )
