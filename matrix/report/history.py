"""Show the history of systems: as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from probes.comparison import Row
from probes.fact import CONFIGURED, INHERENT
from probes.invocation import get_invocation
from probes.load_catalogue import load_catalogue
from probes.probe import Probe
from probes.renderings import Style, embolden
from probes.renderings.markdown import escape, format_row
from probes.renderings.text import count_columns, wrap
from probes.text import make_printable

from ..history import Family, Recorded, Step

WIDTH = 100
"""Most columns of the text; prose in longer lines is hard to read."""


@dataclass(frozen=True)
class History:
    """Families to show, and the reports that are not shown."""

    families: Sequence[tuple[Family, Sequence[str]]]
    """Each with the cells of its other releases."""
    on_other_kernels: Sequence[str]
    """Names of reports that were not measured on their release's own kernel."""
    unknown: Sequence[str]
    """Names of reports whose release has no known place among the others."""


def render_history(format: str, history: History, configured: bool, style: Style) -> str:
    """Return the history as ``text``, ``markdown`` or ``json``.

    ``configured`` adds the facts that a setting of the machine decides; JSON always has them.
    """
    if format == "json":
        return _render_json(history)
    lines: list[str] = []
    for family, cells in history.families:
        if format == "markdown":
            lines += _render_markdown(family, cells, configured)
        else:
            lines += _render_text(family, cells, configured, style)
        lines.append("")
    for remark in _list_remarks(history):
        lines += [escape(remark), ""] if format == "markdown" else _wrap(remark, 0, style)
    return "\n".join(lines).rstrip("\n") + "\n"


def _list_remarks(history: History) -> Iterator[str]:
    """Yield which reports are not shown, and why."""
    if names := ", ".join(history.on_other_kernels):
        yield f"not on the kernel of their release, so not compared: {names}"
    if names := ", ".join(history.unknown):
        yield f"of a release that matrix/releases.py does not list, so not compared: {names}"


def _describe_single(family: Family, cells: Sequence[str]) -> str:
    """Return in one line the only release of a family, and what to type for another."""
    (only,) = family.releases
    if cells:
        more = f"to measure another: {get_invocation('matrix')} run {cells[0]}"
    else:
        more = (
            "to add another, measure a host: python3 -m probes report --json -o REPORT.json; "
            f"then type: {get_invocation('matrix')} history REPORT.json"
        )
    only_one = f"only one release recorded: {only.release.name} ({only.name})"
    return f"{family.title}: {only_one}; {more}"


def _describe_others(family: Family) -> str:
    return f"left out, as each release is shown by one report: {', '.join(family.others)}"


def _describe_releases(step: Step) -> list[tuple[str, str]]:
    """Return what an upgrade changes besides facts, and how it was measured: labels and texts."""

    def join(old: str, new: str) -> str:
        return old if old == new else f"{old or 'not known'} -> {new or 'not known'}"

    then, now = step.then, step.now
    old, new = then.platform, now.platform
    # On the BSDs the C library is a part of the system, and has no version of its own.
    own = new.libc == new.system.lower()
    entries = [
        ("kernel", join(f"{old.system} {old.release}", f"{new.system} {new.release}")),
        ("C library", "" if own else f"{new.libc} {join(old.libc_version, new.libc_version)}"),
        ("Python", join(old.python, new.python)),
        ("end of life", join(then.release.describe_end(), now.release.describe_end())),
        ("based on", join(then.release.based_on, now.release.based_on)),
        ("measured", " -> ".join(map(_describe_measurement, (then, now)))),
        ("also differs", ", ".join(map(str, step.list_circumstances()))),
    ]
    return [(label, make_printable(text)) for label, text in entries if text]


def _describe_measurement(recorded: Recorded) -> str:
    return f"{recorded.name} {recorded.report.measured_at.partition('T')[0]}".rstrip()


def _summarize(step: Step) -> str:
    changed, compared = len(step.list_changes(INHERENT)), len(step.list_compared(INHERENT))
    said = f"{changed} of {compared} facts changed"
    if not changed:
        said = f"nothing changed in {compared} facts"
    return f"{step.then.release.name} -> {step.now.release.name}: {said}"


def _list_notes(step: Step, configured: bool) -> Iterator[str]:
    """Yield what is not shown: facts that settings decide, and facts that were not compared."""
    changes = step.list_changes(CONFIGURED)
    if changes and not configured:
        ids = ", ".join(row.id for row in changes)
        yield f"also changed, perhaps by a setting of the machine: {ids} (--configured shows more)"
    missing = step.list_missing()
    if missing:
        total = sum(map(len, missing.values()))
        reasons = [f"{len(ids)} ({why})" for why, ids in missing.items()]
        if len(reasons) == 1:
            reasons = list(missing)
        facts = f"{total} fact{'s' * (total > 1)}"
        yield make_printable(f"not compared: {facts}: {', '.join(reasons)}")


def _list_sections(step: Step, configured: bool) -> Iterator[tuple[str, list[Row]]]:
    """Yield the changes, and apart those that a setting of the machine may decide."""
    yield "", step.list_changes(INHERENT)
    if configured:
        yield "decided by settings of the machine", step.list_changes(CONFIGURED)


def _find_setting(step: Step, row: Row) -> str:
    """Return the setting on which the fact hangs, with its values; empty if none is known."""
    setting = row.answered[-1].hangs_on
    if not setting:
        return ""
    old, new = (each.platform.sysctls.get(setting, "?") for each in (step.then, step.now))
    return f"{setting}, {old} -> {new}"


def _list_advice(probe: Probe | None) -> tuple[tuple[str, str], ...]:
    return (("Matters", probe.matters), ("Advice", probe.advice)) if probe else ()


