"""box: build a guest image that no one publishes, or find it in the cache."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

from probes.errors import CommandError

from .. import boxes
from ..errors import Unavailable
from .options import Commands


@dataclass(frozen=True)
class BoxRequest:
    """Which box to build."""

    name: str
    force: bool
    """Build it again although it is in the cache."""
    as_json: bool


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "build a box that no one publishes, or find it in the cache"
    parser = commands.add_parser("box", help=help)
    parser.set_defaults(run=_run)
    parser.add_argument("box", metavar="NAME[:ARGUMENT]", help=", ".join(boxes.list_boxes()))
    parser.add_argument("--force", action="store_true", help="build it again if it is in the cache")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    return build(BoxRequest(arguments.box, arguments.force, arguments.json))


def build(request: BoxRequest) -> int:
    """Build the box, and print where its files are."""
    name, _, argument = request.name.partition(":")
    module = boxes.load_box(name)
    arguments = [argument] if hasattr(module, "ARGUMENT") else []
    if argument and not arguments:
        raise CommandError(f"the box {name} takes no argument: matrix box {name}")

    def say(line: str) -> None:
        print(f"{request.name}: {line}", file=sys.stderr, flush=True)

    try:
        made = asdict(module.build(say, request.force, *arguments))
    except Unavailable as error:
        raise CommandError(str(error), 3) from None
    if request.as_json:
        print(json.dumps(made, indent=1))
    else:
        width = max(map(len, made))
        for name, value in made.items():
            print(f"{name.ljust(width)}  {value}")
    return 0
