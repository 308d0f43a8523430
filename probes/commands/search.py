"""search: find facts by what a user sees go wrong."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ..command_line import Parser
from ..errors import CommandError
from . import options
from .options import Commands


@dataclass(frozen=True)
class SearchRequest:
    """The words to look for."""

    words: Sequence[str]
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "find facts by a symptom, an error or a call: the best first"
    options.add_command(commands, "search", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="+", metavar="TEXT", help="such as 'Address already in use after a restart'"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    return search(SearchRequest(arguments.words, arguments.json))


def search(request: SearchRequest) -> int:
    """Print the facts that the words mean, the best first."""
    from ..load_catalogue import load_catalogue
    from ..search import find
    from .list import print_list

    probes = load_catalogue()
    text = " ".join(request.words)
    found = find(probes, text)
    if not found:
        raise CommandError(f"no fact says anything of {text!r}: try an error, a call or an option")
    print_list({id: probes[id] for id in found}, request.as_json)
    return 0
