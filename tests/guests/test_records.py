"""A program with four faults in portability, each of which shows on some processors only.

It is an autoconf project, compiled and tested by `matrix exec` on Debian's own kernels.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.availability import list_available
from matrix.cell import load_cells
from tests.matrix.workplace import ROOT
from tests.needs import needs

FAULTS = {
    "bookworm-s390x": {"byte-order", "char-sign", "handler"},
    "bookworm-armhf": {"char-sign", "far-time"},
    "trixie-armhf": {"char-sign"},
}
"""The tests that must fail, by cell; on amd64 all pass."""
CHECK = "./configure && make check; sh junit.sh >junit.xml"

CELLS = load_cells()

pytestmark = [
    needs("autoconf", "automake"),
    pytest.mark.skipif(
        len(list_available(CELLS[name] for name in FAULTS)) < len(FAULTS),
        reason=f"needs QEMU and mmdebstrap: python3 -m matrix doctor {' '.join(FAULTS)}",
    ),
]


def test_each_fault_is_found_where_it_shows_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    shutil.copytree(ROOT / "tests" / "guests" / "records", folder)
    subprocess.run(["autoreconf", "-i"], cwd=folder, check=True, capture_output=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "matrix", "exec", "here", *FAULTS, "--json",
            "--results", str(tmp_path / "results"), "--send", str(folder), "--all",
            "--install", "gcc", "libc6-dev", "make", "--junit", "junit.xml", "--timeout", "1800",
            "--", "sh", "-c", CHECK,
        ],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    outcomes = {outcome["cell"]: outcome for outcome in json.loads(done.stdout)}
    failed = {
        cell: {test for test, result in outcome["tests"].items() if result != "passed"}
        for cell, outcome in outcomes.items()
    }
    assert failed == {"here": set(), **FAULTS}
    assert all(len(outcome["tests"]) == 4 for outcome in outcomes.values())
    assert done.returncode == 1
