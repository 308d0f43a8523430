"""The pages of docs/extend are followed to the letter.

"Put this at the end of `FILE`:" and "Write `FILE`:" stand before the block that goes into the file.
Each block of sh is run; a block of text after it must be found in what the last command printed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import ROOT

FOLDER = ROOT / "docs" / "extend"
# The others run the matrix or papaya, which need Python 3.11; the matrix needs execnet too.
FOLLOWED = ["probe"]
if sys.version_info >= (3, 11) and importlib.util.find_spec("execnet"):
    FOLLOWED = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")

STEP = re.compile(
    r"(?:(?P<how>Put this at the end of|Write) `(?P<file>[\w./-]+)`:\n\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.parametrize("page", FOLLOWED)
def test_the_page_can_be_followed(page: str, tmp_path: Path) -> None:
    for package in ("probes", "papaya", "matrix"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    printed, steps = "", 0
    for step in STEP.finditer((FOLDER / f"{page}.md").read_text(encoding="utf-8")):
        steps += 1
        text = step["text"]
        if step["language"] == "sh":
            printed = [_run(line, tmp_path) for line in text.splitlines()][-1]
        elif step["language"] == "text":
            assert text.strip() in printed
        elif step["how"] == "Write":
            path = tmp_path / step["file"]
            assert not path.exists()
            path.write_text(text)
        else:
            assert step["how"], f"the page does not say where this goes: {text}"
            with (tmp_path / step["file"]).open("a") as file:
                file.write("\n\n" + text)
    assert steps >= 3


def _run(line: str, folder: Path) -> str:
    command = re.sub(r"^python3 ", f"{sys.executable} ", line)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_probe_is_known_to_every_command(tmp_path: Path) -> None:
    page = (FOLDER / "probe.md").read_text(encoding="utf-8")
    step = next(STEP.finditer(page))
    id = "files.create_in_missing_folder"
    shutil.copytree(ROOT / "probes", tmp_path / "probes")
    with (tmp_path / step["file"]).open("a") as file:
        file.write("\n\n" + step["text"])
    header = ["report", "--format", "header", f"--only={id}"]
    for arguments, told in (
        (["list"], id),
        (["explain", id], "takes the daemon down"),
        (header, "PROBE_FILES_CREATE_IN_MISSING_FOLDER"),
    ):
        command = " ".join(["python3 -m probes", *arguments])
        assert told in _run(command, tmp_path)
