"""table: show facts by platform."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from ..report import FORMATS
from .options import Commands, TableRequest, add_table_options


@dataclass(frozen=True)
class ShowRequest:
    """What the table shows, in which format, and where it goes."""

    table: TableRequest
    format: str
    show_all: bool
    wide: bool
    output: str | None


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("table", help="show facts by platform: the rows that differ")
    parser.set_defaults(run=_run)
    add_table_options(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--all", action="store_true", help="also show the rows that agree")
    parser.add_argument(
        "--wide",
        action="store_true",
        help="show each platform by itself (default: up to 6; more are shown by families)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there, whole or not at all")


def _run(arguments: argparse.Namespace) -> int:
    table = TableRequest.from_arguments(arguments)
    return show(
        ShowRequest(table, arguments.format, arguments.all, arguments.wide, arguments.output)
    )


def show(request: ShowRequest) -> int:
    """Write the table."""
    from probes.files import write_output
    from probes.terminal import choose_style

    from ..assemble import assemble_table
    from ..report import render_table

    style = choose_style(request.output)
    table = assemble_table(request.table)
    text = render_table(request.format, table, request.show_all, style, request.wide)
    write_output(request.output, text)
    return 0
