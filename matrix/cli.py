"""The command line: run · doctor · baseline · box · table · atlas.

Exit statuses: 0 as expected; 1 a gate or a selftest failed; 2 usage or unreadable input;
3 a platform could not be brought up; 4 a probe broke or timed out; 130 interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import shlex
import sys
import tempfile
from dataclasses import asdict

from probes import Report
from probes import baseline as baselines
from probes.command_line import Parser, run_command
from probes.environment import hash_probes
from probes.errors import CommandError
from probes.fact import ReportError, printable
from probes.invocation import called
from probes.probe import catalogue

from . import boxes, providers, table
from . import cell as cells


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""

    def run() -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Whatever the locale: a letter it lacks is no reason to say nothing.
            sys.stdout.reconfigure(errors="backslashreplace")
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
        return status

    return run_command("matrix", run, (ReportError,))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=called("matrix"), description="The lab and papaya on every platform.")
    _add_places(parser, None)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="measure cells, hold them against their baselines")
    run.add_argument("cells_to_run", metavar="CELL", nargs="+")
    run.add_argument("--jobs", type=int, default=2, metavar="N", help="cells at once (default: 2)")
    run.add_argument("--results", default="results", metavar="DIR", help="default: results")
    run.add_argument(
        "--keep", action="store_true", help="leave the platforms up, and say how to end them"
    )
    run.add_argument("--no-selftest", action="store_true", help="measure only; do not try the chat")
    run.add_argument(
        "--allow-missing",
        action="store_true",
        help="skip platforms that cannot be started: SKIPPED is no failure",
    )
    run.add_argument(
        "--allow", action="append", default=[], metavar="GLOB",
        help="configured facts that may answer otherwise here; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "--require-all", action="store_true",
        help="fail where a user may not ask what root asked for the baseline",
    )  # fmt: skip
    run.add_argument(
        "--install", action="store_true", help="install execnet into this Python, if it is missing"
    )
    run.add_argument("--json", action="store_true", help="as JSON")
    run.set_defaults(run=_run)

    doctor = commands.add_parser(
        "doctor", help="which cells can run here; what the others lack, and what to type"
    )
    doctor.add_argument("cells_to_run", metavar="CELL", nargs="*")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(run=_doctor)

    baseline = commands.add_parser("baseline", help="record what a cell was just measured to be")
    baseline.add_argument("cell", metavar="CELL")
    baseline.add_argument("--results", default="results", metavar="DIR", help="default: results")
    baseline.add_argument(
        "--import", dest="report", metavar="REPORT", help="a report brought from elsewhere"
    )
    baseline.add_argument("--reason", required=True, help="why this is to be expected; it is kept")
    baseline.set_defaults(run=_baseline)

    box = commands.add_parser("box", help="build a box that nobody publishes, or find it built")
    box.add_argument("box", metavar="NAME", help=", ".join(boxes.list_boxes()))
    box.add_argument("--force", action="store_true", help="anew, though it is in the cache")
    box.add_argument("--json", action="store_true", help="as JSON")
    box.set_defaults(run=_box)

    table.add_to(commands)
    for command in commands.choices.values():
        # Also after the command, where it does not undo what was said before.
        _add_places(command, argparse.SUPPRESS)
    return parser


def _add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--cells", metavar="FILE", default=default, help="cells of your own beside the built-in"
    )
    parser.add_argument(
        "--baselines", metavar="DIR", default=default, help="recorded reports in place of ours"
    )


# Running ------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from .run import INTERRUPTED, Outcome, Plan, run_all, status_of

    if options.jobs < 1:
        raise CommandError("--jobs is 1 or more")
    chosen = cells.chosen(cells.load(options.cells, options.baselines), options.cells_to_run)
    width = max(len(one.name) for one in chosen)

    def done(outcome: Outcome) -> None:
        mark = ""
        if outcome.missing:
            mark = "SKIPPED" if options.allow_missing else "MISSING"
        elif outcome.status:
            mark = "FAILED"
        _summarise(outcome.cell, mark, outcome.line)
        if options.json:
            return
        said = "  ".join(filter(None, [outcome.way, f"{mark} {outcome.line}".lstrip()]))
        print(f"{outcome.cell.ljust(width)}  {said}", flush=True)
        for change in outcome.changes:
            print(f"{'':{width}}  {change}", flush=True)
        if outcome.baseline and not outcome.why:
            print(f"{'':{width}}  to record one: {_recording(options, outcome.cell)}", flush=True)
        if outcome.seconds and not outcome.why:
            spent = ", ".join(f"{step} {s:.1f}" for step, s in outcome.seconds.items())
            print(f"{'':{width}}  seconds: {spent}", flush=True)

    plan = Plan(
        os.path.abspath(options.results),
        options.keep,
        not options.no_selftest,
        tuple(options.allow),
        options.require_all,
        options.install,
    )
    outcomes = run_all(chosen, plan, options.jobs, done)
    if left := [o.cell for o in outcomes if o.status == INTERRUPTED]:
        said = f"interrupted; not finished: {', '.join(left)}"
        print(f"matrix: {said}; the same command measures all its cells anew", file=sys.stderr)
    if options.json:
        document = [{**asdict(o), "line": o.line} for o in outcomes]
        print(json.dumps(document, indent=1))
    return status_of(outcomes, options.allow_missing)


def _recording(options: argparse.Namespace, cell: str) -> str:
    """Return the command that records what was just measured, with the options of this one."""
    words = ["baseline", cell]
    for name in ("cells", "baselines", "results"):
        value = getattr(options, name)
        if value not in (None, "results"):
            words += [f"--{name}", value]
    return f"{called('matrix')} {shlex.join(words)} --reason TEXT"


def _summarise(cell: str, mark: str, line: str) -> None:
    """Add it to the file of those that tell it at the end of several runs (toxfile.py)."""
    if path := os.environ.get("MATRIX_SUMMARY"):
        told = {"cell": cell, "mark": mark or "passed", "line": line}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def _doctor(options: argparse.Namespace) -> int:
    from .run import lacks_execnet

    without = lacks_execnet()
    found = cells.load(options.cells, options.baselines)
    chosen = cells.chosen(found, options.cells_to_run or list(found))
    rows = []
    for one in chosen:
        for name, argument in one.ways:
            with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
                found_out = providers.load_provider(name)(argument, folder, lambda line: None)
                lacks = "; and ".join(filter(None, [found_out.lacks(), without]))
                note = "" if lacks else found_out.note()
            way = f"{name}:{argument}" if argument else name
            row = {"cell": one.name, "way": way, "runs": not lacks, "lacks": lacks, "note": note}
            rows.append(row)
            if not options.json:
                mark = f"no   {lacks}" if lacks else f"yes  {note}".rstrip()
                print(f"{one.name:18} {way:20} {mark}", flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))
    able = {row["cell"] for row in rows if row["runs"]}
    # Which there are is a question, and one that is named is a demand.
    demanded = chosen if options.cells_to_run else []
    return 0 if all(one.name in able for one in demanded) else 3


def _box(options: argparse.Namespace) -> int:
    module = boxes.load_box(options.box)

    def say(line: str) -> None:
        print(f"{options.box}: {line}", file=sys.stderr, flush=True)

    try:
        made = asdict(module.build(say, options.force))
    except providers.Unavailable as error:
        raise CommandError(str(error), 3) from None
    if options.json:
        print(json.dumps(made, indent=1))
    else:
        width = max(map(len, made))
        for name, value in made.items():
            print(f"{name.ljust(width)}  {value}")
    return 0


# Baselines ----------------------------------------------------------------------------------

_OLDER = 0.1
"""Share of all facts that a report of an older lab may lack; one that lacks more is a part."""


def _baseline(options: argparse.Namespace) -> int:
    cell = cells.chosen(cells.load(options.cells, options.baselines), [options.cell])[0]
    reason = options.reason.strip()
    if not reason:
        raise CommandError("--reason says nothing: it is kept in the baseline")
    path = options.report or os.path.join(options.results, cell.name, "report.json")
    if not options.report and not os.path.exists(path):
        raise CommandError(f"{path}: not there; measure first: {called('matrix')} run {cell.name}")
    report = Report.load(path)
    if why := cell.mismatch(report.environment):
        raise CommandError(f"{path}: a report of {why}")
    if not options.report and report.later.get("cell") != cell.name:
        raise CommandError(f"{path}: was not measured as the cell {cell.name}")
    old = Report.load(cell.baseline) if os.path.exists(cell.baseline) else None
    if old:
        for change in baselines.compare(old, report):
            print(f"{change.kind}: {change.id}: {change.was} -> {change.now}")
    came = {"imported_from": printable(path)} if options.report else {}
    today = datetime.date.today()
    asked = list(catalogue())
    lacking = [id for id in asked if id not in report]
    if options.report and report.environment.probes_hash != hash_probes() and (
        len(lacking) <= _OLDER * len(asked)
    ):  # fmt: skip
        # The lab has learnt questions since: what it was not asked there is not in the baseline.
        asked = [id for id in asked if id in report]
        if lacking:
            print(f"matrix: of an older lab, without {', '.join(lacking)}", file=sys.stderr)
    approved = baselines.approve(old, report, reason, today, asked)
    os.makedirs(cell.baselines, exist_ok=True)
    approved.with_later(**came).save(cell.own_baseline)
    print(
        f"matrix: wrote {os.path.relpath(cell.own_baseline)}: {report.environment}", file=sys.stderr
    )
    return 0
