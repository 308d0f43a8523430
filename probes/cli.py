"""The command line: report · list · explain · diff · gate · pack · debug.

Exit statuses: 0 as expected; 1 behaviour drifted, or the reports differ; 2 usage or
unreadable input; 3 the environment failed, or nothing could be measured; 4 a probe
broke, timed out or was unstable; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from . import renderings
from .command_line import Parser
from .fact import FAULTS, Report, ReportError, printable, write_whole
from .files import (
    open_standard_descriptors,
    write_all,
    write_standard_error,
    write_standard_output,
)
from .invocation import called, is_interrupt

if TYPE_CHECKING:
    from .probe import Probe

USAGE, ENVIRONMENT, BROKE, INTERRUPTED = 2, 3, 4, 130
SUMMARY_LIMIT = 1 << 20


class _Stop(Exception):
    """Ends the command with one line and a status."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def main(arguments: Optional[list[str]] = None) -> int:
    """Run one command and return its exit status."""
    try:
        open_standard_descriptors()
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except _Stop as stop:
        return _said(stop.status, str(stop))
    except ReportError as error:
        return _said(USAGE, str(error))
    except (KeyboardInterrupt, RuntimeError) as error:
        if not is_interrupt(error):
            raise
        return _said(INTERRUPTED, "interrupted; nothing is left running")
    except BrokenPipeError:
        # Whoever read our output had enough: end as any program does, without a word.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{printable(os.fsdecode(error.filename))}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "")
        return _said(ENVIRONMENT, f"{where}{_refusal(error) or error.strerror or error}{remedy}")
    except MemoryError:
        return _said(ENVIRONMENT, f"{os.strerror(errno.ENOMEM)}{_REMEDIES[errno.ENOMEM]}")
    except ImportError as error:
        return _said(ENVIRONMENT, _missing_module(error) or _internal_error(error))
    except Exception as error:
        # Python would exit with 1, which means drift.
        return _said(ENVIRONMENT, _internal_error(error))


def _refusal(error: OSError) -> str:
    """Return what keeps the lab itself from running; empty if a file or another error does."""
    from . import refusals

    if error.filename or error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAGAIN):
        return ""
    why = refusals.PROCESSES if error.errno == errno.EAGAIN else refusals.explain(error)
    return f"the lab cannot run here: {why}"


# Written out: where these come up, another module may not be importable.
_REMEDIES = {
    errno.EMFILE: ": raise ulimit -n",
    errno.ENFILE: ": close some files, or raise the system's limit",
    errno.ENOMEM: ": raise ulimit -v, or end other programs",
    errno.EFBIG: ": raise ulimit -f",
}

_USES = {
    "ctypes": "calls the C library",
    "fcntl": "sets up descriptors",
    "resource": "reads and sets limits",
    "select": "waits for several processes at once",
    "signal": "handles signals",
    "socket": "makes sockets",
}


def _missing_module(error: ImportError) -> str:
    """Say which module this Python was built without; return "" if it is one of the lab's own."""
    # Of a package such as ctypes the part in C is missing, _ctypes.
    name = (error.name or "").partition(".")[0].lstrip("_")
    if not name or name == "probes":
        return ""
    use = _USES.get(name, "works")
    return (
        f"this Python has no module {name}, with which the lab {use} ({error}); use another Python"
    )


def _internal_error(error: BaseException) -> str:
    """Describe an exception that nothing expected, and the one it hid if cleaning up raised it."""
    if os.environ.get("PROBES_DEBUG"):
        import traceback

        write_standard_error(traceback.format_exc())
    line = f"internal error: {_describe(error)}"
    first = error
    while first.__context__ and not first.__suppress_context__:
        first = first.__context__
    if first is not error:
        line += f", after {_describe(first)}"
    return f"{line}; set PROBES_DEBUG=1 for the traceback"


