"""The recorded reports: each of the platform it is named after, and they differ where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix import cell as cells
from probes import Report

from .reports import WIDTHS

CELLS = {name: cell for name, cell in cells.load_cells().items() if name != "here"}
RECORDED = {
    name: Report.load(cell.baseline) for name, cell in CELLS.items() if Path(cell.baseline).exists()
}
AMD64 = Report.load(f"{cells.BASELINES}/debian12-amd64.json")


def test_what_was_never_measured_is_not_recorded() -> None:
    measured = {"debian32", "debian32-userland", "freebsd13", "gvisor", "musl", "uml"}
    assert measured <= RECORDED.keys()
    assert not [name for name in RECORDED if name.startswith(("freebsd14", "freebsd15", "ubuntu"))]


@pytest.mark.parametrize("name", RECORDED)
def test_a_baseline_is_of_its_cell(name: str) -> None:
    report = RECORDED[name]
    if not CELLS[name].is_here:  # Whatever this host is, it need not be that one.
        assert CELLS[name].explain_mismatch(report.environment) == ""
    if "imported_from" not in report.later:
        assert report.later["cell"] == name
        assert report.later["way"]
    assert report.later["approvals"]


def test_freebsd_differs_from_linux_where_its_manuals_say_so() -> None:
    report = RECORDED["freebsd13"]
    expected = {
        "accepting.accept_after_reset": "ECONNABORTED",
        "accepting.inherits_nonblock": True,
        "sockets.v6only_default": True,
        "signals.signal_descriptor": "kqueue",
        "files.pipe_buf": 512,
        "locks.ofd_exists": False,
    }
    assert {id: report[id].value for id in expected} == expected
    assert not [id for id, value in expected.items() if AMD64[id].value == value]


def test_a_32_bit_system_differs_where_it_must() -> None:
    system, userland = RECORDED["debian32"], RECORDED["debian32-userland"]
    assert system.environment.emulated_32_bit is False
    assert userland.environment.emulated_32_bit is True
    for report in (system, userland):
        assert {id: report[id].value for id in WIDTHS} == WIDTHS
    same = {id for id, value in WIDTHS.items() if AMD64[id].value == value}
    # What the source can ask for, and has to.
    assert same == {
        "compilers.off_t_bits_file_offset_bits_64",
        "compilers.time_t_bits_time_bits_64",
    }
