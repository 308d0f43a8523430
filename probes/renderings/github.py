"""github: workflow commands of GitHub Actions: facts in groups, and annotations.

GitHub shows ten annotations of a kind per step; the tenth names all further ones.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Optional

from ..fact import FAULTS, Fact, Report
from ..probe import Probe
from ..text import make_printable
from . import (
    Style,
    describe_platform,
    differs,
    find_question,
    format_documented,
    group_by_family,
    summarize,
)
from .text import Layout

MOST = 10

Annotation = tuple[str, Optional[tuple[str, int]], str, str]
"""Kind (error, warning or notice), file and line, title, text."""


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as workflow commands."""
    layout = Layout(report, probes, Style())
    lines = _group("platform", (f"{label}: {text}" for label, text in describe_platform(report)))
    for family, facts in group_by_family(report, probes).items():
        lines += _group(f"{family} ({len(facts)})", layout.format_facts(facts))
    text = "\n".join(lines) + "\n"
    return f"{text}{format_annotations(list_findings(report, probes))}{summarize(report)}\n"


def list_findings(report: Report, probes: Mapping[str, Probe]) -> Iterator[Annotation]:
    """Yield an annotation for each fact that failed or differs from the documented answer."""
    for fact in report:
        yield from _make_annotation(fact, report, probes)


def _group(title: str, lines: Iterable[str]) -> list[str]:
    return [f"::group::{title}", *map(defuse, lines), "::endgroup::"]


def _make_annotation(
    fact: Fact, report: Report, probes: Mapping[str, Probe]
) -> Iterable[Annotation]:
    probe = probes.get(fact.id)
    source = probe.source if probe else None
    if fact.status in FAULTS:
        asked = find_question(fact, probes)
        yield "error", source, fact.id, f"{asked} {fact.status}: {fact.reason}"
    elif probe and differs(fact, report, probes):
        promise = format_documented(fact, report, probes)
        text = f"{probe.question} {fact.answer}; documented: {promise}. Advice: {probe.advice}"
        yield "warning", source, fact.id, text


def format_annotations(found: Iterable[Annotation]) -> str:
    """Return the workflow commands: at most ten of a kind, of which the tenth names the rest."""
    kinds: dict[str, list[Annotation]] = {}
    for annotation in found:
        kinds.setdefault(annotation[0], []).append(annotation)
    lines = []
    for kind, all in kinds.items():
        shown = all if len(all) <= MOST else all[: MOST - 1]
        for _, source, title, text in shown:
            where = f"file={_escape_property(source[0])},line={source[1]}," if source else ""
            lines.append(f"::{kind} {where}title={_escape_property(title)}::{escape(text)}\n")
        rest = [title for _, _, title, _ in all[len(shown) :]]
        if rest:
            text = f"{len(rest)} more: {', '.join(dict.fromkeys(rest))}"
            lines.append(f"::{kind} title={len(rest)} more::{escape(text)}\n")
    return "".join(lines)


def escape(text: str) -> str:
    """Return ``text`` as the data of a workflow command, which is one line."""
    return make_printable(text).replace("%", "%25")


def _escape_property(text: str) -> str:
    return escape(text).replace(":", "%3A").replace(",", "%2C")


def defuse(line: str) -> str:
    """Return a line of a log so that the runner does not take it for a command.

    Commands are ``::name::`` at the start of a line and, in the old form, ``##[name]`` anywhere.
    """
    line = line.replace("##[", "# #[")
    start = len(line) - len(line.lstrip())
    return line[:start] + ": :" + line[start + 2 :] if line.startswith("::", start) else line
