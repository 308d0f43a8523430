"""What ends a command, or the run of a cell, with one line for the user."""

from __future__ import annotations


class Refused(Exception):
    """One line that says what is wrong and what to do, and the exit status.

    1: a check failed.  2: usage or unreadable input.  3: a platform, or this machine,
    does not allow it.
    """

    def __init__(self, line: str, status: int = 2) -> None:
        super().__init__(line)
        self.status = status
