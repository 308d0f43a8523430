"""Find what a command is about: probes, and reports in files or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Optional

from ..errors import CommandError, ReportError
from ..fact import Report

if TYPE_CHECKING:
    from ..measurement import RunOptions
    from ..probe import Probe
    from .options import Selection

STANDARD_INPUT = "-"


def select_probes(selection: Selection) -> Mapping[str, Probe]:
    """Return the selected probes.  Raises CommandError if a glob matches nothing."""
    from ..load_catalogue import load_catalogue
    from ..selection import select

    try:
        return select(load_catalogue(), selection.only, selection.skip)
    except LookupError as error:
        raise CommandError(str(error.args[0])) from None


def find_probes(patterns: Sequence[str]) -> Mapping[str, Probe]:
    """Return the probes that ids, globs or families name, and those that words mean.

    The former come first, in the catalogue's order; of the latter the best come first.
    """
    from ..load_catalogue import load_catalogue
    from ..search import find
    from ..selection import match

    probes = load_catalogue()
    named: set[str] = set()
    meant: list[str] = []
    for pattern in patterns:
        try:
            named |= match(probes, pattern)
        except LookupError as error:
            is_id = any(c in pattern for c in ".*?[") and not any(map(str.isspace, pattern))
            found = [] if is_id else find(probes, pattern)
            if not found:
                raise CommandError(str(error.args[0])) from None
            meant += found
    return {id: probes[id] for id in [*(id for id in probes if id in named), *meant]}


def are_ids(patterns: Sequence[str]) -> bool:
    """Return whether each pattern names facts as --only does, by id, glob or family."""
    from ..load_catalogue import load_catalogue
    from ..selection import match

    try:
        return all(match(load_catalogue(), pattern) for pattern in patterns)
    except LookupError:
        return False


def load_report(path: str) -> Report:
    """Return the report in the file ``path``, or the one on standard input if it is ``-``."""
    from ..report_json import read_bounded

    if path != STANDARD_INPUT:
        return Report.load(path)
    try:
        return Report.loads(read_bounded(sys.stdin.buffer))
    except ReportError as error:
        raise ReportError(f"standard input: {error}") from None
    except OSError as error:
        raise ReportError(f"standard input: {error.strerror}") from None


def check_read_once(paths: Sequence[Optional[str]]) -> None:
    """Raise CommandError if two reports are to come from standard input."""
    if paths.count(STANDARD_INPUT) > 1:
        raise CommandError("standard input holds one report: give a file for the other")


def measure(probes: Mapping[str, Probe], options: RunOptions) -> Report:
    """Measure in this process, with progress on a terminal."""
    from ..measurement import explain_refusals, measure_probes
    from ..terminal import show_progress

    with explain_refusals(), show_progress() as progress:
        return measure_probes(probes, options, progress)
