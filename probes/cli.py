"""The command line: report · list · search · explain · diff · gate · pack · debug.

Exit statuses: 0 as expected; 1 behaviour drifted, or the reports differ; 2 usage or
unreadable input; 3 the environment failed, or nothing could be measured; 4 a probe
broke, timed out or was unstable; 130 interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Optional

from .command_line import Parser, run_command
from .commands import debug, diff, explain, gate, list, pack, report, search
from .invocation import get_invocation
from .version import VERSION

COMMANDS = (report, list, search, explain, diff, gate, pack, debug)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit status."""

    def run() -> int:
        options = _make_parser().parse_args(arguments)
        status: int = options.run(options)
        return status

    return run_command("probes", run)


def _make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=get_invocation(),
        description="Measure how the system calls of this Unix really behave.",
        epilog="Exit status: 0 as expected, 1 behaviour drifted or reports differ, 2 usage or "
        "unreadable input, 3 environment failed or nothing measured, 4 a probe broke or timed "
        "out, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"probes {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
