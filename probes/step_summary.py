"""Write to the step summary of GitHub Actions."""

from __future__ import annotations

import os

from .files import write_all

LIMIT = 1 << 20
"""Bytes of a step's summary that GitHub shows."""


def append_step_summary(markdown: str) -> None:
    """Append to the file that GitHub shows below the job, if there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    data = markdown.encode("utf-8", "backslashreplace")
    if len(data) > LIMIT:
        notice = b"\nCut here: GitHub shows 1 MiB. The log of the step has it all.\n"
        data = data[: LIMIT - len(notice)].rpartition(b"\n")[0] + notice
    try:
        with open(path, "ab", buffering=0) as file:
            write_all(file.fileno(), data)
    except OSError as error:
        raise OSError(error.errno, f"the summary: {error.strerror}", path) from None