def _describe(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = ""
    if trace:
        where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{where}"


def _said(status: int, line: str) -> int:
    write_standard_error(f"probes: {printable(line)}\n")
    # What could not be written once is not tried again at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status


# The options -----------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called(),
        description="Measure how the system calls of this Unix really behave.",
        epilog="Exit status: 0 as expected, 1 behaviour drifted or reports differ, 2 usage or "
        "unreadable input, 3 environment failed or nothing measured, 4 a probe broke or timed "
        "out, 130 interrupted.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, options, help in (
        ("report", _report, _report_options, "measure this host and print every fact"),
        ("list", _list, _list_options, "list the questions: id, scope, question"),
        (
            "explain",
            _explain,
            _explain_options,
            "explain facts, or find them by words: why they matter, documented and measured values",
        ),
        ("diff", _diff, _diff_options, "compare reports: what differs, and what was not measured"),
        (
            "gate",
            _gate,
            _gate_options,
            "measure and compare with a baseline: fail when behaviour changed",
        ),
        ("pack", _pack, _pack_options, "make one file of the lab that runs on any guest"),
        ("debug", _debug, _debug_options, "ask one probe: show its output, tracebacks and calls"),
    ):
        description = help[0].upper() + help[1:] + "."
        command = commands.add_parser(name, help=help, description=description, options=options)
        command.set_defaults(run=run)
    return parser


def _report_options(parser: Parser) -> None:
    _add_choosing(parser)
    _add_measuring(parser)
    _add_format(parser, renderings.list_formats())
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write there, not to standard output"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="add what to do about each")


def _list_options(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="WORDS", help="an id, a glob, or words to look for: 'poll tty'"
    )
    _add_choosing(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _explain_options(parser: Parser) -> None:
    _add_measuring(parser)
    parser.add_argument(
        "words", nargs="+", metavar="ID", help="a fact's id, a glob, or words to look for"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def _diff_options(parser: Parser) -> None:
    parser.add_argument(
        "reports", nargs="+", metavar="REPORT", help="two reports or more (JSON; - reads one)"
    )
    parser.add_argument("--all", action="store_true", help="the rows that agree too")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _gate_options(parser: Parser) -> None:
    from .verdict import FORMATS

    _add_choosing(parser)
    _add_measuring(parser)
    parser.add_argument(
        "baseline",
        metavar="BASELINE",
        nargs="?",
        help="a report someone approved (JSON; - reads it)",
    )
    parser.add_argument(
        "--cell", metavar="NAME", help="the recorded baseline NAME; auto: this platform's"
    )
    parser.add_argument(
        "--baselines", metavar="DIR", help="where --cell looks (default: your own, then the lab's)"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="GLOB",
        help="configured facts that may answer otherwise here, or a setting that they hang on, "
        "such as net.ipv6.bindv6only; may be repeated",
    )
    parser.add_argument(
        "--require-all", action="store_true",
        help="fail where this user may not ask what root asked for the baseline",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="REPORT", help="compare this report (- reads it); measure nothing"
    )
    parser.add_argument("--update", action="store_true", help="show the changes, then approve them")
    parser.add_argument("--reason", metavar="TEXT", help="why, kept in the baseline")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the verdict there")
    _add_format(parser, FORMATS)


def _pack_options(parser: Parser) -> None:
    parser.add_argument(
        "-o", "--output", default="lab.pyz", metavar="FILE", help="default: lab.pyz"
    )


def _debug_options(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="a fact's id")
    parser.add_argument(
        "--here", action="store_true",
        help="ask in this process, for a debugger, not in one that the runner makes",
    )  # fmt: skip
    _add_deadline(parser)
    parser.add_argument(
        "--repeat", type=_positive, default=1, metavar="N", help="ask N times, one after the other"
    )
    parser.add_argument("--strace", action="store_true", help="show the probe's system calls")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the system calls there (default: standard output)",
    )


def _add_choosing(parser: Parser) -> None:
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB",
        help="measure facts that match, such as 'signals.*' or signals; may be repeated",
    )  # fmt: skip
    parser.add_argument("--skip", action="append", default=[], metavar="GLOB", help="leave out")


def _add_measuring(parser: Parser) -> None:
    parser.add_argument(
        "--jobs", type=_positive, metavar="N", help="probes at once (default: twice the processors)"
    )
    _add_deadline(parser)
    parser.add_argument(
        "--repeat", type=_positive, default=1, metavar="N",
        help="measure N times; a fact that varies is unstable",
    )  # fmt: skip


def _add_deadline(parser: Parser) -> None:
    parser.add_argument(
        "--deadline", type=_seconds, metavar="S",
        help="seconds a probe may take (default: 10, more on a slow machine)",
    )  # fmt: skip


def _add_format(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    parser.add_argument("--format", choices=formats, default="text", help="default: text")
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if not 1 <= number <= 10000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10000")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < number <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400 seconds")
    return number


