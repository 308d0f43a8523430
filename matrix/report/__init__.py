"""Show several platforms side by side: text, Markdown, JSON, HTML, one file per format.

A format is a module with ``render(table, total, style)``, and ``render_families`` for many
platforms; JSON has only the former.  `atlas` is a page of its own, and `history` has other
contents.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.renderings import Style

    from ..table import Table

FORMATS = ("text", "markdown", "json", "html")


def render_table(
    format: str,
    table: Table,
    show_all: bool = False,
    style: Style | None = None,
    wide: bool = False,
) -> str:
    """Return the table in a format of `FORMATS`: the rows that differ, or all.

    More than `MANY` platforms are shown by families, unless ``wide`` asks for each of them.
    """
    shown = table if show_all else table.select_differing()
    from probes.renderings import Style

    from ..families import MANY

    module = importlib.import_module(f"{__name__}.{format}")
    by_families = not wide and len(table.columns) > MANY
    render = getattr(module, "render_families", module.render) if by_families else module.render
    text: str = render(shown, len(table.rows), style or Style())
    return text
