"""The commands of papaya, one module each.

Each module has ``add_parser(commands)``, which sets ``run`` to a function from the parsed
arguments to the exit status.
"""

from __future__ import annotations

from probes.errors import CommandError


def parse_settings(words: list[str]) -> dict[str, str]:
    """Parse the values of ``--set``, each NAME=VALUE.  Raise CommandError."""
    pairs = dict(word.partition("=")[::2] for word in words)
    if not all(pairs.values()):
        raise CommandError("--set: not NAME=VALUE; write, for example, --set lock=ofd")
    return pairs
