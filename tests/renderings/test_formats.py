"""A format is a file: what all of them hold to, and that nothing else names them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given

from probes import Report
from probes.errors import CommandError
from probes.renderings import Style, list_formats, render
from probes.text import make_printable
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports
from tests.worlds import ROOT

FORMATS = ["github", "header", "json", "junit", "markdown", "sarif", "text"]


def test_the_formats() -> None:
    assert list_formats() == FORMATS
    with pytest.raises(CommandError, match="no format 'yaml': there are github, header"):
        render("yaml", SAMPLE, PROBES)


@pytest.mark.parametrize("name", FORMATS)
def test_control_characters_are_never_obeyed(name: str) -> None:
    @lightly
    @given(reports)
    def hostile(report: Report) -> None:
        for style in (Style(), Style(80, verbose=True)):
            text = render(name, report, probes_for(report), style)
            assert text.endswith("\n")
            assert all(line.isprintable() for line in text.split("\n"))
            text.encode()

    hostile()


@pytest.mark.parametrize("name", FORMATS)
def test_every_fact_is_told(name: str) -> None:
    text = render(name, SAMPLE, PROBES)
    for fact in SAMPLE:
        assert (fact.id in text) or f"PROBE_{fact.id.upper().replace('.', '_')}" in text
        assert fact.measured or name in ("header", "sarif") or fact.reason.strip() in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_without_facts_renders(name: str) -> None:
    text = render(name, Report(SAMPLE.environment, {}), {})
    assert "FreeBSD" in text or name == "junit"  # Its platform is told by each suite.


def test_safe() -> None:
    assert make_printable("plain ü") == "plain ü"
    assert make_printable("\x1b[31m\n\x7f\u202e\udcff") == r"\x1b[31m\n\x7f\u202e\udcff"


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


NEW = """\
def render(report, probes, style):
    return f"{len(report)} facts, width {style.width}\\n"
"""
USE = """\
import sys
sys.path.insert(0, {path!r})
import probes.renderings
heavy = {{"xml.etree.ElementTree", "unicodedata", "probes.probe", "subprocess"}} & set(sys.modules)
assert not heavy, heavy
from probes import Platform, Report
report = Report(Platform("Linux", "6.1", "x86_64", "glibc", "2.36", 64), {{}})
print(probes.renderings.list_formats())
print(probes.renderings.render("new", report, {{}}), end="")
"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_new_format_is_one_new_file(tmp_path: Path, packed: bool) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "probes", folder / "probes", ignore=ignore)
    (folder / "probes" / "renderings" / "new.py").write_text(NEW)
    if packed:
        archive = tmp_path / "lab.pyz"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder))
        folder = archive
    said = run(sys.executable, "-I", "-c", USE.format(path=str(folder)), folder=tmp_path)
    assert said.splitlines() == [str(sorted([*FORMATS, "new"])), "0 facts, width None"]