# The commands ------------------------------------------------------------------------


def _report(options: argparse.Namespace) -> int:
    probes = _chosen(options)
    report = _measured(probes, options)
    text = renderings.render(options.format, report, probes, _style(options))
    write(options.output, text)
    if options.format == "github":
        append_step_summary(renderings.render("markdown", report, probes, _style(options)))
    counts = report.counts()
    if any(counts[status] for status in FAULTS):
        return BROKE
    if not counts["measured"]:
        return _said(ENVIRONMENT, "nothing could be measured; each fact says why")
    return 0


def _list(options: argparse.Namespace) -> int:
    probes = _chosen(options)
    if options.words:
        found = _found(options.words)
        probes = {id: probe for id, probe in found.items() if id in probes}
        if not probes:
            raise _Stop(USAGE, "nothing is left to list: --only and --skip leave out all found")
    _print_list(probes, options.json)
    return 0


def _print_list(probes: Mapping[str, Probe], as_json: bool) -> None:
    if as_json:
        document = {
            probe.id: {
                "question": probe.question,
                "scope": probe.scope,
                "hangs_on": dict(probe.hangs_on),
                "matters": probe.matters,
                "advice": probe.advice,
                "reference": probe.reference,
                "documented": dict(probe.documented),
            }
            for probe in probes.values()
        }
        write(None, json.dumps(document, indent=1) + "\n")
        return
    width = max(map(len, probes))
    lines = [f"{p.id.ljust(width)}  {p.scope:11}  {p.question}\n" for p in probes.values()]
    write(None, "".join(lines))


def _explain(options: argparse.Namespace) -> int:
    from .commands.explain import explain, explained

    probes = _found(options.words)
    if len(probes) > 1 and not _all_are_ids(options.words):
        # Words that several questions hold: which of them is meant, the user says.
        _print_list(probes, options.json)
        return 0
    report = _measured(probes, options)
    if options.json:
        document = {id: explained(probe, report) for id, probe in probes.items()}
        write(None, json.dumps(document, indent=1) + "\n")
    else:
        style = _style(options)
        write(None, "\n".join(explain(p, report, style) for p in probes.values()))
    return BROKE if any(fact.status in FAULTS for fact in report) else 0


def _diff(options: argparse.Namespace) -> int:
    from . import comparison
    from .probe import catalogue

    if len(options.reports) < 2:
        raise _Stop(USAGE, "diff needs two reports or more")
    _check_read_once(options.reports)
    reports = [(path, _load(path)) for path in options.reports]
    rows = comparison.rows([report for _, report in reports])
    if options.json:
        write(None, comparison.to_json(reports, rows, options.all, catalogue()))
    else:
        text = comparison.to_text(reports, rows, options.all, catalogue(), _style(options))
        write(None, text)
    if not any(len(row.answered) > 1 for row in rows):
        return _said(ENVIRONMENT, "nothing to compare: no fact is measured in two of the reports")
    return 1 if any(row.differs for row in rows) else 0


def _gate(options: argparse.Namespace) -> int:
    from . import baseline as baselines
    from . import verdict
    from .probe import catalogue

    if options.against and (options.only or options.skip):
        raise _Stop(USAGE, "--only and --skip choose what is measured; --against measures nothing")
    if bool(options.baseline) == bool(options.cell):
        raise _Stop(USAGE, "gate takes a baseline, or --cell NAME in its place")
    if options.baselines and not options.cell:
        raise _Stop(USAGE, "--baselines goes with --cell")
    if options.update:
        if options.cell or options.baseline == STANDARD_INPUT:
            raise _Stop(USAGE, "--update takes the file to write")
        return _update(options)
    if options.reason:
        raise _Stop(USAGE, "--reason goes with --update")
    _check_read_once([options.baseline, options.against])
    report = _load(options.against) if options.against else None
    path = options.baseline or _of_cell(options, report)
    baseline = _load(path)
    if path == STANDARD_INPUT:
        path, allowances = "", []
    else:
        allowances = baselines.load_allowances(baselines.allowed_path(path))
    asked = None
    if report is None:
        probes = _chosen(options)
        asked = list(probes) if options.only or options.skip else None
        report = _measured(probes, options)
    found = baselines.judge(
        baseline,
        report,
        allowances,
        asked=asked,
        allow=options.allow,
        require_all=options.require_all,
        path=os.path.relpath(path) if options.cell else path,
    )
    text = verdict.render(options.format, found, catalogue(), _style(options))
    write(options.output, text)
    if options.format == "github":
        summary = verdict.render("markdown", found, catalogue(), _style(options))
        append_step_summary(summary)
    return found.status


