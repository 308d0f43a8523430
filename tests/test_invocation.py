"""get_invocation(): hints name the command as the user typed it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes.invocation import get_invocation
from tests.worlds import ROOT


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["/opt/tools/probes"], "/opt/tools/probes"),
        (["{bin}/probes"], "probes"),
        (["/usr/lib/python3/probes/__main__.py"], "{python} -m probes"),
        (["/usr/lib/pytest/__main__.py"], "python3 -m probes"),
        (["-c"], "python3 -m probes"),
        ([""], "python3 -m probes"),
        ([], "python3 -m probes"),
        (["{bin}/my lab.pyz"], "{python} '{bin}/my lab.pyz'"),
        (["{bin}/missing.pyz"], "python3 -m probes"),
    ],
)
def test_each_way_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], wanted: str
) -> None:
    for name in ("probes", "my lab.pyz", "python9"):
        (tmp_path / name).touch(0o755)
    names = {"bin": str(tmp_path), "python": "python9"}
    monkeypatch.setenv("PATH", f"{tmp_path / 'missing'}{os.pathsep}{tmp_path}")
    monkeypatch.setattr(sys, "argv", [text.format(**names) for text in arguments])
    monkeypatch.setattr(sys, "orig_argv", [str(tmp_path / "python9"), "-m"], raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python9"))
    assert get_invocation() == wanted.format(**names)


def test_messages_name_the_command_as_it_was_called(tmp_path: Path) -> None:
    script = tmp_path / "probes"
    script.write_text(f"#!{sys.executable}\nfrom probes.__main__ import main\nexit(main())\n")
    script.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def said(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            arguments, env={**environment, **more}, cwd=tmp_path, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 2), done.stderr
        return done.stdout + done.stderr

    found = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert said("probes", "list", "--nothing", PATH=found).endswith("; see probes list --help\n")
    assert "`probes list` names" in said("probes", "report", "--only=nothing", PATH=found)
    assert "more: probes list" in said("probes", "report", "--only=abi", PATH=found)
    module = (sys.executable, "-m", "probes")
    # Where the shell finds no Python by that name.
    nowhere = str(tmp_path)
    assert said(*module, "--help", PATH=nowhere).startswith(f"usage: {sys.executable} -m probes")
    wrong = said(*module, "report", "--jobs=0", PATH=nowhere)
    assert f"; see {sys.executable} -m probes report --help" in wrong
    assert wrong.startswith("probes report: ")
