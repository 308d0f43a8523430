"""``papaya settings``: show what is chosen on this host, and by which facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import parse_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..settings import Settings


@dataclass(frozen=True)
class SettingsRequest:
    """What the user asked for."""

    report: str
    """The file to take the facts from; empty to measure them."""
    forced: Mapping[str, str]
    json: bool


def add_parser(commands: Any) -> None:
    """Add the command ``settings``."""
    parser = commands.add_parser(
        "settings", help="show the chosen settings and the facts they depend on"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="take the facts from this report, such as another host's"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="fix a setting instead of choosing it from facts",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    forced = parse_settings(options.set)
    return print_settings(SettingsRequest(options.report or "", forced, options.json))


def print_settings(request: SettingsRequest) -> int:
    """Print the settings, and return the exit status."""
    from ..settings import load_settings

    settings = load_settings(request.report, request.forced)
    print(_format_json(settings) if request.json else _format_text(settings))
    return 0


def _format_json(settings: Settings) -> str:
    document = {
        choice.name: {
            "question": choice.question,
            "value": choice.value,
            "because": choice.because,
            "facts": dict(choice.facts),
        }
        for choice in settings.choices.values()
    }
    return json.dumps(document, indent=1)


def _format_text(settings: Settings) -> str:
    width = max(len(name) for name in settings.choices)
    lines = []
    for choice in settings.choices.values():
        lines.append(f"{choice.name.ljust(width)}  {choice.value}")
        lines.append(f"{'':{width}}    {choice.because}")
        lines += [f"{'':{width}}    {id}: {answer}" for id, answer in choice.facts.items()]
    return "\n".join(lines)
