"""gate: measure, and compare with a baseline."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..command_line import Parser
from ..errors import CommandError
from . import options
from .options import Commands, Selection

if TYPE_CHECKING:
    from ..fact import Report
    from ..measurement import RunOptions


@dataclass(frozen=True)
class GateRequest:
    """What to measure, or which report to take, and the baseline to compare it with."""

    baseline: Optional[str]
    cell: Optional[str]
    """The name of a recorded baseline, or ``auto``, instead of a file."""
    baselines: Optional[str]
    allow: Sequence[str]
    require_all: bool
    against: Optional[str]
    update: bool
    reason: Optional[str]
    output: Optional[str]
    format: str
    selection: Selection
    run: RunOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "measure and compare with a baseline: fail when behaviour changed"
    options.add_command(commands, "gate", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    from ..render_verdict import FORMATS

    options.add_selection_options(parser)
    options.add_run_options(parser)
    parser.add_argument(
        "baseline",
        metavar="BASELINE",
        nargs="?",
        help="an approved report (JSON; - reads it)",
    )
    parser.add_argument(
        "--cell",
        metavar="NAME",
        help="the recorded baseline NAME; auto: the one of this platform",
    )
    parser.add_argument(
        "--baselines",
        metavar="DIR",
        help="folder in which --cell looks (default: your own baselines, then the lab's)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="GLOB",
        help="allow configured facts that match, or that hang on a setting such as "
        "net.ipv6.bindv6only, to differ; may be repeated",
    )
    parser.add_argument(
        "--require-all", action="store_true",
        help="fail if facts of the baseline need root, and this user is not root",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="REPORT", help="compare this report (- reads it); measure nothing"
    )
    parser.add_argument("--update", action="store_true", help="show the changes, then approve them")
    parser.add_argument(
        "--reason", metavar="TEXT", help="why the changes are approved; kept in the baseline"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the verdict to FILE (default: standard output)",
    )
    options.add_format_options(parser, FORMATS)


def _run(arguments: argparse.Namespace) -> int:
    request = GateRequest(
        baseline=arguments.baseline,
        cell=arguments.cell,
        baselines=arguments.baselines,
        allow=arguments.allow,
        require_all=arguments.require_all,
        against=arguments.against,
        update=arguments.update,
        reason=arguments.reason,
        output=arguments.output,
        format=arguments.format,
        selection=Selection.from_arguments(arguments),
        run=options.run_options_from(arguments),
    )
    _check(request)
    return update_baseline(request) if request.update else gate(request)


def _check(request: GateRequest) -> None:
    """Raise CommandError if options contradict one another."""
    from .input import STANDARD_INPUT

    if request.against and request.selection:
        raise CommandError("--only and --skip choose what is measured; --against measures nothing")
    if bool(request.baseline) == bool(request.cell):
        raise CommandError("gate takes a baseline, or --cell NAME in its place")
    if request.baselines and not request.cell:
        raise CommandError("--baselines goes with --cell")
    if request.update and (request.cell or request.baseline == STANDARD_INPUT):
        raise CommandError("--update takes the file to write")
    if request.reason and not request.update:
        raise CommandError("--reason goes with --update")


def gate(request: GateRequest) -> int:
    """Compare with the baseline, write the verdict, and return its exit status."""
    from ..allowances import find_allowances, load_allowances
    from ..baseline import judge
    from ..files import write_output
    from ..load_catalogue import load_catalogue
    from ..render_verdict import render_verdict
    from ..terminal import choose_style
    from .input import STANDARD_INPUT, check_read_once, load_report, measure, select_probes

    check_read_once([request.baseline, request.against])
    report = load_report(request.against) if request.against else None
    path = request.baseline or _find_baseline(request, report)
    baseline = load_report(path)
    if path == STANDARD_INPUT:
        path, allowances = "", []
    else:
        allowances = load_allowances(find_allowances(path))
    asked = None
    if report is None:
        probes = select_probes(request.selection)
        asked = list(probes) if request.selection else None
        report = measure(probes, request.run)
    verdict = judge(
        baseline,
        report,
        allowances,
        asked=asked,
        allow=request.allow,
        require_all=request.require_all,
        path=os.path.relpath(path) if request.cell else path,
    )
    probes, style = load_catalogue(), choose_style(request.output)
    write_output(request.output, render_verdict(request.format, verdict, probes, style))
    if request.format == "github":
        from ..step_summary import append_step_summary

        append_step_summary(render_verdict("markdown", verdict, probes, style))
    return verdict.status


def _find_baseline(request: GateRequest, report: Optional[Report]) -> str:
    """Return the file of ``--cell``, and print which one ``auto`` chose."""
    from ..environment import describe
    from ..recorded import find_baseline

    platform = report.environment if report else describe("")
    path = find_baseline(request.cell or "", request.baselines or "", platform)
    if request.cell == "auto":
        print(f"probes: the baseline is {os.path.relpath(path)}", file=sys.stderr)
    return path


def update_baseline(request: GateRequest) -> int:
    """Show what changes, then write the baseline with the reason."""
    import datetime

    from ..baseline import approve, judge
    from ..fact import Report
    from ..files import write_output
    from ..load_catalogue import load_catalogue
    from ..render_verdict import render_changes
    from .input import load_report, measure, select_probes

    if is_ci():
        raise CommandError("--update never writes where CI is set: approve a baseline by hand")
    if request.selection:
        raise CommandError("--update records a whole report: leave --only and --skip out")
    path = request.baseline or ""
    old = Report.load(path) if os.path.lexists(path) else None
    if request.against:
        report = load_report(request.against)
    else:
        report = measure(select_probes(request.selection), request.run)
    if old:
        write_output(None, render_changes(judge(old, report), load_catalogue()))
    reason = (request.reason or "").strip()
    if not reason and sys.stdin.isatty() and sys.stderr.isatty():
        print("Why is this the behaviour to expect? ", end="", file=sys.stderr, flush=True)
        reason = sys.stdin.readline().strip()
    if not reason:
        raise CommandError("--update needs --reason TEXT: it is kept in the baseline")
    approve(old, report, reason, datetime.date.today(), load_catalogue()).save(path)
    print(f"probes: wrote {path}", file=sys.stderr)
    return 0


def is_ci() -> bool:
    """Return whether a CI service runs this process; a user may set ``CI=false``."""
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")
