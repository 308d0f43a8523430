"""The command line: report · list · explain · diff · gate · pack."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Optional

from .fact import Report


def main(arguments: Optional[list[str]] = None) -> int:
    from . import environment, probe, runner

    parser = argparse.ArgumentParser(prog="probes")
    parser.add_argument("command")
    parser.add_argument("--format", default="text")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--deadline", type=float)
    parser.add_argument("--repeat", type=int, default=1)
    a = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        chosen = probe.select(probe.catalogue(), a.only, a.skip)
    except LookupError as error:
        print(f"probes: {error}", file=sys.stderr)
        return 2
    facts = runner.run(chosen, jobs=a.jobs, deadline=a.deadline, repeat=a.repeat)
    report = Report(
        environment.describe(environment.probes_hash()),
        facts,
        time.monotonic() - started,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    if a.format == "json":
        print(report.dumps(), end="")
    else:
        for fact in report:
            print(
                f"{fact.answer:14} {fact.id:44} {fact.milliseconds:7.1f} {fact.reason} {fact.raw or ''}"
            )
    return 0
