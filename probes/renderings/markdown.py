"""markdown: for issues, wikis, pull requests, and the step summary of GitHub Actions."""

from __future__ import annotations

from collections.abc import Mapping

from ..fact import Report
from ..probe import Probe
from ..text import make_printable
from . import (
    Style,
    describe_platform,
    differs,
    find_question,
    format_documented,
    group_by_family,
    make_reasons,
    summarize,
)


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as Markdown."""
    lines = [f"**{summarize(report)}**", "", format_row("platform", ""), format_row("---", "---")]
    lines += [format_row(label, text) for label, text in describe_platform(report)]
    shared = make_reasons(report)
    for family, facts in group_by_family(report, probes).items():
        lines += ["", f"### {family}", ""]
        lines += [
            format_row("fact", "question", "answer", "documented", "note"),
            format_row(*["---"] * 5),
        ]
        for fact in facts:
            promise = format_documented(fact, report, probes)
            beside = (
                "**differs**"
                if differs(fact, report, probes)
                else escape(shared.get(fact.id, fact.reason))
            )
            cells = (fact.id, find_question(fact, probes), fact.answer, promise)
            lines.append(f"{format_row(*cells)} {beside} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def format_row(*cells: str) -> str:
    """Return a row of a table, with any text in its cells."""
    return f"| {' | '.join(map(escape, cells))} |".replace("|  |", "| |")


def escape(text: str) -> str:
    """Return ``text`` so that Markdown shows it unchanged."""
    text = make_printable(text).replace("&", "&amp;").replace("<", "&lt;")
    escaped = ""
    for at, character in enumerate(text):
        # An underscore inside a word, as in SO_REUSEADDR, has no meaning in Markdown.
        within = text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
        special = character in "\\`*[]~|$" or (character == "_" and not within)
        escaped += "\\" + character if special else character
    return escaped
