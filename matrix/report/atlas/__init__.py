"""atlas: every fact on every platform, as one web page that needs no network.

``page.html``, ``page.css`` and ``page.js`` become one file.  The table is in the page as
HTML; what a fact's panel says lies beside it as JSON.  The page's own policy lets nothing
run but the script that is in it, and nothing be fetched; a reference is a link to follow.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import importlib.metadata
import json
import os
import re
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from html import escape

from matrix.report.atlas.grid import arrange, grid, groups, heading, sections, system
from matrix.report.atlas.references import link
from matrix.report.atlas.synonyms import find_synonyms
from matrix.table import DOCUMENTED_ONLY, MEASURED_HERE, RECORDED, Cell, Column, Row, Table
from probes.errors import ReportError
from probes.fact import show
from probes.renderings import safe

FOLDER = os.path.dirname(os.path.abspath(__file__))


def page(table: Table) -> str:
    """The page: all facts, to search and filter, and what changes between two platforms."""
    table = arrange(table)
    script, style = _file("page.js"), _file("page.css")
    return _filled(
        "page.html",
        policy=_policy(script, style),
        style=style,
        script=script,
        summary=escape(summary(table)),
        families=_families(table),
        platforms=_platforms(table),
        choices="".join(
            f'<option value="{at}">{escape(safe(column.name))}</option>'
            for at, column in enumerate(table.columns)
        ),
        grid=grid(table),
        origin=escape(origin()),
        data=_data(table),
    )


def plain(table: Table, total: int) -> str:
    """The table as a page without a script: ``table --format html``."""
    table = arrange(table)
    style = _file("page.css")
    differing = sum(row.differs for row in table.rows)
    return _filled(
        "plain.html",
        policy=_policy("", style),
        style=style,
        summary=escape(f"{summary(table)}; {differing} of {total} facts differ"),
        platforms="".join(f"<li>{heading(c)}: {_where(c)}</li>" for c in table.columns),
        grid=grid(table),
        origin=escape(origin()),
    )


def origin() -> str:
    """Return ``Made 2026-11-26 by papaya-lab 0.1.0``; SOURCE_DATE_EPOCH sets the date."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = int(epoch) if epoch else time.time()
        at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ReportError(
            f"SOURCE_DATE_EPOCH: {epoch!r} is not a time; set it to seconds since 1970, or unset it"
        ) from error
    return f"Made {at.date()} by papaya-lab {version()}"


def version() -> str:
    """Return the lab's version: from pyproject.toml in a clone, otherwise from the package."""
    path = os.path.join(os.path.dirname(os.path.dirname(FOLDER)), "pyproject.toml")
    try:
        with open(path, "rb") as file:
            project = tomllib.load(file)["project"]
        if project["name"] == "papaya-lab":
            return str(project["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        pass
    try:
        return importlib.metadata.version("papaya-lab")
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def summary(table: Table) -> str:
    """``278 facts; platforms: 1 measured here, 5 documented only``."""
    kinds = Counter(column.kind for column in table.columns)
    named = (f"{kinds[k]} {k}" for k in (MEASURED_HERE, RECORDED, DOCUMENTED_ONLY) if kinds[k])
    return f"{len(table.rows)} facts; platforms: {', '.join(named)}"


def _file(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def _filled(template: str, **parts: str) -> str:
    """A template with its ``{{parts}}``; what a part holds is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file(template))


def _policy(script: str, style: str) -> str:
    """The Content-Security-Policy: these two, by their hashes, and no network."""
    allowed = _hash(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _where(column: Column) -> str:
    return escape(safe(column.description))


def _families(table: Table) -> str:
    return "".join(
        f'<option value="{escape(family)}">{escape(family)} ({len(rows)})</option>'
        for family, rows in table.families()
    )


def _platforms(table: Table) -> str:
    return "".join(
        f'<li><label><input type="checkbox" checked data-column="{at}"> {heading(column)}</label>'
        f"<p>{_where(column)}</p></li>"
        for at, column in enumerate(table.columns)
    )


# What a fact's panel says --------------------------------------------------------------


def _data(table: Table) -> str:
    """All of it as JSON that an HTML parser finds nothing in."""
    rows = [row for _, _, rows in sections(table) for row in rows]
    also = find_synonyms([row.id for row in rows])
    document = {
        "columns": [
            {
                "name": column.name,
                "system": system(column),
                "kind": column.kind,
                "description": column.description,
                "measured_at": column.measured_at,
                "where": column.where,
                "way": column.way,
            }
            for column in table.columns
        ],
        "facts": [_fact(row, also.get(row.id, "")) for row in rows],
    }
    text = json.dumps(_safe(document), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _fact(row: Row, also: str) -> dict[str, object]:
    probe = row.probe
    return {
        "id": row.id,
        "question": row.question,
        "scope": row.scope,
        "also": also,
        "matters": probe.matters if probe else "",
        "advice": probe.advice if probe else "",
        "reference": link(probe.reference) if probe else [],
        "documented": [[k, show(v)] for k, v in probe.documented.items()] if probe else [],
        "cells": [_cell(cell, group) for cell, group in zip(row.cells, groups(row), strict=True)],
    }


def _cell(cell: Cell, group: int | None) -> dict[str, object]:
    fact = cell.fact
    told: Mapping[str, object] = {
        "status": cell.status,
        "answer": cell.answer,
        "group": group,
        "promise": [cell.promise[0], show(cell.promise[1])] if cell.promise else None,
        "breaks": cell.breaks_promise,
        "reason": fact.reason if fact else "",
        "raw": "" if fact is None or fact.raw is None else json.dumps(fact.raw),
    }
    # What is empty is left out; group 0 is not.
    return {name: value for name, value in told.items() if value or name == "group"}


def _safe(value: object) -> object:
    """The same, every text shown as it is and obeyed by nobody."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, dict):
        return {name: _safe(each) for name, each in value.items()}
    return [_safe(each) for each in value] if isinstance(value, (list, tuple)) else value
