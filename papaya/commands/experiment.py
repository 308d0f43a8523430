"""``papaya experiment run`` and ``papaya experiment report``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from probes.errors import CommandError

DEFAULT_CONNECTIONS = "1,2,4,8,16,32,64"


def add_parser(commands: Any) -> None:
    """The command with its own two."""
    parser = commands.add_parser("experiment", help="what do concurrency paradigms cost here?")
    inner = parser.add_subparsers(metavar="COMMAND", required=True)

    run = inner.add_parser("run", help="measure; a run that was killed goes on where it was")
    run.add_argument("--subjects", metavar="NAME,…", help="these alone (default: all there are)")
    run.add_argument("--connections", metavar="N,…", help=f"default: {DEFAULT_CONNECTIONS}")
    run.add_argument("--mbps", type=float, default=1.0, help="of a connection (default: 1)")
    run.add_argument("--size", type=int, default=1024, help="bytes a message (default: 1024)")
    run.add_argument("--seconds", type=float, help="measured of each repetition (default: 60)")
    run.add_argument("--warmup", type=float, help="seconds before, not measured (default: 5)")
    run.add_argument("--repeats", type=int, help="fresh starts of each (default: 10)")
    run.add_argument("--seed", type=int, default=1, help="of the order (default: 1)")
    run.add_argument(
        "--chat-rate", type=float, default=100.0, metavar="N",
        help="messages a second of all clients of a chat together (default: 100)",
    )  # fmt: skip
    run.add_argument(
        "--chat-size", type=int, default=64, help="bytes of such a message (default: 64)"
    )
    run.add_argument(
        "--paper", action="store_true", help="top(1) as the paper read it, beside the exact figures"
    )
    run.add_argument(
        "--quick", action="store_true", help="all subjects in three minutes: 1, 8, 32 connections"
    )
    run.add_argument(
        "--output", default="experiment", metavar="DIR", help="results folder (default: experiment)"
    )
    run.add_argument(
        "--no-report", action="store_true", help="no tables and plots; experiment report makes them"
    )
    run.set_defaults(run=_run)

    report = inner.add_parser("report", help="tables, plots and a page of a results folder")
    report.add_argument("folder", metavar="DIR")
    report.add_argument("--terminal", action="store_true", help="draw in the terminal; no files")
    report.add_argument("--json", action="store_true", help="what was found, as JSON; no files")
    report.set_defaults(run=_report)


def _run(options: argparse.Namespace) -> int:
    from pathlib import Path

    from ..experiment.measure.run import Plan, execute
    from ..experiment.report import output as report
    from ..experiment.results.folder import Design
    from ..experiment.subjects import SUBJECTS

    usual = {"connections": DEFAULT_CONNECTIONS, "seconds": 60.0, "warmup": 5.0, "repeats": 10}
    for name, value in (QUICK if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    for name in ("mbps", "size", "seconds", "repeats", "chat_rate", "chat_size"):
        check_positive(options, name)
    if not 0 <= options.warmup < math.inf:
        raise CommandError("--warmup is 0 or more")
    if options.seconds < 2 * WINDOW:
        raise CommandError(
            f"--seconds is {2 * WINDOW:g} or more: CPU time is read each {WINDOW:g} s"
        )
    names = options.subjects.split(",") if options.subjects else list(SUBJECTS)
    for name in names:
        if name not in SUBJECTS:
            raise CommandError(f"no subject {name!r}: there are {', '.join(SUBJECTS)}")
    design = Design(
        subjects=tuple(SUBJECTS[name] for name in dict.fromkeys(names)),
        connections=_counts(options.connections),
        mbps=options.mbps,
        size=options.size,
        seconds=options.seconds,
        warmup=options.warmup,
        repeats=options.repeats,
        window=WINDOW,
        seed=options.seed,
        paper=options.paper,
        chat_rate=options.chat_rate,
        chat_size=options.chat_size,
    )
    folder = Path(options.output)
    if not options.no_report:
        report.check_extras()
    try:
        status = execute(Plan(folder, design, ("papaya", *sys.argv[1:])), _say)
        if not options.no_report:
            report.write(folder, _say)
    except KeyboardInterrupt:
        raise CommandError(
            "interrupted; the same command goes on where this one was", 130
        ) from None
    return status


WINDOW = 0.5
"""Seconds: the paper's."""
QUICK = {"connections": "1,8,32", "seconds": 1.0, "warmup": 0.3, "repeats": 1}
"""Three minutes with all that is to be built; too few starts to tell much."""


def check_positive(options: argparse.Namespace, name: str) -> None:
    """CommandError where the option is no number above 0; what is not given is not looked at."""
    value = getattr(options, name)
    if value is not None and not 0 < value < math.inf:
        raise CommandError(f"--{name.replace('_', '-')} is more than 0")


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        raise CommandError(f"--connections {text!r}: whole numbers with commas between") from None
    if any(not 1 <= count <= 10000 for count in counts):
        raise CommandError("--connections are from 1 to 10000")
    return tuple(sorted(dict.fromkeys(counts)))


def _report(options: argparse.Namespace) -> int:
    from ..experiment.report import output as report

    if options.json:
        print(json.dumps(report.as_json(options.folder), indent=1))
    elif options.terminal:
        report.terminal(options.folder, sys.stdout)
    else:
        report.write(options.folder, _say)
    return 0


def _say(line: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{clear}experiment: {line}", file=sys.stderr, flush=True)
