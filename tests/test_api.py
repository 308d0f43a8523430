"""The lab as a library."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import probes
from tests.commands import ID
from tests.worlds import ROOT


@pytest.mark.parametrize("fresh", [True, False])
def test_measure(fresh: bool) -> None:
    report = probes.measure(only=["sockets.v6only_d*"], fresh=fresh)
    assert list(report.facts) == [ID]
    assert isinstance(report[ID].value, bool)
    with pytest.raises(LookupError, match="no probe matches"):
        probes.measure(only=["nothing.*"], fresh=fresh)
    with pytest.raises(ValueError, match="0 is not between 1 and 10000"):
        probes.measure(only=[ID], jobs=0, fresh=fresh)
    with pytest.raises(TypeError, match="lists of globs"):
        probes.measure(ID, fresh=fresh)


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, start_new_session=True,
    )  # fmt: skip


IN_A_FORK = """if True:
    import os, signal, sys, probes
    from probes import measurement
    def measure_probes(probes, options):
        {fault}
    measurement.measure_probes = measure_probes
    try:
        probes.measure([{id!r}], fresh=False)
    except probes.ReportError as error:
        print(error.status, error)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("os.killpg(0, signal.SIGINT); signal.pause()", "interrupted"),
        ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", "interrupted"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "3 the lab could not measure this host (killed"),
        ("raise OSError(24, 'Too many open files')", "3 Too many open files: raise ulimit -n"),
        ("raise PermissionError(1, 'Operation not permitted')", "3 the lab cannot run here: "),
        ("1 / 0", "3 internal error: ZeroDivisionError: division by zero"),
    ],
)
def test_a_fork_that_cannot_measure_is_one_error(fault: str, said: str) -> None:
    done = run_program(IN_A_FORK.format(fault=fault, id=ID))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)
    assert done.stdout.count("\n") == 1


def test_a_fork_prints_nothing_twice() -> None:
    program = f"import probes; print('once'); probes.measure([{ID!r}], fresh=False)"
    done = run_program(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")


def test_as_a_library_from_any_thread_of_a_program_with_its_own_ways(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(probes.measure([ID], repeat=2, jobs=1, deadline=9.5))
    )
    thread.start()
    thread.join()
    assert found[0][ID].measured
