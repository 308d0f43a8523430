"""``papaya chat``: join a chat."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probes.errors import CommandError

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class ChatRequest:
    """What the user asked for; None is for the environment or ``client.toml`` to say."""

    server: str | None
    key: str | None
    name: str | None
    plain: bool
    once: bool


def add_parser(commands: Any) -> None:
    """Add the command ``chat``."""
    parser = commands.add_parser("chat", help="join a chat")
    parser.add_argument(
        "server", metavar="HOST[:PORT]", nargs="?",
        help="server (default: $PAPAYA_SERVER, or the one in client.toml)",
    )  # fmt: skip
    parser.add_argument(
        "--key", metavar="FILE", help="file with the key (default: $PAPAYA_KEY or client.toml's)"
    )
    parser.add_argument(
        "--name",
        help="your name in the chat (default: $PAPAYA_NAME, client.toml's or your login name)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="read lines from standard input, print lines"
    )
    parser.add_argument(
        "--once", action="store_true",
        help="with --plain: end when every line has come back; exit status 1 if one has not",
    )  # fmt: skip
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return chat(ChatRequest(options.server, options.key, options.name, options.plain, options.once))


def chat(request: ChatRequest) -> int:
    """Chat until the user leaves, and return the exit status."""
    from ..client import connection, plain

    if request.once and not request.plain:
        raise CommandError("--once needs --plain; add --plain")
    account = connection.load_account(request.server, request.key, request.name)
    if request.plain:
        return plain.run(account, request.once)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("not a terminal; add --plain for pipes and scripts")
    try:
        from ..client import screen
    except ImportError as missing:
        raise CommandError(
            f"the terminal interface needs {missing.name}; pip install 'textual>=1', "
            "or chat with --plain",
            3,
        ) from None
    return screen.run(account)
