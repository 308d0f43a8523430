"""The command line: run · exec · shell · doctor · baseline · box · table · atlas · history.

Exit statuses: 0 as expected; 1 a gate or a selftest failed; 2 usage or unreadable input;
3 a platform could not be brought up; 4 a probe broke or timed out; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from probes.command_line import Parser, run_command
from probes.invocation import get_invocation
from probes.version import VERSION

from .commands import atlas, baseline, box, doctor, exec, history, run, shell, table
from .commands.options import add_place_options

COMMANDS = (run, exec, shell, doctor, baseline, box, table, atlas, history)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""

    def run_once() -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A letter that the locale lacks is shown as an escape.
            sys.stdout.reconfigure(errors="backslashreplace")
        words, command = _split_command(sys.argv[1:] if arguments is None else arguments)
        options = _make_parser().parse_args(words)
        options.command = command
        status: int = options.run(options)
        return status

    return run_command("matrix", run_once)


def _split_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off the command that follows ``exec … --``; argparse would take it for cells."""
    if "exec" in words and "--" in words[words.index("exec") :]:
        at = words.index("--", words.index("exec"))
        return [*words[:at]], [*words[at + 1 :]]
    return [*words], []


def _make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=get_invocation("matrix"),
        description="Measure platforms, and compare them with baselines.",
    )
    parser.add_argument("--version", action="version", version=f"matrix {VERSION}")
    add_place_options(parser, None)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    for added in commands.choices.values():
        # Also after the command's name, where they must not undo what was given before it.
        add_place_options(added, argparse.SUPPRESS)
    return parser
