"""Convert frozen dataclasses to rows of CSV, and CSV and JSON back, checking every type."""

from __future__ import annotations

import csv
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from probes.errors import CommandError

Record = TypeVar("Record")


def format_fields(record: Any) -> list[str]:
    """Return a record's fields as text without line breaks, which would end the row."""
    values = (getattr(record, each.name) for each in fields(record))
    return [
        "" if value is None
        else str(int(value)) if isinstance(value, bool)
        else " ".join(value.split()).encode(errors="replace").decode() if isinstance(value, str)
        else repr(value)
        for value in values
    ]  # fmt: skip


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise CommandError(f"{path}: no such file; is {path.parent} a results folder?") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: not UTF-8") from None


def read_rows(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Yield the records of a CSV file; ignore an incomplete last line."""
    hints = typing.get_type_hints(kind)
    whole, _, _ = read_text(path).rpartition("\n")
    try:
        lines = list(csv.reader(whole.splitlines()))
    except csv.Error as error:
        raise CommandError(f"{path}: not CSV: {error}") from None
    if lines[:1] != [list(hints)]:
        raise CommandError(f"{path}: line 1: the columns must be {','.join(hints)}")
    for number, row in enumerate(lines[1:], 2):
        if len(row) != len(hints):
            raise CommandError(f"{path}: line {number}: {len(row)} columns, not {len(hints)}")
        try:
            values = [_parse(hint, value) for hint, value in zip(hints.values(), row, strict=True)]
        except ValueError as error:
            raise CommandError(f"{path}: line {number}: {error}") from None
        yield kind(*values)


def _parse(hint: Any, text: str) -> object:
    """Convert a field of a CSV file.  Raise ValueError if it is not of that type."""
    if isinstance(hint, types.UnionType):
        if not text:
            return None
        hint = typing.get_args(hint)[0]
    if hint is str:
        return text
    if hint is bool:
        return {"0": False, "1": True}[text] if text in ("0", "1") else _not(hint, text)
    value = hint(text)
    return _not(hint, text) if value in (math.inf, -math.inf) or value != value else value


def _not(hint: type, value: object) -> typing.NoReturn:
    raise ValueError(f"{value!r} is not a {hint.__name__}")


def convert(hint: Any, value: Any, where: str) -> Any:
    """Convert a part of a JSON document to a type; ignore keys that a later version added."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        if missing := [name for name in hints if name not in value]:
            raise CommandError(f"{where}: {missing[0]} is missing")
        parts = {n: convert(h, value[n], f"{where}: {n}") for n, h in hints.items()}
        return hint(**parts)  # type: ignore[operator]
    if origin is tuple and isinstance(value, list):
        return tuple(convert(inner[0], each, where) for each in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: convert(inner[1], each, where) for name, each in value.items()}
    if hint is float and type(value) is int:
        value = float(value)
    if hint is type(value) and (hint is not float or math.isfinite(value)):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise CommandError(f"{where}: {json.dumps(value)[:60]} is not a {name}")
