"""The command line: import the command's module, and run it.

Exit statuses: 0 as expected; 1 a check failed; 2 usage or unreadable input; 3 this machine or
its state does not allow it; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from probes.command_line import Parser, run_command
from probes.invocation import get_invocation
from probes.plugins import list_plugins, load_plugin
from probes.version import VERSION

from . import commands

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status."""

    def run() -> int:
        words = sys.argv[1:] if arguments is None else arguments
        options = _make_parser(words).parse_args(words)
        status: int = options.run(options)
        return status

    return run_command("papaya", run)


def _make_parser(words: Sequence[str] = ()) -> Parser:
    """Return a parser for the command that ``words`` begin with, or for all commands.

    A service should not import, and keep in memory, what only other commands need.
    """
    parser = Parser(
        prog=get_invocation("papaya"),
        description="A self-hosted chat service, configured by measured facts.",
    )
    parser.add_argument("--version", action="version", version=f"papaya {VERSION}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    names = list_plugins(commands)
    if words and words[0] in names:
        names = [words[0]]
    for name in names:
        load_plugin(commands, "command", name).add_parser(subparsers)
    return parser
