"""The root folder debian32, and what is left of it where its making is interrupted: nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from matrix.boxes import debian32
from tests.matrix.workplace import Workplace
from tests.papaya.conftest import descendants, runs, until

pytestmark = pytest.mark.skipif(bool(debian32.explain_rootfs_lack()), reason="cannot be built here")


@pytest.mark.parametrize(
    "stage", ["extracting archives", "installing remaining packages inside the chroot"]
)
def test_an_interrupt_while_it_is_built(tmp_path: Path, stage: str) -> None:
    work = Workplace(tmp_path)
    work.environment["MATRIX_CACHE"] = str(tmp_path / "cache")
    work.cell("box", "chroot:debian32")
    with work.start_run("box") as process:
        assert process.stderr
        heard = ""
        while stage not in heard:
            heard = process.stderr.readline()
            assert heard
        below = list(descendants(process.pid))
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 130, said + errors
    assert said == "box  FAILED interrupted\n"
    assert "Traceback" not in errors
    until(lambda: not [pid for pid in below if runs(pid)])
    assert os.listdir(work.scratch) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert os.listdir(tmp_path / "cache") == ["debian32-root.lock"]
