"""The command line: an interrupt is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import ROOT


@pytest.mark.parametrize(
    ("module", "expected"),
    [("argparse", (-signal.SIGINT, "")), ("tomllib", (130, "papaya: interrupted\n"))],
)
def test_an_interrupt_while_it_is_loaded_is_no_traceback(
    module: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    # A module that papaya imports interrupts it: argparse at once, tomllib for `serve`.
    interrupt = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / f"{module}.py").write_text(interrupt)
    done = subprocess.run(
        [sys.executable, "-m", "papaya", "serve"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == expected


def test_an_interrupt_while_facts_are_measured_is_one_line(tmp_path: Path) -> None:
    program = """if True:
        import os, signal
        import probes.load_catalogue
        def interrupt():
            os.killpg(0, signal.SIGINT)  # As the terminal does.
            signal.pause()
        probes.load_catalogue.load_catalogue = interrupt
        from papaya.cli import main
        raise SystemExit(main(["settings"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "papaya: interrupted\n")
