"""Collect the reports of a table: the results of `matrix run`, and baselines."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

from probes.environment import describe
from probes.errors import ReportError
from probes.fact import Report
from probes.invocation import get_invocation
from probes.load_catalogue import load_catalogue
from probes.recorded import find_own_folder

from .cell import BASELINES, load_cells, name_baseline
from .commands.options import TableRequest
from .table import Named, Table, make_table


def list_local(reports: Named) -> list[str]:
    """Return the names of the reports that were measured on this platform.

    A baseline is never one of them, because it says what was expected.
    """
    mine = describe("")
    return [
        name
        for name, report in reports
        if not report.later.get("approvals")
        and all(getattr(report.environment, at) == getattr(mine, at) for at in _SAME_PLATFORM)
    ]


_SAME_PLATFORM = (
    "system", "release", "machine", "distribution", "libc", "libc_version", "pointer_bits",
    "emulated_32_bit", "container", "hypervisor",
)  # fmt: skip


def load_reports(paths: Sequence[str]) -> Named:
    """Return the reports in ``paths``, each with its name: that of its file.

    ``CELL/report.json``, which `matrix run` leaves, is named after the cell in it.  Raise
    ReportError if one cannot be read.
    """
    paths = list(dict.fromkeys(paths))
    reports = [Report.load(path) for path in paths]
    short = [_name_report(path, report) for path, report in zip(paths, reports, strict=True)]
    names = [
        path.removesuffix(".json") if short.count(name) > 1 else name
        for path, name in zip(paths, short, strict=True)
    ]
    return list(zip(names, reports, strict=True))


def load_results(results: str) -> Named:
    """Return the reports that `matrix run` left in the folder ``results``, the newest first."""
    paths = glob.glob(os.path.join(glob.escape(results), "*", "report.json"))
    return sorted(load_reports(sorted(paths)), key=lambda named: named[1].measured_at, reverse=True)


def load_baselines(folder: str = "") -> Named:
    """Return the baselines in ``folder``, by default the shipped and the user's own, with names."""
    # A file of allowed differences, which may lie beside a baseline, is not a report.
    paths = {
        os.path.basename(path).removesuffix(".json"): path
        for place in ([folder] if folder else [BASELINES, find_own_folder()])
        for path in glob.glob(os.path.join(glob.escape(place), "*.json"))
        if not path.endswith(".allowed.json")
    }
    return load_reports([paths[name] for name in sorted(paths)])


def _name_report(path: str, report: Report) -> str:
    name = os.path.basename(path).removesuffix(".json")
    cell = report.later.get("cell")
    return cell if name == "report" and isinstance(cell, str) else name


def find_unmeasured(reports: Named, path: str | None = None) -> dict[str, list[str]]:
    """Return, by documented name, the titles of the cells that no report measured.

    ``path`` is a file of cells beside the built-in ones.
    """
    found: dict[str, list[str]] = {}
    for name, cell in load_cells(path).items():
        measured = any(
            name in (column, report.later.get("cell"))
            and not cell.explain_mismatch(report.environment)
            for column, report in reports
        )
        if cell.platform and not measured:
            found.setdefault(cell.platform, []).append(cell.title)
    return found


def list_documented_systems() -> list[str]:
    """Return the systems whose manuals the catalogue quotes."""
    names = {name for probe in load_catalogue().values() for name in probe.documented}
    return sorted(name for name in names if "-" not in name and name != "posix")


def assemble_table(request: TableRequest) -> Table:
    """Return the table that ``table`` and ``atlas`` show.

    Raise ReportError if a report cannot be read, or if there is none.
    """
    if request.reports:
        reports = load_reports(request.reports)
        here = list_local(reports)
    else:
        places = request.results, request.places.baselines or ""
        reports, here = load_present(*places)
        if not reports:
            raise ReportError(explain_absence(*places))
    missing = find_unmeasured(reports, request.places.cells)
    systems = {report.environment.names[-2] for _, report in reports}
    names = request.documented
    if names is None:
        # The manuals of a system with a report add nothing, unless a cell of it has no report.
        names = [n for n in list_documented_systems() if n not in systems or n in missing]
    known = {name for probe in load_catalogue().values() for name in probe.documented}
    for name in names:
        if name not in known:
            raise ReportError(
                f"nothing is documented for {name!r}: there are {', '.join(sorted(known))}"
            )
    names = list(dict.fromkeys(names))
    return make_table(reports, names, here=here, stands_for=missing)


def load_present(results: str, folder: str) -> tuple[Named, list[str]]:
    """Return what was measured here, with the other baselines; the names of the former.

    ``folder`` is that of the baselines; empty: the shipped and the user's own.
    """
    measured = load_results(results)
    here = [name for name, _ in measured]
    taken = {name_baseline(name) for name in here}
    recorded = [(name, report) for name, report in load_baselines(folder) if name not in taken]
    return measured + recorded, here


def explain_absence(results: str, folder: str) -> str:
    """Return in one line that `load_present` found no report, and what to type."""
    return (
        f"no report in {results}, and no baseline in {folder or find_own_folder()}; "
        f"to measure one: {get_invocation('matrix')} run here"
    )