def _render_text(
    family: Family, cells: Sequence[str], configured: bool, style: Style
) -> Iterator[str]:
    if not family.steps:
        yield make_printable(_describe_single(family, cells))
        return
    yield embolden(make_printable(family.title), style)
    for step in family.steps:
        yield ""
        yield from (embolden(line, style) for line in _wrap(_summarize(step), 0, style))
        for label, text in _describe_releases(step):
            yield from _list_entry(label, text, 2, style)
        for title, rows in _list_sections(step, configured):
            if title and rows:
                yield from ("", *_wrap(f"{title}:", 2, style))
            yield from _list_changes(step, rows, style)
        notes = list(_list_notes(step, configured))
        yield from [""] * bool(notes)
        for note in notes:
            yield from _wrap(note, 2, style)
    if family.others:
        yield from ("", *_wrap(make_printable(_describe_others(family)), 0, style))


def _list_changes(step: Step, rows: Sequence[Row], style: Style) -> Iterator[str]:
    """Yield the changes; what neighbouring facts have in common is said once, below them."""
    probes = load_catalogue()
    for advice, group in groupby(rows, lambda row: _list_advice(probes.get(row.id))):
        yield ""
        for row in group:
            question = probes[row.id].question if row.id in probes else ""
            yield from _list_question(make_printable(row.id), make_printable(question), style)
            old, new = map(make_printable, row.answers)
            yield from _wrap(f"{old} -> {new}", 6, style)
            if setting := _find_setting(step, row):
                yield from _list_entry("Hangs on", make_printable(setting), 6, style)
        for label, text in advice:
            yield from _list_entry(label, make_printable(text), 6, style)


def _list_question(id: str, question: str, style: Style) -> Iterator[str]:
    """Yield a fact's id, and its question beside or below it."""
    if 2 + count_columns(f"{id}  {question}") <= _find_width(style):
        yield f"  {id}  {question}".rstrip()
    else:
        yield f"  {id}"
        yield from _wrap(question, 4, style)


def _list_entry(label: str, text: str, indent: int, style: Style) -> Iterator[str]:
    """Yield a label and its text, which is wrapped in its own column."""
    column = indent + (14 if indent == 2 else 10)
    first, *rest = _wrap(text, column, style)
    yield (" " * indent + label).ljust(column) + first.lstrip()
    yield from rest


def _find_width(style: Style) -> int:
    return max(min(style.width or WIDTH, WIDTH), 40)


def _wrap(text: str, indent: int, style: Style) -> list[str]:
    """Return the text in lines that are indented."""
    return [" " * indent + line for line in wrap(text, _find_width(style) - indent)]


def _render_markdown(family: Family, cells: Sequence[str], configured: bool) -> Iterator[str]:
    if not family.steps:
        yield escape(_describe_single(family, cells))
        return
    probes = load_catalogue()
    yield f"## {escape(family.title)}"
    for step in family.steps:
        yield from ("", f"### {escape(_summarize(step))}", "")
        yield from (f"- {label}: {escape(text)}" for label, text in _describe_releases(step))
        for title, rows in _list_sections(step, configured):
            if not rows:
                continue
            head = ("fact", "question", step.then.release.name, step.now.release.name)
            yield from ("", f"{title}:" if title else "Changed:", "")
            yield format_row(*head, "matters", "advice")
            yield format_row(*["---"] * 6)
            for row in rows:
                probe = probes.get(row.id)
                question = probe.question if probe else ""
                advice = [text for _, text in _list_advice(probe)] or ["", ""]
                yield format_row(row.id, question, *row.answers, *advice)
        for note in _list_notes(step, configured):
            yield from ("", escape(note))
    if family.others:
        yield from ("", escape(_describe_others(family)))


def _render_json(history: History) -> str:
    document = {
        "schema": 1,
        "families": [_describe_family(family, cells) for family, cells in history.families],
        "on_other_kernels": history.on_other_kernels,
        "unknown": history.unknown,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _describe_family(family: Family, cells: Sequence[str]) -> dict[str, object]:
    return {
        "name": family.name,
        "title": family.title,
        "system": family.system,
        "architecture": family.architecture,
        "libc": family.libc,
        "kernel": family.kernel,
        "releases": [
            {
                "release": one.release.name,
                "report": one.name,
                "platform": str(one.platform),
                "measured_at": one.report.measured_at,
                "end_of_life": one.release.end_of_life or None,
                "support": one.release.support,
                "based_on": one.release.based_on,
            }
            for one in family.releases
        ],
        "others": family.others,
        "cells": cells,
        "steps": [_describe_step(step) for step in family.steps],
    }


def _describe_step(step: Step) -> dict[str, object]:
    return {
        "from": step.then.release.name,
        "to": step.now.release.name,
        "compared": {scope: len(step.list_compared(scope)) for scope in (INHERENT, CONFIGURED)},
        "changes": [
            _describe_change(step, row)
            for scope in (INHERENT, CONFIGURED)
            for row in step.list_changes(scope)
        ],
        "not_compared": [{"reason": why, "facts": ids} for why, ids in step.list_missing().items()],
        "circumstances": [
            {"what": each.what, "from": each.was, "to": each.now}
            for each in step.list_circumstances()
        ],
    }


def _describe_change(step: Step, row: Row) -> dict[str, object]:
    probe = load_catalogue().get(row.id)
    old, new = (
        {"status": fact.status, "value": fact.value, "reason": fact.reason} for fact in row.answered
    )
    return {
        "id": row.id,
        "scope": row.answered[-1].scope,
        "question": probe.question if probe else "",
        "from": old,
        "to": new,
        "hangs_on": _find_setting(step, row),
        "matters": probe.matters if probe else "",
        "advice": probe.advice if probe else "",
        "reference": probe.reference if probe else "",
    }
