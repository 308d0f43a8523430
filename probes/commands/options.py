"""Options that several commands have, and the parts of requests that are made from them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..command_line import Parser

if TYPE_CHECKING:
    from ..measurement import RunOptions

Commands = Any
"""What `argparse.ArgumentParser.add_subparsers` returns; its class has no public name."""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help: str,
    add_options: Callable[[Parser], None],
) -> None:
    """Add a command that calls ``run`` with its arguments."""
    description = help[0].upper() + help[1:] + "."
    parser = commands.add_parser(name, help=help, description=description, options=add_options)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Selection:
    """Globs of the facts to measure, and of those to leave out."""

    only: Sequence[str] = ()
    skip: Sequence[str] = ()

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Selection:
        """Return what the options of `add_selection_options` chose."""
        return cls(arguments.only, arguments.skip)

    def __bool__(self) -> bool:
        """Return whether any facts are left out."""
        return bool(self.only or self.skip)


def add_selection_options(parser: Parser) -> None:
    """Add --only and --skip."""
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB",
        help="measure facts that match, such as 'signals.*' or signals; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--skip", action="append", default=[], metavar="GLOB", help="leave out facts that match"
    )


def add_run_options(parser: Parser) -> None:
    """Add --jobs, --deadline and --repeat."""
    parser.add_argument(
        "--jobs",
        type=parse_count,
        metavar="N",
        help="run N probes at once (default: twice the processors)",
    )
    add_deadline_option(parser)
    parser.add_argument(
        "--repeat", type=parse_count, default=1, metavar="N",
        help="measure N times; a fact that varies is unstable",
    )  # fmt: skip


def run_options_from(arguments: argparse.Namespace) -> RunOptions:
    """Return what the options of `add_run_options` chose."""
    from ..measurement import RunOptions

    return RunOptions(arguments.jobs, arguments.deadline, arguments.repeat)


def add_deadline_option(parser: Parser) -> None:
    """Add --deadline."""
    parser.add_argument(
        "--deadline", type=parse_seconds, metavar="S",
        help="seconds that a probe may take (default: 10, more on a slow machine)",
    )  # fmt: skip


def add_format_options(parser: Parser, formats: Sequence[str]) -> None:
    """Add --format, and --json as its short form."""
    parser.add_argument("--format", choices=formats, default="text", help="default: text")
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )


def parse_count(text: str) -> int:
    """Return a whole number from 1 to 10000."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not 1 <= number <= 10000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10000")
    return number


def parse_seconds(text: str) -> float:
    """Return a number of seconds, at most a day."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < number <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400 seconds")
    return number
