"""Write pages of facts, from the catalogue and the recorded reports."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from api_pages import write_if_changed
from sphinx.application import Sphinx

from probes import Report
from probes.fact import MEASURED, show
from probes.load_catalogue import load_catalogue
from probes.probe import Probe

LINUX, FREEBSD = "debian12-amd64", "freebsd13"
BASELINES = Path(__file__).resolve().parents[2] / "matrix" / "baselines"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write ``facts/FAMILY.md`` for each family, the page for porters, and their index."""
    folder = Path(app.srcdir) / "facts"
    folder.mkdir(exist_ok=True)
    paths = sorted(BASELINES.glob("*.json"), key=by_version)
    reports = {path.stem: Report.load(str(path)) for path in paths}
    families: dict[str, list[Probe]] = {}
    for probe in load_catalogue().values():
        families.setdefault(probe.family, []).append(probe)
    for family, probes in families.items():
        lines = [f"# {family}", "", f"{len(probes)} facts.", ""]
        for probe in probes:
            lines += describe_fact(probe, reports)
        write_if_changed(folder / f"{family}.md", "\n".join(lines))
    write_if_changed(folder / "configure.md", "\n".join(list_configure_tests(Path(app.srcdir))))
    differing = list_differences(families, reports[LINUX], reports[FREEBSD])
    write_if_changed(folder / "freebsd.md", "\n".join(differing))
    index = [
        "# Facts",
        "",
        f"{sum(map(len, families.values()))} facts in {len(families)} families; "
        f"recorded on {len(reports)} platforms.",
        "",
        "```{toctree}",
        "freebsd",
        "configure",
        *families,
        "```",
        "",
    ]
    write_if_changed(folder / "index.md", "\n".join(index))


def describe_fact(probe: Probe, reports: dict[str, Report]) -> list[str]:
    """Return the lines of one fact: question, reason, remedy, sources, answers."""
    lines = [f"## {probe.id}", "", f"**{escape(probe.question)}**", ""]
    lines += [escape(probe.matters), "", f"*What to do:* {escape(probe.advice)}", ""]
    lines += [f"*Reference:* {escape(probe.reference)}", ""] if probe.reference else []
    lines += [f"*Scope:* {probe.scope}", ""]
    documented: dict[str, list[str]] = {}
    for system, value in sorted(probe.documented.items()):
        documented.setdefault(show(value), []).append(system)
    rows = [(answer, "documented", names) for answer, names in documented.items()]
    rows += [(answer, "measured", names) for answer, names in group(probe, reports)]
    if rows:
        lines += ["| answer | how known | where |", "| --- | --- | --- |"]
        lines += [f"| {cell(answer)} | {how} | {', '.join(names)} |" for answer, how, names in rows]
        lines.append("")
    return lines


def list_differences(families: dict[str, list[Probe]], linux: Report, freebsd: Report) -> list[str]:
    """Return the lines of the page on facts that FreeBSD and Linux answer differently."""
    items: list[list[str]] = []
    for probe in (probe for probes in families.values() for probe in probes):
        here, there = linux.get(probe.id), freebsd.get(probe.id)
        if here and there and here.status == there.status == MEASURED and here.value != there.value:
            answers = f"FreeBSD: `{show(there.value)}`; Linux: `{show(here.value)}`"
            items.append(
                [
                    f"- **{escape(probe.question)}** {answers}.",
                    f"  {link(probe.id)}: {escape(probe.advice)}",
                ]
            )
    return [
        f"# FreeBSD {freebsd.environment.release} beside Linux",
        "",
        f"These {len(items)} facts have different answers on FreeBSD and on Debian 12. Both were "
        "measured on amd64: FreeBSD on 2026-11-26, on an emulated machine, with the scratch folder "
        "on tmpfs. papaya's selftest passed there on all three engines.",
        "",
        *(line for item in items for line in item),
        "",
    ]


def list_configure_tests(folder: Path) -> list[str]:
    """Return the lines of the page on what programs ask at configuration or run time."""
    projects: dict[str, list[tuple[str, str, str]]] = {}
    with (folder / "configure.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            facts = ", ".join(link(id) for id in row["facts"].split()) or "not asked yet"
            for asker in row["asked by"].split("; "):
                project, _, test = asker.partition(" ")
                projects.setdefault(project, []).append((test, row["behaviour"], facts))
    lines = [
        "# What configure scripts ask",
        "",
        "Programs ask many of these questions themselves: in a configure script, by a switch that "
        "is set for a platform, or when they start. Each test has the facts that answer it.",
        "",
    ]
    for project, rows in sorted(projects.items(), key=lambda item: item[0].lower()):
        lines += [f"## {project}", "", "| test | what it asks | facts |", "| --- | --- | --- |"]
        lines += [f"| {cell(test)} | {escape(what)} | {facts} |" for test, what, facts in rows]
        lines.append("")
    return lines


def link(id: str) -> str:
    """Return a link to a fact's place in its family's page."""
    return f"[{id}]({id.partition('.')[0]}.md#{id.replace('.', '')})"


def group(probe: Probe, reports: dict[str, Report]) -> Iterable[tuple[str, list[str]]]:
    """Return each recorded answer with the names of the platforms that gave it."""
    answers: dict[str, list[str]] = {}
    for name, report in reports.items():
        fact = report.get(probe.id)
        if fact is not None and fact.status == MEASURED:
            answers.setdefault(show(fact.value), []).append(name)
    return answers.items()


def by_version(path: Path) -> list[str | int]:
    """Return a key that puts python3.9 before python3.10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


def escape(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for character in "\\*_<>[]|#":
        text = text.replace(character, "\\" + character)
    return text


def cell(text: str) -> str:
    """Return text as code in a table, in which a bar would end the cell."""
    return "`" + text.replace("|", "\\|") + "`" if text else ""
