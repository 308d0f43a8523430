"""The table as a page without a script; the atlas is the page with one."""

from __future__ import annotations

from probes.renderings import Style

from ..pythons import merge_pythons
from ..table import Table
from .atlas import render_plain


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as HTML."""
    return render_plain(table, total)


def render_families(table: Table, total: int, style: Style) -> str:
    """Return the table as HTML, with one column for the Pythons of one host."""
    return render_plain(merge_pythons(table), total)