def _of_cell(options: argparse.Namespace, report: Optional[Report]) -> str:
    """The file of ``--cell``, which is said where it was found out."""
    from . import baseline as baselines
    from .environment import describe

    here = report.environment if report else describe("")
    path = baselines.of_cell(options.cell, options.baselines or "", here)
    if options.cell == "auto":
        print(f"probes: the baseline is {os.path.relpath(path)}", file=sys.stderr)
    return path


def _update(options: argparse.Namespace) -> int:
    """Show what changes, then write the baseline with the reason."""
    import datetime

    from . import baseline as baselines
    from . import verdict
    from .probe import catalogue

    if _in_ci():
        raise _Stop(USAGE, "--update never writes where CI is set: approve a baseline by hand")
    if options.only or options.skip:
        raise _Stop(USAGE, "--update records a whole report: leave --only and --skip out")
    old = Report.load(options.baseline) if os.path.lexists(options.baseline) else None
    report = _load(options.against) if options.against else _measured(_chosen(options), options)
    if old:
        found = baselines.judge(old, report)
        write(None, verdict.changes(found, catalogue(), _style(options)))
    reason = (options.reason or "").strip()
    if not reason and sys.stdin.isatty() and sys.stderr.isatty():
        print("Why is this the behaviour to expect? ", end="", file=sys.stderr, flush=True)
        reason = sys.stdin.readline().strip()
    if not reason:
        raise _Stop(USAGE, "--update needs --reason TEXT: it is kept in the baseline")
    approved = baselines.approve(old, report, reason, datetime.date.today(), catalogue())
    approved.save(options.baseline)
    print(f"probes: wrote {options.baseline}", file=sys.stderr)
    return 0


def _in_ci() -> bool:
    """Return whether a CI service runs us; a user may say ``CI=false``."""
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")


def _pack(options: argparse.Namespace) -> int:
    from .commands.pack import pack

    size = pack(options.output)
    name = "lab.pyz" if options.output == "-" else os.path.basename(options.output)
    write_standard_error(
        f"probes: wrote {options.output}, {size // 1024} KiB; python3 {name} report\n"
    )
    return 0


def _debug(options: argparse.Namespace) -> int:
    if options.here and options.deadline:
        raise _Stop(USAGE, "--deadline ends a process of the probe's own: leave --here out")
    if options.output and not options.strace:
        raise _Stop(USAGE, "--output takes the system calls: add --strace")
    options.only, options.skip = [options.id], []
    probes = _chosen(options)
    if len(probes) > 1:
        raise _Stop(USAGE, f"{options.id!r} matches {len(probes)} probes: give one whole id")
    (probe,) = probes.values()
    _need_null_device()

    from .commands import debug

    if options.strace:
        arguments = [probe.id, f"--repeat={options.repeat}"]
        arguments += ["--here"] if options.here else []
        arguments += [f"--deadline={options.deadline}"] if options.deadline else []
        try:
            status, calls = debug.trace(arguments)
        except debug.CannotTrace as why:
            raise _Stop(ENVIRONMENT, str(why)) from None
        write(options.output, calls.decode("utf-8", "backslashreplace"))
        return status
    if options.here:
        fact = debug.ask_here(probe, options.repeat)
    else:
        fact = debug.ask_in_child(probe, options.repeat, options.deadline)
    if fact.status in FAULTS:
        return BROKE
    return 0 if fact.measured else ENVIRONMENT


# What they share -------------------------------------------------------------------------


def _chosen(options: argparse.Namespace) -> Mapping[str, Probe]:
    from .probe import catalogue, select

    try:
        return select(catalogue(), options.only, options.skip)
    except LookupError as error:
        raise _Stop(USAGE, str(error.args[0])) from None


def _found(patterns: Sequence[str]) -> Mapping[str, Probe]:
    """The probes of ids, globs, families and words, in the catalogue's order."""
    from .probe import catalogue, matching, search

    probes = catalogue()
    found: set[str] = set()
    try:
        for pattern in patterns:
            found |= search(probes, pattern) or matching(probes, pattern)
    except LookupError as error:
        raise _Stop(USAGE, str(error.args[0])) from None
    return {id: probe for id, probe in probes.items() if id in found}


