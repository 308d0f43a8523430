"""What a terminal shows: its width, colours, and a line of progress."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Callable, Optional

from .renderings import Style


def choose_style(output: Optional[str] = None, verbose: bool = False) -> Style:
    """Return the style for standard output, or for the file ``output``."""
    terminal = sys.stdout.isatty() and output is None
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(width=_find_width(1) if terminal else None, colour=colour, verbose=verbose)


@contextlib.contextmanager
def show_progress() -> Iterator[Optional[Callable[[int, int, str], None]]]:
    """Show progress in one line of standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    width = _find_width(2)

    def show(text: str) -> None:
        # A terminal that accepts no more output, or has gone, must not stop the measurement.
        with contextlib.suppress(OSError):
            os.write(2, f"\r{text}\x1b[K".encode())

    try:
        yield lambda done, total, id: show(f"{done}/{total} {id}"[: width - 1])
    finally:
        show("")


def _find_width(descriptor: int) -> int:
    """Return the columns of the terminal, or $COLUMNS if that is set."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return int(columns)
    return os.get_terminal_size(descriptor).columns or 80
