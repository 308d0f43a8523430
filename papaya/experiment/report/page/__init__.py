"""Render a run as one web page that needs no network: answers, plots, tables, method, host.

The page begins with the first answer and the first plot, and the contents follow.  Plots are
inline SVG whose colours follow the theme, light or dark.  There are no scripts, and the page's
policy forbids scripts and requests.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..method import describe_method, describe_run, list_facts
from ..style import COLOURS, FAINT, GRID, INK, PAPER

if TYPE_CHECKING:
    from ...analysis.verdicts import Analysis
    from ..curves import Plot
    from ..tables import Table

FOLDER = Path(__file__).parent
LONG = 24
"""A table with more rows is folded, so that readers need not scroll past it."""
THEME = {
    INK: "--text", FAINT: "--faint", GRID: "--line", PAPER: "--page",
    **{colour: f"--{paradigm}" for paradigm, colour in COLOURS.items()},
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section of the page, with the sections inside it."""

    name: str
    heading: str
    body: str = ""
    parts: tuple[Section, ...] = ()

    def html(self, level: int = 2) -> str:
        """Return the section as markup."""
        return (
            f'<section><h{level} id="{self.name}">{escape(self.heading)}</h{level}>{self.body}'
            f"{''.join(part.html(level + 1) for part in self.parts)}</section>\n"
        )

    def entry(self) -> str:
        """Return its entry in the contents, with those of its parts below."""
        parts = f"<ul>{''.join(part.entry() for part in self.parts)}</ul>" if self.parts else ""
        return f'<li><a href="#{self.name}">{escape(self.heading)}</a>{parts}</li>'


def render_page(
    analysis: Analysis,
    heading: str,
    answers: Mapping[str, Sequence[str]],
    plots: Sequence[Plot],
    tables: Sequence[Table],
) -> str:
    """Return the page with these answers, plots and tables."""
    style = (FOLDER / "page.css").read_text()
    answered = [
        Section(f"answers-{at}", words, _render_list(sentences))
        for at, (words, sentences) in enumerate(answers.items())
    ]
    drawn = [Section(plot.name, plot.title, _render_figure(plot)) for plot in plots]
    counted = [
        Section(f"table-{table.name}", table.title, _render_table(table)) for table in tables
    ]
    first = [*answered[:1], *drawn[:1]]
    groups = [
        Section("plots", "More plots", parts=tuple(drawn[1:])),
        Section("tables", "Tables", parts=tuple(counted)),
    ]
    rest = [
        *answered[1:],
        *(group for group in groups if group.parts),
        Section(
            "method",
            "Method",
            "".join(f"<p>{escape(each)}</p>" for each in describe_method(analysis)),
        ),
        Section("host", "Host and run", _render_facts(list_facts(analysis))),
    ]
    parts = {
        "policy": f"default-src 'none'; style-src {_hash_style(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "title": escape(heading),
        "summary": escape(describe_run(analysis)),
        "notice": f'<p class="notice">{escape(analysis.too_few)}</p>' if analysis.too_few else "",
        "first": "".join(section.html() for section in first),
        "contents": "".join(section.entry() for section in [*first, *rest]),
        "rest": "".join(section.html() for section in rest),
    }
    text = (FOLDER / "page.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)


def _hash_style(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _render_list(sentences: Sequence[str]) -> str:
    return f'<ul class="answers">{"".join(f"<li>{escape(each)}</li>" for each in sentences)}</ul>'


def _render_facts(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in pairs.items())
    return f"<dl>{rows}</dl>"


def _render_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str, before: str = "") -> str:
        line = []
        for at, cell in enumerate(cells):
            kind = "th" if tag == "th" or at == 0 else "td"
            scope = ' scope="col"' if tag == "th" else ' scope="row"' if at == 0 else ""
            words = "words reason" if 0 < at < table.text else "words" if at < table.text else ""
            style = f' class="{words}"' if words else ""
            line.append(f"<{kind}{scope}{style}>{escape(cell)}</{kind}>")
        # A line separates subjects.
        new = ' class="next"' if before and before != cells[0] else ""
        return f"<tr{new}>{''.join(line)}</tr>"

    befores = ["", *(each[0] for each in table.rows)]
    grouped = len(set(befores)) < len(befores)
    body = "".join(
        row(each, "td", before if grouped else "")
        for each, before in zip(table.rows, befores, strict=False)
    )
    text = (
        f'<div class="wide" tabindex="0" role="region" aria-labelledby="table-{table.name}">'
        f'<table aria-labelledby="table-{table.name}" aria-describedby="{table.name}-told">'
        f"<thead>{row(table.head, 'th')}</thead><tbody>{body}</tbody></table></div>"
    )
    if len(table.rows) > LONG:
        text = f"<details><summary>{len(table.rows)} rows</summary>{text}</details>"
    return f'<p class="summary" id="{table.name}-told">{escape(table.caption)}</p>{text}'


def _render_figure(plot: Plot) -> str:
    return (
        f'<figure><div class="wide" tabindex="0" role="region" aria-label="{escape(plot.title)}, '
        f'plot">{inline_svg(plot.svg, plot)}</div>'
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
    )


def inline_svg(text: str, plot: Plot) -> str:
    """Return a figure's SVG for use inside the page.

    Ids get the plot's name as prefix, because two figures may share them; styles become
    attributes, because the policy forbids inline styles; ink and paper take the theme's colours.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "",
                  text, flags=re.DOTALL)  # fmt: skip
    text = re.sub(r'\bid="([^"]*)"', rf'id="{plot.name}-\1"', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{plot.name}-", text)
    text = re.sub(r' style="([^"]*)"', lambda found: _convert_style(found[1]), text)
    for colour, name in THEME.items():
        text = text.replace(f'"{colour}"', f'"var({name})"')
    head, _, rest = text.partition(">")
    head = re.sub(r' (width|height|version|xmlns(:\w+)?)="[^"]*"', "", head)
    words = escape(f"{plot.title}. {plot.caption}")
    return f'{head} role="img" aria-label="{words}">{_join_lines(rest)}'


def _convert_style(style: str) -> str:
    """Return ``fill: none; stroke: #000`` as attributes; of a font only its size."""
    found = []
    for each in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in each.partition(":"))
        if name == "font":
            size = re.search(r"[\d.]+px", value)
            name, value = "font-size", size[0] if size else "inherit"
        found.append(f' {name}="{value}"')
    return "".join(found)


def _join_lines(text: str) -> str:
    """Replace line breaks and the space around them by single spaces."""
    return re.sub(r"\s*\n\s*", " ", text)
