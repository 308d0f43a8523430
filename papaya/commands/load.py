"""``papaya load``: offer a server a constant rate, and tell what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

from probes.errors import CommandError

from ._numbers import check_positive, check_warmup


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "load", help="offer a server a constant rate, and check every delivery"
    )
    parser.add_argument("server", metavar="HOST[:PORT]")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--key", metavar="FILE", help="of a chat: every delivery is checked")
    kind.add_argument("--sink", action="store_true", help="the server answers nothing")
    parser.add_argument("--connections", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument(
        "--rate", type=float, metavar="N",
        help="messages a second of all connections together (default: 100)",
    )  # fmt: skip
    parser.add_argument("--mbps", type=float, help="of each connection, in place of --rate")
    parser.add_argument(
        "--size", type=int, metavar="BYTES", help="of a message (default: 64, 1024 with --mbps)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="default: 10")
    parser.add_argument("--warmup", type=float, default=1.0, help="before, not counted; default: 1")
    parser.add_argument(
        "--with", dest="program", choices=["tcpkali"], help="another program offers it"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class LoadRequest:
    """The load that ``papaya load`` was asked to offer; None if not given."""

    server: str
    key: str | None
    connections: int
    rate: float | None
    mbps: float | None
    size: int | None
    seconds: float
    warmup: float
    program: str | None
    json: bool


def _run(options: argparse.Namespace) -> int:
    return offer_load(
        LoadRequest(
            server=options.server,
            key=options.key,
            connections=options.connections,
            rate=options.rate,
            mbps=options.mbps,
            size=options.size,
            seconds=options.seconds,
            warmup=options.warmup,
            program=options.program,
            json=options.json,
        )
    )


def offer_load(request: LoadRequest) -> int:
    """Offer the load, print what came of it, and return the exit status."""
    from .. import key
    from ..client.connection import split_server
    from ..load import constant_rate
    from ..load.chat import format_address

    if request.rate and request.mbps:
        raise CommandError("--rate or --mbps, not both")
    check_positive(
        connections=request.connections,
        rate=request.rate,
        mbps=request.mbps,
        size=request.size,
        seconds=request.seconds,
    )
    check_warmup(request.warmup)
    size = request.size or (1024 if request.mbps else 64)
    rate = request.rate or 100.0
    if request.mbps:
        rate = request.connections * request.mbps * 1e6 / 8 / size
    offered = constant_rate.Offered(
        request.connections, rate, size, request.seconds, request.warmup
    )
    address = split_server(request.server)
    if request.program:
        if request.key is not None:
            raise CommandError(f"--with {request.program} goes with --sink: it knows no chat")
        return _run_tcpkali(address, offered, request.json)
    secret = None if request.key is None else key.load(request.key)
    if sys.stderr.isatty():
        wanted = offered.warmup + offered.seconds
        said = f"load: {format_address(address)}: {offered.mbps:.3g} Mbps for {wanted:g} s"
        print(said, file=sys.stderr, flush=True)
    outcome = constant_rate.drive(address, offered, key=secret)
    _print_outcome({"server": format_address(address), **outcome.as_json()}, request.json)
    if outcome.refused:
        raise CommandError(f"{format_address(address)}: no measurement: {outcome.refused}", 1)
    return 1 if outcome.lost or outcome.torn or outcome.duplicated or outcome.disordered else 0


def _print_outcome(told: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        shown = f"{value:.3f}" if isinstance(value, float) else "-" if value is None else value
        print(f"{name:17} {shown}")


def _run_tcpkali(address: tuple[str, int], offered: Any, as_json: bool) -> int:
    """Have tcpkali(1) offer the same rate; it checks nothing and reports less."""
    import re
    import shutil
    import subprocess

    from ..load import constant_rate
    from ..load.chat import format_address

    if not shutil.which("tcpkali"):
        raise CommandError("tcpkali: not found on PATH; install it or omit --with")
    server = format_address(address)
    rate = offered.rate / offered.connections
    # It unescapes the messages that are named after it is told to (tcpkali.c, case 'm').
    command = ["tcpkali", "--connections", str(offered.connections), "--nagle=off",
               "--write-combine=off", "--message-rate", f"{rate:g}",
               "--duration", f"{offered.seconds:g}s", "--unescape-message-args",
               "--message", "x" * (offered.size - 1) + "\\n", server]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"Aggregate bandwidth: .*?([\d.]+).? Mbps", done.stdout)
    if done.returncode or not found:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise CommandError(f"{server}: tcpkali: {said[-1]}", 1)
    # "0.000↓, 63.9↑ Mbps": what went up is the last.
    achieved = float(re.findall(r"[\d.]+", found[0])[-1])
    told = {"server": server, "offered_mbps": offered.mbps, "achieved_mbps": achieved}
    _print_outcome(told, as_json)
    if achieved < constant_rate.REACHED * offered.mbps:
        share = 100 * achieved / offered.mbps
        reached = f"{share:.1f} % of the offered rate was reached"
        raise CommandError(f"{server}: no measurement: {reached}", 1)
    return 0
