"""``papaya experiment run`` and ``papaya experiment report``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probes.errors import CommandError

from ._numbers import check_positive, check_warmup

if TYPE_CHECKING:
    from pathlib import Path

    from ..experiment.results.folder import Design

DEFAULT_CONNECTIONS = "1,2,4,8,16,32,64"
WINDOW = 0.5
"""Seconds between two readings of CPU time, as in the paper."""


@dataclass(frozen=True)
class Defaults:
    """The values of the options that the user leaves out."""

    connections: str
    seconds: float
    warmup: float
    repeats: int


USUAL = Defaults(DEFAULT_CONNECTIONS, seconds=60.0, warmup=5.0, repeats=10)
QUICK = Defaults("1,8,32", seconds=1.0, warmup=0.3, repeats=1)
"""Takes three minutes, builds included; too few trials for a verdict."""


def add_parser(commands: Any) -> None:
    """Add the command, and the two commands below it."""
    parser = commands.add_parser("experiment", help="measure the cost of concurrency paradigms")
    inner = parser.add_subparsers(metavar="COMMAND", required=True)

    run = inner.add_parser("run", help="measure; continue a run that was interrupted")
    run.add_argument("--subjects", metavar="NAME,…", help="measure only these (default: all)")
    run.add_argument(
        "--connections", metavar="N,…",
        help=f"numbers of connections (default: {DEFAULT_CONNECTIONS})",
    )  # fmt: skip
    run.add_argument(
        "--mbps", type=float, default=1.0, help="megabits per second per connection (default: 1)"
    )
    run.add_argument("--size", type=int, default=1024, help="bytes per message (default: 1024)")
    run.add_argument("--seconds", type=float, help="length of a trial in seconds (default: 60)")
    run.add_argument(
        "--warmup", type=float, help="seconds before a trial that do not count (default: 5)"
    )
    run.add_argument("--repeats", type=int, help="number of blocks (default: 10)")
    run.add_argument("--seed", type=int, default=1, help="seed for the random order (default: 1)")
    run.add_argument(
        "--chat-rate", type=float, default=100.0, metavar="N",
        help="messages per second from all clients of a chat together (default: 100)",
    )  # fmt: skip
    run.add_argument(
        "--chat-size", type=int, default=64, help="bytes per message of a chat (default: 64)"
    )
    run.add_argument(
        "--paper", action="store_true", help="also apply the paper's method, reading top(1)"
    )
    run.add_argument(
        "--quick", action="store_true", help="take three minutes: 1, 8, 32 connections, one block"
    )
    run.add_argument(
        "--output", default="experiment", metavar="DIR", help="results folder (default: experiment)"
    )
    run.add_argument(
        "--no-report", action="store_true", help="do not write the report after the run"
    )
    run.set_defaults(run=_run)

    report = inner.add_parser("report", help="write tables, plots and a page from a results folder")
    report.add_argument("folder", metavar="DIR")
    report.add_argument(
        "--terminal", action="store_true", help="draw in the terminal; write no files"
    )
    report.add_argument("--json", action="store_true", help="print JSON; write no files")
    report.set_defaults(run=_report)


@dataclass(frozen=True)
class RunRequest:
    """What ``papaya experiment run`` was asked to measure; None if not given."""

    subjects: str | None
    connections: str | None
    mbps: float
    size: int
    seconds: float | None
    warmup: float | None
    repeats: int | None
    seed: int
    chat_rate: float
    chat_size: int
    paper: bool
    quick: bool
    output: Path
    no_report: bool
    command: tuple[str, ...]


@dataclass(frozen=True)
class ReportRequest:
    """The results folder that ``papaya experiment report`` reads, and the form it prints."""

    folder: Path
    terminal: bool
    json: bool


def _run(options: argparse.Namespace) -> int:
    from pathlib import Path

    return run_experiment(
        RunRequest(
            subjects=options.subjects,
            connections=options.connections,
            mbps=options.mbps,
            size=options.size,
            seconds=options.seconds,
            warmup=options.warmup,
            repeats=options.repeats,
            seed=options.seed,
            chat_rate=options.chat_rate,
            chat_size=options.chat_size,
            paper=options.paper,
            quick=options.quick,
            output=Path(options.output),
            no_report=options.no_report,
            command=("papaya", *sys.argv[1:]),
        )
    )


def _report(options: argparse.Namespace) -> int:
    from pathlib import Path

    return report_experiment(ReportRequest(Path(options.folder), options.terminal, options.json))


def run_experiment(request: RunRequest) -> int:
    """Measure, write the report unless told not to, and return the exit status."""
    from ..experiment.measure.run import RunPlan, execute
    from ..experiment.report import output as report

    design = _make_design(request)
    if not request.no_report:
        report.check_extras()
    try:
        status = execute(RunPlan(request.output, design, request.command), _say)
        if not request.no_report:
            report.write_report(request.output, _say)
    except KeyboardInterrupt:
        raise CommandError("interrupted; run the same command again to continue", 130) from None
    return status


def _make_design(request: RunRequest) -> Design:
    """Check the request and fill in what it leaves out."""
    from ..experiment.results.folder import Design
    from ..experiment.subjects import SUBJECTS

    usual = QUICK if request.quick else USUAL
    seconds = usual.seconds if request.seconds is None else request.seconds
    warmup = usual.warmup if request.warmup is None else request.warmup
    repeats = usual.repeats if request.repeats is None else request.repeats
    connections = usual.connections if request.connections is None else request.connections
    check_positive(
        mbps=request.mbps,
        size=request.size,
        seconds=seconds,
        repeats=repeats,
        chat_rate=request.chat_rate,
        chat_size=request.chat_size,
    )
    check_warmup(warmup)
    if seconds < 2 * WINDOW:
        raise CommandError(
            f"--seconds must be at least {2 * WINDOW:g}: CPU time is read every {WINDOW:g} s"
        )
    names = request.subjects.split(",") if request.subjects else list(SUBJECTS)
    for name in names:
        if name not in SUBJECTS:
            raise CommandError(f"unknown subject {name!r}; choose from {', '.join(SUBJECTS)}")
    return Design(
        subjects=tuple(SUBJECTS[name] for name in dict.fromkeys(names)),
        connections=_parse_counts(connections),
        mbps=request.mbps,
        size=request.size,
        seconds=seconds,
        warmup=warmup,
        repeats=repeats,
        window=WINDOW,
        seed=request.seed,
        paper=request.paper,
        chat_rate=request.chat_rate,
        chat_size=request.chat_size,
    )


def _parse_counts(text: str) -> tuple[int, ...]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        raise CommandError(
            f"--connections {text!r}: not numbers; give whole numbers separated by commas"
        ) from None
    if any(not 1 <= count <= 10000 for count in counts):
        raise CommandError(f"--connections {text!r}: out of range; give numbers from 1 to 10000")
    return tuple(sorted(dict.fromkeys(counts)))


def report_experiment(request: ReportRequest) -> int:
    """Print or write the report of a results folder, and return the exit status."""
    from ..experiment.report import output as report

    if request.json:
        print(json.dumps(report.make_json(request.folder), indent=1))
    elif request.terminal:
        report.draw_in_terminal(request.folder, sys.stdout)
    else:
        report.write_report(request.folder, _say)
    return 0


def _say(line: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{clear}experiment: {line}", file=sys.stderr, flush=True)
