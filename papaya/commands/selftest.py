"""``papaya selftest``: check that the chat works on this machine."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class SelftestRequest:
    """What the user asked for."""

    engine: str | None
    report: str
    """The file to take the facts from; empty to measure them."""
    json: bool


def add_parser(commands: Any) -> None:
    """Add the command ``selftest``."""
    parser = commands.add_parser("selftest", help="check that the chat works on this machine")
    parser.add_argument("--engine", help="check only this engine (default: all)")
    parser.add_argument("--report", metavar="FILE", help="take this host's facts from this report")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_selftest(SelftestRequest(options.engine, options.report or "", options.json))


def run_selftest(request: SelftestRequest) -> int:
    """Run the selftest, print its results, and return the exit status."""
    import tempfile

    from .. import selftest
    from ..settings import measure_for_settings

    engines = selftest.select_engines(request.engine)
    with tempfile.NamedTemporaryFile(suffix=".json") as measured:
        report = os.path.abspath(request.report) if request.report else ""
        if not report:
            # Measured once, instead of by each server.
            report = measured.name
            measured.write(measure_for_settings({}).dumps().encode())
            measured.flush()
        results = selftest.run_checks(engines, "--report", report, show_progress=_show_progress)
    _show_progress("")
    passed = selftest.has_passed(results)
    if request.json:
        print(json.dumps({"passed": passed, "engines": results}, indent=1))
    else:
        for name, checks in results.items():
            for check, outcome in checks.items():
                print(f"{name}: {check}: {'ok' if outcome is True else outcome}")
    return 0 if passed else 1


def _show_progress(engine: str) -> None:
    """Show the engine that is being checked on a terminal; clear the line if it is empty."""
    if sys.stderr.isatty():
        line = f"{engine} …" if engine else ""
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
