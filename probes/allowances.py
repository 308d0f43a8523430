"""Allowed differences: each has a reason and a last day.

A baseline ``NAME.json`` has them in ``NAME.allowed.json``, each for one fact, or for all facts
that hang on one setting:

    {"allowed": [{"fact": "abi.time_t_bits", "from": 32, "to": 64,
                  "reason": "the new image has it", "expires": "2027-03-01"},
                 {"cause": "net.ipv6.bindv6only", "from": "0", "to": "1",
                  "reason": "the router's image sets it", "expires": "2027-03-01"}]}
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from .errors import ReportError
from .fact import show
from .report_json import read_bounded, read_json


@dataclass(frozen=True)
class Allowance:
    """A difference that someone allowed, with a reason and a last day."""

    name: str
    """A fact's id, or a setting if ``is_cause``."""
    was: str
    now: str
    reason: str
    expires: datetime.date
    is_cause: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.was} -> {self.now} (until {self.expires}: {self.reason})"


def find_allowances(baseline: Union[str, os.PathLike[str]]) -> str:
    """Return the path of a baseline's allowed differences: ``freebsd.allowed.json``."""
    return f"{os.path.splitext(os.fspath(baseline))[0]}.allowed.json"


def load_allowances(path: Union[str, os.PathLike[str]]) -> list[Allowance]:
    """Return the allowed differences in a file; none if the file does not exist.

    Raises ReportError with one line if the file cannot be read, or has another form.
    """
    if not os.path.lexists(path):
        return []
    try:
        document = read_json(read_bounded(path))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from None
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from None
    entries = document.get("allowed") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ReportError(f'{path}: no list "allowed" at its top')
    return [_read_entry(path, number, entry) for number, entry in enumerate(entries, 1)]


def _read_entry(path: Union[str, os.PathLike[str]], number: int, entry: Any) -> Allowance:
    if not isinstance(entry, Mapping):
        raise ReportError(f"{path}: entry {number} is not an object")
    if "fact" in entry and "cause" in entry:
        raise ReportError(
            f"{path}: entry {number} has both a fact and a cause; write an entry for each"
        )
    key = "cause" if "cause" in entry else "fact"
    wanted = (key, "from", "to", "reason", "expires")
    missing = [name for name in wanted if name not in entry]
    if missing[:1] == ["fact"]:
        missing[0] = "fact or cause"
    unknown = sorted(set(entry) - set(wanted))
    if missing or unknown:
        raise ReportError(
            f"{path}: entry {number} has "
            + " and ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("no", missing), ("the unknown", unknown))
                if names
            )
        )
    if not isinstance(entry[key], str):
        raise ReportError(f"{path}: entry {number} has a {key} that is not a string")
    if not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise ReportError(f"{path}: entry {number} has no reason")
    expires = _read_date(entry["expires"])
    if expires is None:
        raise ReportError(f"{path}: entry {number} expires: not a date such as 2027-03-01")
    if key == "cause" and not all(type(entry[end]) in (int, str) for end in ("from", "to")):
        raise ReportError(
            f"{path}: entry {number} has a from or to that is not a value of a setting; "
            'write it as sysctl(8) shows it, such as "0"'
        )
    was, now = (
        show(value) if isinstance(value, (bool, int, str, type(None))) else repr(value)
        for value in (entry["from"], entry["to"])
    )
    return Allowance(entry[key], was, now, entry["reason"], expires, key == "cause")


def _read_date(text: Any) -> Optional[datetime.date]:
    """Return the day ``YYYY-MM-DD``, or None; newer versions of Python also read ``20300101``."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
