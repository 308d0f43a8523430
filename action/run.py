"""The program of action.yml: measure, annotate, write the step summary, a report and SARIF.

Inputs are the environment variables PROBES_COMMAND, PROBES_BASELINE, PROBES_ALLOW, PROBES_ONLY and
PROBES_OUTPUT.  The exit status is that of ``probes report`` or ``probes gate``.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import probes
from probes import baseline as baselines
from probes.allowances import find_allowances, load_allowances
from probes.errors import ReportError
from probes.fact import FAULTS, Report
from probes.files import write_whole
from probes.load_catalogue import load_catalogue
from probes.render_verdict import render_verdict
from probes.renderings import Style, github, render
from probes.selection import select
from probes.step_summary import append_step_summary

USAGE, ENVIRONMENT, BROKE = 2, 3, 4


class CommandError(Exception):
    """Ends the step with an error and status 2."""


def main(environment: Mapping[str, str]) -> int:
    """Run the command that the inputs name, and return the exit status of the step."""
    try:
        return _run(environment)
    except (CommandError, ReportError, LookupError) as error:
        said, status = str(error.args[0]), USAGE
    except OSError as error:
        said, status = f"{error.filename}: {error.strerror}", ENVIRONMENT
    _print(github.format_annotations([("error", None, "probes", said)]))
    return status


def _run(environment: Mapping[str, str]) -> int:
    command = environment.get("PROBES_COMMAND") or "gate"
    if command not in ("report", "gate"):
        raise CommandError(f"command: {command!r} is not known; use report or gate")
    path = environment.get("PROBES_BASELINE", "")
    if command == "gate" and not path:
        raise CommandError(
            "baseline: not given; name a file of your repository, such as ci/linux.json"
        )
    only = _words(environment.get("PROBES_ONLY", ""))
    output = environment.get("PROBES_OUTPUT") or "probes-output"
    asked = list(select(load_catalogue(), only, []))
    report = probes.measure(only)
    os.makedirs(output, exist_ok=True)
    files = {"report": "report.json", "sarif": "probes.sarif"}
    report.save(os.path.join(output, files["report"]))
    if command == "report":
        said = {
            name: render(name, report, load_catalogue()) for name in ("github", "markdown", "sarif")
        }
        status = _status(report)
    elif not os.path.lexists(path):
        files = {"report": "report.json", "baseline": "baseline.json"}
        said, status = _first(report, path, os.path.join(output, "baseline.json"), asked), USAGE
    else:
        found = baselines.judge(
            Report.load(path),
            report,
            load_allowances(find_allowances(path)),
            asked=asked if only else None,
            allow=_words(environment.get("PROBES_ALLOW", "")),
            path=path,
        )
        said = {
            name: render_verdict(name, found, load_catalogue(), Style())
            for name in ("github", "markdown", "sarif")
        }
        status = found.status
    if "sarif" in files:
        write_whole(os.path.join(output, files["sarif"]), said["sarif"])
    _print(said["github"])
    append_step_summary(said["markdown"])
    _tell_next_steps(environment, output, files, status)
    return status


def _first(report: Report, path: str, proposed: str, asked: list[str]) -> dict[str, str]:
    """Write what may become the baseline, and say how it does."""
    reason = "first recorded by the action"
    baselines.approve(None, report, reason, datetime.date.today(), asked).save(proposed)
    said = (
        f"{path}: does not exist; download the artifact of this run, look at its baseline.json, "
        f"and commit it as {path}"
    )
    annotation = github.format_annotations([("error", None, "probes gate: no baseline yet", said)])
    return {"github": annotation, "markdown": f"**No baseline yet.** {said}\n"}


def _status(report: Report) -> int:
    counts = report.counts()
    if any(counts[status] for status in FAULTS):
        return BROKE
    return 0 if counts["measured"] else ENVIRONMENT


def _words(text: str) -> list[str]:
    """Split an input that lists globs, with commas or white space between them."""
    return text.replace(",", " ").split()


def _tell_next_steps(
    environment: Mapping[str, str], output: str, files: Mapping[str, str], status: int
) -> None:
    """Set the outputs of the action: paths of what was written, and the status."""
    if path := environment.get("GITHUB_OUTPUT"):
        lines = [f"{name}={os.path.join(output, file)}\n" for name, file in files.items()]
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join([*lines, f"status={status}\n"]))


def _print(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(os.environ))
