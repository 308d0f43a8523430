"""explain: print all that is known about a fact."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..command_line import Parser
from ..fact import FAULTS, Report, show
from . import options
from .options import Commands

if TYPE_CHECKING:
    from ..measurement import RunOptions
    from ..probe import Probe
    from ..renderings import Style


@dataclass(frozen=True)
class ExplainRequest:
    """Which facts to explain: ids, globs, or words that their questions hold."""

    words: Sequence[str]
    run: RunOptions
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "explain facts, or find them by words: why they matter, documented and measured values"
    options.add_command(commands, "explain", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    options.add_run_options(parser)
    parser.add_argument(
        "words", nargs="+", metavar="ID", help="a fact's id, a glob, or words to look for"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    run = options.run_options_from(arguments)
    return explain(ExplainRequest(arguments.words, run, arguments.json))


def explain(request: ExplainRequest) -> int:
    """Measure the facts and explain them; only list them if words find several."""
    from ..files import write_output
    from ..terminal import choose_style
    from .input import are_ids, find_probes, measure
    from .list import print_list

    probes = find_probes(request.words)
    if len(probes) > 1 and not are_ids(request.words):
        # Several questions hold the words: the user chooses one.
        print_list(probes, request.as_json)
        return 0
    report = measure(probes, request.run)
    if request.as_json:
        document = {id: describe_fact(probe, report) for id, probe in probes.items()}
        write_output(None, json.dumps(document, indent=1) + "\n")
    else:
        style = choose_style()
        write_output(None, "\n".join(format_fact(p, report, style) for p in probes.values()))
    return 4 if any(fact.status in FAULTS for fact in report) else 0


def describe_fact(probe: Probe, report: Report) -> dict[str, Any]:
    """Return all that is known about a fact, for JSON."""
    from .list import describe_probe

    fact = report[probe.id]
    return {
        "id": probe.id,
        **describe_probe(probe),
        "measured": {**fact.to_json(), "platform": str(report.environment)},
        "differs": probe.differs(fact, report.environment),
    }


def format_fact(probe: Probe, report: Report, style: Style) -> str:
    """Return all that is known about a fact, as text."""
    import textwrap

    from ..renderings import embolden
    from ..text import make_printable

    fact = report[probe.id]
    width = min(style.width or 80, 100)
    measured = fact.answer if fact.measured else f"{fact.status}: {fact.reason}"
    if fact.raw is not None:
        measured += f" (raw sample: {fact.raw})"
    if probe.differs(fact, report.environment):
        measured += " - not the documented value"
    documented = "; ".join(f"{name}: {show(value)}" for name, value in probe.documented.items())
    setting = report.environment.sysctls.get(fact.hangs_on)
    entries = (
        ("Matters", probe.matters),
        ("Advice", probe.advice),
        ("Documented", documented or "no documented value recorded"),
        ("Here", f"{measured}, on {report.environment}"),
        ("Scope", probe.scope),
        *[("Hangs on", f"{fact.hangs_on}, {setting} here")] * bool(fact.hangs_on),
        ("Reference", probe.reference),
        ("Source", ":".join(map(str, probe.source))),
    )
    lines = [embolden(probe.id, style)]
    lines += textwrap.wrap(probe.question, width, initial_indent="  ", subsequent_indent="  ")
    for name, text in entries:
        lines += textwrap.wrap(
            make_printable(text), width, initial_indent=f"  {name:11} ", subsequent_indent=" " * 14,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines) + "\n"
