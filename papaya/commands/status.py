"""``papaya status``: print the counters of a running service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class StatusRequest:
    """What the user asked for."""

    socket_path: str


def add_parser(commands: Any) -> None:
    """Add the command ``status``."""
    parser = commands.add_parser("status", help="print the counters of a running service as JSON")
    parser.add_argument(
        "socket", metavar="SOCKET", help="status socket of the service, usually LOG.status"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return print_status(StatusRequest(options.socket))


def print_status(request: StatusRequest) -> int:
    """Print the counters, and return the exit status."""
    from ..server import status

    print(json.dumps(status.read_counters(request.socket_path), indent=1))
    return 0
