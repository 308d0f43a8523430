"""CommandError: the error that ends a command with one line for the user."""

from __future__ import annotations


class CommandError(Exception):
    """One line that says what is wrong and what to do, and the exit status.

    2: usage or unreadable input.  3: this machine or its state does not allow it.
    """

    def __init__(self, line: str, status: int = 2) -> None:
        super().__init__(line)
        self.status = status


class ReportError(CommandError, ValueError):
    """A file that is not a readable report, or a report that could not be made."""
