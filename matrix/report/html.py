"""The table as a page without a script; the atlas is the page with one."""

from __future__ import annotations

from probes.renderings import Style

from ..table import Table
from .atlas import render_plain


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as HTML."""
    return render_plain(table, total)
