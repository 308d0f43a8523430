"""Read JSON strictly, and check the values of a report, with the standard library alone.

`report.schema.json` beside this file describes the same rules.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO, Union

from .errors import ReportError
from .files import open_at_once
from .text import make_printable

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of the largest file that is read; a report has some 50 KB."""
DEEPEST = 64
"""Levels of objects and lists within one another; the report itself is the first."""


def is_text(value: Any) -> bool:
    """Return whether the value is a string."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Return whether the value is true or false."""
    return isinstance(value, bool)


def is_width(value: Any) -> bool:
    """Return whether the value is a number of bits that a pointer may have."""
    return type(value) is int and value in (16, 32, 64, 128)


def are_interfaces(value: Any) -> bool:
    """Return whether the value maps names to lists of strings."""
    return isinstance(value, dict) and all(
        isinstance(families, list) and all(map(is_text, families)) for families in value.values()
    )


def are_texts(value: Any) -> bool:
    """Return whether the value maps names to strings."""
    return isinstance(value, dict) and all(map(is_text, value.values()))


def read_bounded(file: Union[str, os.PathLike[str], BinaryIO]) -> bytes:
    """Return the contents of a file, given its path or open.

    Raises ReportError if the file is too large.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb", opener=open_at_once) as opened:
            return read_bounded(opened)
    text = file.read(LARGEST_FILE + 1)
    if len(text) > LARGEST_FILE:
        raise ReportError(f"larger than {LARGEST_FILE} bytes")
    return text


def read_json(text: Union[str, bytes]) -> Any:
    """Return the value of the JSON ``text``, the same with every version of Python.

    Raises ReportError with a message of one line for anything that JSON readers disagree on.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(
            text,
            object_pairs_hook=_refuse_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_refuse_giant,
        )
    except ReportError:
        raise
    except RecursionError:
        raise ReportError(_TOO_DEEP) from None
    except UnicodeDecodeError:
        raise ReportError("not UTF-8 text") from None
    except ValueError as error:
        raise ReportError(f"not JSON, or cut short ({error})") from None


def check(holds: Any, message: str) -> None:
    """Raise ReportError with the message unless the condition ``holds``."""
    if not holds:
        raise ReportError(make_printable(message))


_TOO_DEEP = f"nested deeper than {DEEPEST}"
NOT_PLAIN = f"holds a value that JSON cannot express, or is {_TOO_DEEP}"


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        check(name not in document, f"it has the key {name!r:.60} twice")
        document[name] = value
    return document


def _refuse_constant(name: str) -> Any:
    raise ReportError(f"not JSON: it holds {name}")


def _refuse_giant(digits: str) -> int:
    # Python needs minutes for a number of millions of digits, or refuses to read it.
    check(len(digits) < 400, "it holds a number of hundreds of digits")
    return int(digits)


def is_plain(value: Any, levels: int) -> bool:
    """Return whether all JSON readers agree on the value: finite numbers, not nested deeply."""
    if isinstance(value, dict):
        names, values = list(value), list(value.values())
        return all(map(is_text, names)) and is_plain(values, levels)
    if isinstance(value, list):
        return levels > 0 and all(is_plain(item, levels - 1) for item in value)
    if isinstance(value, (int, float)):
        return -sys.float_info.max <= value <= sys.float_info.max
    return value is None or is_text(value)


def make_whole(value: Any) -> Any:
    """Return 1.0 as the integer 1, because JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_id(id: str) -> bool:
    """Return whether ``id`` is ``family.name``, in lower case."""
    family, dot, name = id.partition(".")
    return bool(
        dot
        and all(
            part.isascii() and part.isidentifier() and part == part.lower()
            for part in (family, name)
        )
    )


def is_value(value: Any) -> bool:
    """Return whether a fact may have the value."""
    if type(value) is int:
        return bool(-(2**63) <= value < 2**63)
    return value is None or isinstance(value, (bool, str))


def is_duration(value: Any) -> bool:
    """Return whether the value is a number of seconds or milliseconds."""
    return type(value) in (int, float) and 0 <= value <= 1e12
