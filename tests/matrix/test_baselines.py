"""The recorded reports: each of the platform it is named after, and they differ where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix import cell as cells
from probes import Report
from probes.fact import INHERENT, MEASURED, Value

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


def test_musl_for_i386_differs_from_musl_in_widths_alone() -> None:
    report, wide = RECORDED["musl-i386"], RECORDED["musl"]
    assert report.environment.emulated_32_bit is True
    differing = {
        fact.id: fact.value
        for fact in report
        if fact.scope == INHERENT and fact.answer != wide[fact.id].answer
    }
    # musl's arch/i386/bits/alltypes.h.in; include/signal.h: handler, then 128 bytes of mask.
    assert differing == {
        "abi.double_alignment": 4,
        "abi.int64_alignment": 4,
        "abi.long_bits": 32,
        "abi.pointer_bits": 32,
        "abi.sa_flags_offset": 132,
        "abi.sigaction_fills_bytes": 136,
        "abi.size_t_bits": 32,
        "unix.cmsg_space_holds": 1,
        # On 64 bits sendmsg() copies control data, up to 1,024 bytes (src/network/sendmsg.c).
        "unix.passed_at_most": 253,
        "unix.passed_too_many": "EINVAL",
    }
    # musl 1.2 has these on every processor, and glibc only by request.
    glibc = RECORDED["debian32-userland"]
    for what in ("abi.time_t_bits", "abi.off_t_bits", "compilers.time_t_bits_plain"):
        assert (report[what].value, glibc[what].value) == (64, 32)


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


_UNSIGNED = {"abi.char_signed": False}
_32_BITS = {
    "abi.long_bits": 32, "abi.pointer_bits": 32, "abi.size_t_bits": 32, "abi.sa_flags_offset": 132,
    "unix.cmsg_space_holds": 1,
}  # fmt: skip
_OLD_TIME = {"abi.off_t_bits": 32, "abi.time_after_2038": False, "abi.time_t_bits": 32}
_NEW_TIME = {"abi.off_t_bits": 64, "abi.time_after_2038": True, "abi.time_t_bits": 64}
OWN_KERNELS: dict[str, dict[str, Value]] = {
    "bookworm-amd64": {},
    "trixie-amd64": {},
    "sid-amd64": {},
    "uml": {},
    "bookworm-arm64": {**_UNSIGNED},
    # Debian 12 builds 32-bit programs with a 32-bit time_t, Debian 13 those of armhf with 64 bits.
    "bookworm-armhf": {**_UNSIGNED, **_32_BITS, **_OLD_TIME},
    "trixie-armhf": {**_UNSIGNED, **_32_BITS, **_NEW_TIME},
    "bookworm-i386": {**_32_BITS, **_OLD_TIME},
    # 127 signals, and sa_flags first in struct sigaction.
    "bookworm-mips64el": {"abi.sa_flags_offset": 0, "signals.sigrtmax": 127},
    # Its kernel has pages of 64 KiB, and a pipe holds 16 pages.
    "bookworm-ppc64el": {**_UNSIGNED, "abi.page_size": 65536, "files.pipe_capacity": 1048576},
    "trixie-riscv64": {**_UNSIGNED},
    # sa_flags comes before sa_mask in struct sigaction.
    "bookworm-s390x": {**_UNSIGNED, "abi.byte_order": "big-endian", "abi.sa_flags_offset": 12},
}
"""Facts that must differ from the amd64 host's, by cell."""


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_another_processor_differs_where_it_must_and_nowhere_else(name: str) -> None:
    report, known = RECORDED[name], OWN_KERNELS[name]
    assert {id: report[id].value for id in known} == known
    differing = {
        here.id: report[here.id].answer
        for here in AMD64
        if here.scope == INHERENT
        and here.family not in ("abi", "compilers")
        and here.id not in known
        and report[here.id].answer != here.answer
    }
    assert differing == {}
    assert report.counts()[MEASURED] >= 265
