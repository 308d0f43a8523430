"""``papaya load``: offer a server a constant rate, and tell what came of it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from probes.errors import CommandError

from .experiment import check_positive


def add_parser(commands: Any) -> None:
    """The command."""
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


def _run(options: argparse.Namespace) -> int:
    from .. import key
    from ..client.connection import split_server
    from ..load import constant_rate
    from ..load.chat import shown

    if options.rate and options.mbps:
        raise CommandError("--rate or --mbps, not both")
    for name in ("connections", "rate", "mbps", "size", "seconds"):
        check_positive(options, name)
    if not 0 <= options.warmup < math.inf:
        raise CommandError("--warmup is 0 or more")
    size = options.size or (1024 if options.mbps else 64)
    rate = options.rate or 100.0
    if options.mbps:
        rate = options.connections * options.mbps * 1e6 / 8 / size
    offered = constant_rate.Offered(
        options.connections, rate, size, options.seconds, options.warmup
    )
    address = split_server(options.server)
    if options.program:
        if not options.sink:
            raise CommandError(f"--with {options.program} goes with --sink: it knows no chat")
        return _with_tcpkali(address, offered, options.json)
    secret = None if options.sink else key.load(options.key)
    if sys.stderr.isatty():
        wanted = offered.warmup + offered.seconds
        said = f"load: {shown(address)}: {offered.mbps:.3g} Mbps for {wanted:g} s"
        print(said, file=sys.stderr, flush=True)
    outcome = constant_rate.drive(address, offered, key=secret)
    _tell({"server": shown(address), **outcome.as_json()}, options.json)
    if outcome.refused:
        raise CommandError(f"{shown(address)}: no measurement: {outcome.refused}", 1)
    return 1 if outcome.lost or outcome.torn or outcome.duplicated or outcome.disordered else 0


def _tell(told: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        shown = f"{value:.3f}" if isinstance(value, float) else "-" if value is None else value
        print(f"{name:17} {shown}")


def _with_tcpkali(address: tuple[str, int], offered: Any, as_json: bool) -> int:
    """tcpkali(1) offers the same rate; it checks nothing and tells less."""
    import re
    import shutil
    import subprocess

    from ..load import constant_rate
    from ..load.chat import shown

    if not shutil.which("tcpkali"):
        raise CommandError("no tcpkali on the path: install it, or leave --with out")
    server = shown(address)
    rate = offered.rate / offered.connections
    # It unescapes the messages that are named after it is told to (tcpkali.c, case 'm').
    command = ["tcpkali", "--connections", str(offered.connections), "--nagle=off",
               "--write-combine=off", "--message-rate", f"{rate:g}",
               "--duration", f"{offered.seconds:g}s", "--unescape-message-args",
               "--message", "x" * (offered.size - 1) + "\\n", server]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"Aggregate bandwidth: .*?([\d.]+).? Mbps", done.stdout)
    if done.returncode or not found:
        said = (done.stderr or done.stdout).strip().splitlines() or ["not a word"]
        raise CommandError(f"{server}: tcpkali: {said[-1]}", 1)
    # "0.000↓, 63.9↑ Mbps": what went up is the last.
    achieved = float(re.findall(r"[\d.]+", found[0])[-1])
    told = {"server": server, "offered_mbps": offered.mbps, "achieved_mbps": achieved}
    _tell(told, as_json)
    if achieved < constant_rate.REACHED * offered.mbps:
        share = 100 * achieved / offered.mbps
        reached = f"{share:.1f} % of the offered rate was reached"
        raise CommandError(f"{server}: no measurement: {reached}", 1)
    return 0