def _all_are_ids(patterns: Sequence[str]) -> bool:
    """Whether each names facts as ``--only`` takes them."""
    from .probe import catalogue, matching

    try:
        return all(matching(catalogue(), pattern) for pattern in patterns)
    except LookupError:
        return False


STANDARD_INPUT = "-"


def _load(path: str) -> Report:
    """The report in the file ``path``, or on standard input."""
    from .fact import read_bounded

    if path != STANDARD_INPUT:
        return Report.load(path)
    try:
        return Report.loads(read_bounded(sys.stdin.buffer))
    except ReportError as error:
        raise ReportError(f"standard input: {error}") from None
    except OSError as error:
        raise ReportError(f"standard input: {error.strerror}") from None


def _check_read_once(paths: Sequence[Optional[str]]) -> None:
    if paths.count(STANDARD_INPUT) > 1:
        raise _Stop(USAGE, "standard input holds one report: give a file for the other")


def _measured(probes: Mapping[str, Probe], options: argparse.Namespace) -> Report:
    from . import environment, runner

    _need_null_device()
    started = time.monotonic()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with _progress() as progress:
        facts = runner.run(
            probes,
            jobs=options.jobs,
            deadline=options.deadline,
            repeat=options.repeat,
            progress=progress,
        )
    where = environment.describe(environment.hash_probes())
    for id, probe in probes.items():
        if setting := probe.setting(where):
            facts[id] = replace(facts[id], hangs_on=setting)
    return Report(where, facts, time.monotonic() - started, at)


def _need_null_device() -> None:
    """Stop if /dev/null is a file: probes would read what others wrote to it.

    Without one the lab does.
    """
    if os.path.exists(os.devnull) and not stat.S_ISCHR(os.stat(os.devnull).st_mode):
        raise _Stop(
            ENVIRONMENT,
            f"{os.devnull}: not a device; remove it, and mount /dev, "
            f"or on Linux `mknod -m 666 {os.devnull} c 1 3`",
        )


@contextlib.contextmanager
def _progress() -> Iterator[Optional[Callable[[int, int, str], None]]]:
    """One line on standard error, rewritten in place, when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    columns = _columns(2)

    def show(text: str) -> None:
        # A terminal that takes no more now, or is gone, is no reason to stop measuring.
        with contextlib.suppress(OSError):
            os.write(2, f"\r{text}\x1b[K".encode())

    try:
        yield lambda done, total, id: show(f"{done}/{total} {id}"[: columns - 1])
    finally:
        show("")


def _columns(descriptor: int) -> int:
    """How wide the terminal is; ``$COLUMNS`` if it says."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said):
        return int(said)
    return os.get_terminal_size(descriptor).columns or 80


def _style(options: argparse.Namespace) -> renderings.Style:
    to_file = getattr(options, "output", None) is not None
    terminal = sys.stdout.isatty() and not to_file
    columns = None
    if terminal:
        columns = _columns(1)
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return renderings.Style(
        width=columns, colour=colour, verbose=getattr(options, "verbose", False)
    )


def write(path: Optional[str], text: str) -> None:
    """To the file, whole or not at all; to standard output where it is None or ``-``.

    Raises OSError where it cannot be written whole.
    """
    # Whatever the locale: what a fact says is never a reason not to say it.
    data = text.encode("utf-8", "backslashreplace")
    if path is None or path == "-":
        sys.stdout.flush()
        write_standard_output(data)
        return
    write_whole(path, data)


def append_step_summary(markdown: str) -> None:
    """GitHub shows what is in this file below the job; it takes 1 MiB a step."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        data = markdown.encode("utf-8", "backslashreplace")
        if len(data) > SUMMARY_LIMIT:
            cut = b"\nCut here: GitHub shows 1 MiB. The log of the step has it all.\n"
            kept = data[: SUMMARY_LIMIT - len(cut)].rpartition(b"\n")[0]
            data = kept + cut
        try:
            with open(path, "ab", buffering=0) as file:
                write_all(file.fileno(), data)
        except OSError as error:
            raise OSError(error.errno, f"the summary: {error.strerror}", path) from None
