"""Boxes that we build, as nobody publishes them, a file each."""

from __future__ import annotations

import os


def cache(name: str) -> str:
    """Where what is built is kept: below ``$MATRIX_CACHE``, or the user's cache folder."""
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    ours = os.environ.get("MATRIX_CACHE") or os.path.join(users, "papaya-lab")
    return os.path.join(os.path.abspath(ours), name)
