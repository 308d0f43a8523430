"""The table as JSON."""

from __future__ import annotations

import json

from probes.renderings import Style

from ..families import describe_build, find_system, find_title
from ..table import NOT_KNOWN, Entry, Table


def render(table: Table, total: int, style: Style) -> str:
    """Return the table as JSON: null where nothing is known."""
    document = {
        "schema": 1,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "family": find_title(find_system(column)),
                "build": describe_build(column),
                "platform": column.description,
                "where": column.where,
                "measured_at": column.measured_at,
                "way": column.way,
            }
            for column in table.columns
        ],
        "facts": total,
        "rows": [
            {
                "id": row.id,
                "question": row.question,
                "scope": row.scope,
                "differs": row.differs,
                "cells": [_describe_entry(entry) for entry in row.entries],
            }
            for row in table.rows
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _describe_entry(entry: Entry) -> dict[str, object] | None:
    """Return an entry as data; ``documented`` has the value and the name it is documented for."""
    if entry.status == NOT_KNOWN:
        return None
    document: dict[str, object] = {"status": entry.status, "value": entry.value}
    if entry.promise:
        document["documented"] = {"name": entry.promise[0], "value": entry.promise[1]}
    return document
