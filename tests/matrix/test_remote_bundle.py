"""Test the archive that is sent to a platform."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from matrix.remote_bundle import pack_sources


def test_it_is_the_same_each_time_and_has_no_compiled_files() -> None:
    data = pack_sources()
    assert pack_sources() == data
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert {"probes/__main__.py", "papaya/__main__.py", "papaya/engines/fork.py"} <= {*names}
    assert not [name for name in names if "__pycache__" in name or name.startswith("matrix/")]


def test_both_programs_run_from_it(tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(pack_sources())).extractall(tmp_path)
    for program in ("probes", "papaya"):
        done = subprocess.run(
            [sys.executable, "-I", "-c",
             f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
             f"sys.argv[1:] = ['--version']; runpy.run_module({program!r}, run_name='__main__')"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{program} ")
