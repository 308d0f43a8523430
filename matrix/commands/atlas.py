"""atlas: write facts by platform as one web page."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from .options import Commands, TableRequest, add_table_options


@dataclass(frozen=True)
class AtlasRequest:
    """What the page shows, and where it goes."""

    table: TableRequest
    output: str | None


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "write the table as one web page to search and filter"
    parser = commands.add_parser("atlas", help=help)
    parser.set_defaults(run=_run)
    add_table_options(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: standard output")


def _run(arguments: argparse.Namespace) -> int:
    return write(AtlasRequest(TableRequest.from_arguments(arguments), arguments.output))


def write(request: AtlasRequest) -> int:
    """Write the page."""
    from probes.files import write_output

    from ..assemble import assemble_table
    from ..report.atlas import render_page

    write_output(request.output, render_page(assemble_table(request.table)))
    return 0
