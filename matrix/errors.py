"""Unavailable: the error of a platform or a box that cannot be had, and how progress is told."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]
"""Tells the user, in one line, what is being done."""


class Unavailable(Exception):
    """A platform cannot be brought up, or a box not built: why, and what would make it possible."""
