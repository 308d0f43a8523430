"""markdown: for issues, wikis, pull requests, and the step summary of GitHub Actions."""

from __future__ import annotations

from collections.abc import Mapping

from ..fact import Report
from ..probe import Probe
from . import (
    Style,
    describe_platform,
    differs,
    find_question,
    format_documented,
    group_by_family,
    make_reasons,
    safe,
    summarize,
)


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as Markdown."""
    lines = [f"**{summarize(report)}**", "", row("platform", ""), row("---", "---")]
    lines += [row(label, text) for label, text in describe_platform(report)]
    shared = make_reasons(report)
    for family, facts in group_by_family(report, probes).items():
        lines += ["", f"### {family}", ""]
        lines += [row("fact", "question", "answer", "documented", "note"), row(*["---"] * 5)]
        for fact in facts:
            promise = format_documented(fact, report, probes)
            beside = (
                "**differs**"
                if differs(fact, report, probes)
                else escape(shared.get(fact.id, fact.reason))
            )
            cells = (fact.id, find_question(fact, probes), fact.answer, promise)
            lines.append(f"{row(*cells)} {beside} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def row(*cells: str) -> str:
    """Return a row of a table, with any text in its cells."""
    return f"| {' | '.join(map(escape, cells))} |".replace("|  |", "| |")


def escape(text: str) -> str:
    """Return ``text`` so that Markdown shows it unchanged."""
    text = safe(text).replace("&", "&amp;").replace("<", "&lt;")
    escaped = ""
    for at, character in enumerate(text):
        # An underscore inside a word, as in SO_REUSEADDR, has no meaning in Markdown.
        within = text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
        special = character in "\\`*[]~|$" or (character == "_" and not within)
        escaped += "\\" + character if special else character
    return escaped
