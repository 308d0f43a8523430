"""debug: run one probe, and show its output, tracebacks and system calls."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Optional

from ..command_line import Parser
from ..errors import CommandError
from ..fact import FAULTS
from . import options
from .options import Commands, Selection


@dataclass(frozen=True)
class DebugRequest:
    """The probe to run, and how."""

    id: str
    here: bool
    deadline: Optional[float]
    repeat: int
    trace: bool
    output: Optional[str]


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "ask one probe: show its output, tracebacks and calls"
    options.add_command(commands, "debug", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="a fact's id")
    parser.add_argument(
        "--here", action="store_true",
        help="ask in this process, where a debugger can stop, not in a new one",
    )  # fmt: skip
    options.add_deadline_option(parser)
    parser.add_argument(
        "--repeat",
        type=options.parse_count,
        default=1,
        metavar="N",
        help="ask N times, one after the other",
    )
    parser.add_argument("--strace", action="store_true", help="show the probe's system calls")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the system calls to FILE (default: standard output)",
    )


def _run(arguments: argparse.Namespace) -> int:
    request = DebugRequest(
        id=arguments.id,
        here=arguments.here,
        deadline=arguments.deadline,
        repeat=arguments.repeat,
        trace=arguments.strace,
        output=arguments.output,
    )
    if request.here and request.deadline:
        raise CommandError("--deadline ends the process of a probe: leave --here out")
    if request.output and not request.trace:
        raise CommandError("--output takes the system calls: add --strace")
    return debug(request)


def debug(request: DebugRequest) -> int:
    """Run the probe once, and return 0 if it measured a value."""
    from .. import ask
    from ..measurement import check_null_device, explain_refusals
    from .input import select_probes

    probes = select_probes(Selection(only=[request.id]))
    if len(probes) > 1:
        raise CommandError(f"{request.id!r} matches {len(probes)} probes: give one whole id")
    (probe,) = probes.values()
    check_null_device()
    if request.trace:
        return _trace(request, probe.id)
    with explain_refusals():
        if request.here:
            fact = ask.ask_here(probe, request.repeat)
        else:
            fact = ask.ask_in_child(probe, request.repeat, request.deadline)
    if fact.status in FAULTS:
        return 4
    return 0 if fact.measured else 3


def _trace(request: DebugRequest, id: str) -> int:
    from ..files import write_output
    from ..strace import trace

    arguments = [id, f"--repeat={request.repeat}"]
    arguments += ["--here"] if request.here else []
    arguments += [f"--deadline={request.deadline}"] if request.deadline else []
    status, calls = trace(arguments)
    write_output(request.output, calls.decode("utf-8", "backslashreplace"))
    return status
