"""diff: compare reports."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ..command_line import Parser
from ..errors import CommandError
from . import options
from .options import Commands


@dataclass(frozen=True)
class DiffRequest:
    """Which reports to compare."""

    paths: Sequence[str]
    show_all: bool
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "compare reports: what differs, and what was not measured"
    options.add_command(commands, "diff", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "reports", nargs="+", metavar="REPORT", help="two reports or more (JSON; - reads one)"
    )
    parser.add_argument("--all", action="store_true", help="also show the rows that agree")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    return diff(DiffRequest(arguments.reports, arguments.all, arguments.json))


def diff(request: DiffRequest) -> int:
    """Print how the reports differ; return 1 if they do."""
    from ..comparison import compare_reports
    from ..files import write_output
    from ..load_catalogue import load_catalogue
    from ..render_comparison import render_json, render_text
    from ..terminal import choose_style
    from .input import check_read_once, load_report

    if len(request.paths) < 2:
        raise CommandError("diff needs two reports or more")
    check_read_once(request.paths)
    reports = [(path, load_report(path)) for path in request.paths]
    rows = compare_reports([report for _, report in reports])
    probes = load_catalogue()
    if request.as_json:
        text = render_json(reports, rows, request.show_all, probes)
    else:
        text = render_text(reports, rows, request.show_all, probes, choose_style())
    write_output(None, text)
    if not any(len(row.answered) > 1 for row in rows):
        raise CommandError("nothing to compare: no fact is measured in two of the reports", 3)
    return 1 if any(row.differs for row in rows) else 0
