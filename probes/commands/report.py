"""report: measure this host and print every fact."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .. import renderings
from ..command_line import Parser
from ..errors import CommandError
from ..fact import FAULTS
from . import options
from .options import Commands, Selection

if TYPE_CHECKING:
    from ..measurement import RunOptions


@dataclass(frozen=True)
class ReportRequest:
    """What to measure, how, and the form of the report."""

    selection: Selection
    run: RunOptions
    format: str
    output: Optional[str]
    verbose: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "measure this host and print every fact"
    options.add_command(commands, "report", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    options.add_selection_options(parser)
    options.add_run_options(parser)
    options.add_format_options(parser, renderings.list_formats())
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE (default: standard output)"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="add what to do about each fact"
    )


def _run(arguments: argparse.Namespace) -> int:
    return report(
        ReportRequest(
            Selection.from_arguments(arguments),
            options.run_options_from(arguments),
            arguments.format,
            arguments.output,
            arguments.verbose,
        )
    )


def report(request: ReportRequest) -> int:
    """Measure, write the report, and return the exit status."""
    from ..files import write_output
    from ..terminal import choose_style
    from .input import measure, select_probes

    probes = select_probes(request.selection)
    measured = measure(probes, request.run)
    style = choose_style(request.output, request.verbose)
    write_output(request.output, renderings.render(request.format, measured, probes, style))
    if request.format == "github":
        from ..step_summary import append_step_summary

        append_step_summary(renderings.render("markdown", measured, probes, style))
    counts = measured.counts()
    if any(counts[status] for status in FAULTS):
        return 4
    if not counts["measured"]:
        raise CommandError("nothing could be measured; each fact says why", 3)
    return 0
