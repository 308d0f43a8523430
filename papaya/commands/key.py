"""``papaya key new``: make a key."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class NewKeyRequest:
    """What the user asked for."""

    path: str


def add_parser(commands: Any) -> None:
    """Add the command ``key`` with its action ``new``."""
    parser = commands.add_parser("key", help="make a key")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="write a new key to a file that only you can read")
    new.add_argument("file", metavar="FILE")
    new.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return make_key(NewKeyRequest(options.file))


def make_key(request: NewKeyRequest) -> int:
    """Write a new key, and return the exit status."""
    from .. import key

    key.create(request.path)
    print(f"papaya: wrote {request.path}", file=sys.stderr)
    return 0
