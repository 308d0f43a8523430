"""atlas: every fact on every platform, as one web page that needs no network.

``page.html``, ``page.css`` and ``page.js`` become one file.  The page contains the table as HTML,
and the contents of each fact's panel as JSON.  Its own policy allows only its own script to run,
and nothing to be fetched; a reference is a link to follow.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from html import escape

from probes.errors import ReportError
from probes.fact import show
from probes.text import make_printable
from probes.version import VERSION

from ...families import MANY, arrange_platforms, find_system, find_title
from ...pythons import merge_pythons
from ...releases import find_release, name_release
from ...table import DOCUMENTED_ONLY, MEASURED_HERE, RECORDED, Column, Entry, Row, Table
from .grid import (
    group_answers,
    list_sections,
    render_grid,
    render_heading,
)
from .references import make_links
from .synonyms import find_synonyms

FOLDER = os.path.dirname(os.path.abspath(__file__))


def render_page(table: Table) -> str:
    """Return the page: all facts, to search and filter, and what differs between two platforms."""
    if len(table.columns) > MANY:
        table = merge_pythons(table)
    table = arrange_platforms(table)
    script, style = _read_file("page.js"), _make_style(table)
    return _fill_template(
        "page.html",
        policy=_make_policy(script, style),
        style=style,
        script=script,
        summary=escape(summarize(table)),
        families=_list_families(table),
        platforms=_list_platforms(table),
        choices="".join(
            f'<option value="{at}">{escape(make_printable(column.name))}</option>'
            for at, column in enumerate(table.columns)
        ),
        grid=render_grid(table),
        origin=escape(describe_origin()),
        data=_encode_facts(table),
    )


def render_plain(table: Table, total: int) -> str:
    """Return the table as a page without a script: ``table --format html``."""
    table = arrange_platforms(table)
    style = _make_style(table)
    differing = sum(row.differs for row in table.rows)
    return _fill_template(
        "plain.html",
        policy=_make_policy("", style),
        style=style,
        summary=escape(f"{summarize(table)}; {differing} of {total} facts differ"),
        platforms="".join(
            f"<li>{render_heading(c)}: {_describe_place(c)}</li>" for c in table.columns
        ),
        grid=render_grid(table),
        origin=escape(describe_origin()),
    )


def describe_origin() -> str:
    """Return ``Made 2026-11-26 by papaya-lab 0.1.0``; SOURCE_DATE_EPOCH sets the date."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = int(epoch) if epoch else time.time()
        at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ReportError(
            f"SOURCE_DATE_EPOCH: {epoch!r} is not a time; set it to seconds since 1970, or unset it"
        ) from error
    return f"Made {at.date()} by papaya-lab {VERSION}"


def summarize(table: Table) -> str:
    """Return, for example, ``278 facts; platforms: 1 measured here, 5 documented only``."""
    kinds = Counter(column.kind for column in table.columns)
    named = (f"{kinds[k]} {k}" for k in (MEASURED_HERE, RECORDED, DOCUMENTED_ONLY) if kinds[k])
    return f"{len(table.rows)} facts; platforms: {', '.join(named)}"


def _read_file(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def _make_style(table: Table) -> str:
    """Return the style; the table is as wide as its platforms need, without a script too."""
    return _read_file("page.css") + f"#grid {{ min-width: {18 + 3.5 * len(table.columns)}rem; }}\n"


def _fill_template(template: str, **parts: str) -> str:
    """Return a template with its ``{{parts}}`` filled in; parts are not searched for others."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read_file(template))


def _make_policy(script: str, style: str) -> str:
    """Return the Content-Security-Policy: only this script and style, by hash; no network."""
    allowed = _hash(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _describe_place(column: Column) -> str:
    """Return the platform, and what is known of its release."""
    place = column.report.environment if column.report else None
    release = find_release(name_release(place)) if place else None
    described = filter(None, (column.description, release.describe() if release else ""))
    return escape(make_printable("; ".join(described)))


def _list_families(table: Table) -> str:
    return "".join(
        f'<option value="{escape(family)}">{escape(family)} ({len(rows)})</option>'
        for family, rows in table.families()
    )


def _list_platforms(table: Table) -> str:
    return "".join(
        f'<li><label><input type="checkbox" checked data-column="{at}"> '
        f"{render_heading(column)}</label>"
        f"<p>{_describe_place(column)}</p></li>"
        for at, column in enumerate(table.columns)
    )


def _encode_facts(table: Table) -> str:
    """Return the facts as JSON in which an HTML parser finds no markup."""
    rows = [row for _, _, rows in list_sections(table) for row in rows]
    also = find_synonyms([row.id for row in rows])
    document = {
        "columns": [
            {
                "name": column.name,
                "system": find_system(column),
                "title": find_title(find_system(column)),
                "kind": column.kind,
                "description": column.description,
                "measured_at": column.measured_at,
                "where": column.where,
                "way": column.way,
            }
            for column in table.columns
        ],
        "facts": [_describe_fact(row, also.get(row.id, "")) for row in rows],
    }
    text = json.dumps(_escape_controls(document), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _describe_fact(row: Row, also: str) -> dict[str, object]:
    probe = row.probe
    return {
        "id": row.id,
        "question": row.question,
        "scope": row.scope,
        "also": "\n".join([also, *(probe.symptoms if probe else ())]),
        "matters": probe.matters if probe else "",
        "advice": probe.advice if probe else "",
        "reference": make_links(probe.reference) if probe else [],
        "documented": [[k, show(v)] for k, v in probe.documented.items()] if probe else [],
        "cells": [
            _describe_entry(entry, group)
            for entry, group in zip(row.entries, group_answers(row), strict=True)
        ],
    }


def _describe_entry(entry: Entry, group: int | None) -> dict[str, object]:
    fact = entry.fact
    told: Mapping[str, object] = {
        "status": entry.status,
        "answer": entry.answer,
        "group": group,
        "promise": [entry.promise[0], show(entry.promise[1])] if entry.promise else None,
        "breaks": entry.breaks_promise,
        "reason": fact.reason if fact else "",
        "raw": "" if fact is None or fact.raw is None else json.dumps(fact.raw),
        "varies": len(entry.claims) > 1,
        "parts": [
            [version, part.answer, part.fact.reason] for version, part in entry.parts if part.fact
        ],
    }
    # Leave out what is empty; group 0 is not.
    return {name: value for name, value in told.items() if value or name == "group"}


def _escape_controls(value: object) -> object:
    """Return the value with the control characters of its texts escaped."""
    if isinstance(value, str):
        return make_printable(value)
    if isinstance(value, dict):
        return {name: _escape_controls(each) for name, each in value.items()}
    return [_escape_controls(each) for each in value] if isinstance(value, (list, tuple)) else value
