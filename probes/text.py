"""Make text fit for one line of a terminal or a log."""

from __future__ import annotations


def make_printable(text: str) -> str:
    """Return ``text`` in one line, with escapes such as ``\\x1b`` for unprintable characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
