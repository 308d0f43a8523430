"""Show several platforms side by side: text, Markdown, JSON, HTML, one file per format.

A format is a module with ``render(table, total, style)``; `atlas` is a page of its
own, and `history` has other contents.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.renderings import Style

    from ..table import Table

FORMATS = ("text", "markdown", "json", "html")


def render_table(
    format: str, table: Table, show_all: bool = False, style: Style | None = None
) -> str:
    """Return the table in a format of `FORMATS`: the rows that differ, or all."""
    shown = table if show_all else table.select_differing()
    from probes.renderings import Style

    module = importlib.import_module(f"{__name__}.{format}")
    text: str = module.render(shown, len(table.rows), style or Style())
    return text
