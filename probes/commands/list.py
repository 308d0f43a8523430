"""list: print the questions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..command_line import Parser
from ..errors import CommandError
from . import options
from .options import Commands, Selection

if TYPE_CHECKING:
    from ..probe import Probe


@dataclass(frozen=True)
class ListRequest:
    """Which questions to list: those that words find, of those selected."""

    words: Sequence[str]
    selection: Selection
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "list the questions: id, scope, question"
    options.add_command(commands, "list", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="WORDS", help="an id, a glob, or words to look for: 'poll tty'"
    )
    options.add_selection_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    return list_probes(
        ListRequest(arguments.words, Selection.from_arguments(arguments), arguments.json)
    )


def list_probes(request: ListRequest) -> int:
    """Print the questions."""
    from .input import find_probes, select_probes

    probes = select_probes(request.selection)
    if request.words:
        found = find_probes(request.words)
        probes = {id: probe for id, probe in found.items() if id in probes}
        if not probes:
            raise CommandError("nothing is left to list: --only and --skip leave out all found")
    print_list(probes, request.as_json)
    return 0


def describe_probe(probe: Probe) -> dict[str, Any]:
    """Return all that the catalogue has on a fact, for JSON."""
    return {
        "question": probe.question,
        "scope": probe.scope,
        "hangs_on": dict(probe.hangs_on),
        "matters": probe.matters,
        "advice": probe.advice,
        "symptoms": list(probe.symptoms),
        "reference": probe.reference,
        "documented": dict(probe.documented),
    }


def print_list(probes: Mapping[str, Probe], as_json: bool) -> None:
    """Print a line, or a JSON object, for each probe."""
    from ..files import write_output

    if as_json:
        document = {probe.id: describe_probe(probe) for probe in probes.values()}
        write_output(None, json.dumps(document, indent=1) + "\n")
        return
    width = max(map(len, probes))
    lines = [f"{p.id.ljust(width)}  {p.scope:11}  {p.question}\n" for p in probes.values()]
    write_output(None, "".join(lines))
