"""The README and the manual, whose commands and examples the tests run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.worlds import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_block(title: str, language: str) -> str:
    """Return the only code block of a language under a heading of the README or the manual."""
    (block,) = read_blocks(title, language)
    return block


def read_blocks(title: str, language: str) -> list[str]:
    """Return the code blocks of a language under a heading of the README or the manual."""
    found = []
    for page in PAGES:
        for heading, body in split_sections(page):
            if heading == title:
                found += find_blocks(body, language)
    return found


def list_headings(language: str) -> set[str]:
    """Return the headings below which there are code blocks of a language."""
    return {
        heading
        for page in PAGES
        for heading, body in split_sections(page)
        if find_blocks(body, language)
    }


def split_sections(page: Path) -> list[tuple[str, str]]:
    """Return each heading of a page with the text below it, up to the next heading."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2]))


def find_blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language in Markdown text."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
