"""``papaya experiment run`` and ``papaya experiment report``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import CommandError

from ._numbers import check_positive, check_warmup

if TYPE_CHECKING:
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
"""Three minutes, builds included; too few starts to tell much."""


def add_parser(commands: Any) -> None:
    """Add the command, and the two commands below it."""
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
            report.write(request.output, _say)
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
            f"--seconds is {2 * WINDOW:g} or more: CPU time is read each {WINDOW:g} s"
        )
    names = request.subjects.split(",") if request.subjects else list(SUBJECTS)
    for name in names:
        if name not in SUBJECTS:
            raise CommandError(f"no subject {name!r}: there are {', '.join(SUBJECTS)}")
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
        raise CommandError(f"--connections {text!r}: whole numbers with commas between") from None
    if any(not 1 <= count <= 10000 for count in counts):
        raise CommandError("--connections are from 1 to 10000")
    return tuple(sorted(dict.fromkeys(counts)))


def report_experiment(request: ReportRequest) -> int:
    """Print or write the report of a results folder, and return the exit status."""
    from ..experiment.report import output as report

    if request.json:
        print(json.dumps(report.as_json(request.folder), indent=1))
    elif request.terminal:
        report.terminal(request.folder, sys.stdout)
    else:
        report.write(request.folder, _say)
    return 0


def _say(line: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{clear}experiment: {line}", file=sys.stderr, flush=True)
