"""The README and the manual tell the truth: their commands run, their examples work."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from probes.catalogue import SURPRISES
from probes.load_catalogue import load_catalogue
from tests.conftest import FAST
from tests.manual import PAGES, list_headings, read_block
from tests.worlds import ROOT, needs_linux, needs_root, network, run_lab

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a bare copy of the lab, with nothing installed."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "probes", tmp_path / "probes", ignore=ignore)
    return tmp_path


def test_the_main_command_runs_bare(checkout: Path) -> None:
    command = read_block("Measure this host", "sh")
    python = os.path.dirname(os.path.realpath(sys.executable))
    done = subprocess.run(
        ["env", "-i", f"PATH={python}:/usr/bin:/bin", "sh", "-ec", command],
        cwd=checkout, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sockets.v6only_default" in done.stdout
    assert done.stderr == ""


def test_the_excerpt_asks_what_the_lab_asks() -> None:
    excerpt = read_block("Measure this host", "text")
    rows = re.findall(r"^[* ] \S.*?  +(\S.*\?)  +(\w+\.\w+)", excerpt, re.MULTILINE)
    asked = [(probe.question, probe.id) for probe in load_catalogue().values()]
    assert len(rows) > 5
    assert [row for row in rows if row not in asked] == []


def test_the_surprises_are_those_that_the_atlas_shows_first() -> None:
    page = (ROOT / "docs" / "surprises.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE)
    assert told == list(SURPRISES)
    assert set(told) <= set(load_catalogue())


def test_the_test_command_is_what_ci_runs() -> None:
    command = read_block("Run the tests", "sh")
    assert command.strip() in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_gate_commands_run(checkout: Path) -> None:
    commands = read_block("The gate in CI", "sh")
    for line in commands.splitlines():
        command = line.partition("#")[0].replace("python3", sys.executable).strip()
        environment = {k: v for k, v in os.environ.items() if k != "CI"}
        done = subprocess.run(
            ["sh", "-ec", command], cwd=checkout, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@needs_linux
@needs_root
def test_a_difference_that_is_meant_is_allowed(checkout: Path) -> None:
    command = read_block("A difference that is meant", "sh")
    entries = read_block("A difference that is meant", "json")
    bindv6only = network("net.ipv6.bindv6only=1")

    def gate(command: str) -> tuple[int, str]:
        command = command.replace("python3", sys.executable)
        done = subprocess.run(
            [*bindv6only, "sh", "-ec", command],
            cwd=checkout, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    recorded = run_lab("report", "--json", "-o", "baseline.json", folder=checkout)
    assert recorded.returncode == 0, recorded.stderr
    status, said = gate("python3 -m probes gate baseline.json")
    gate_page = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    (heading,) = re.findall(r"^`(net\.ipv6\..*?)`", gate_page, re.MULTILINE)
    assert (status, heading in said.splitlines()) == (1, True), said
    assert gate(command)[0] == 0
    # The day in the README passes, and the example stays as good as it is.
    expires = datetime.date.today() + datetime.timedelta(days=1)
    entries = re.sub(r"\d{4}-\d\d-\d\d", expires.isoformat(), entries)
    (checkout / "baseline.allowed.json").write_text(entries)
    status, said = gate("python3 -m probes gate baseline.json")
    assert (status, "6 allowed" in said) == (0, True), said
    # Where the setting is as it was, the entry is stale.
    assert run_lab("gate", "baseline.json", folder=checkout).returncode == 1


def test_ci_runs_what_takes_minutes() -> None:
    """The tests themselves and the experiment, as they stand in the README."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for heading in ("Run the tests", "What do concurrency paradigms cost?"):
        commands = read_block(heading, "sh")
        for line in commands.splitlines():
            assert line in ci, line


def test_every_command_is_run_somewhere() -> None:
    """Each block of sh is run by .ci/bare, by .ci/run, or has a test of its own."""
    folder = ROOT / ".ci"
    bare = (folder / "bare").read_text(encoding="utf-8")
    named = set(re.findall(r'block "(.*?)"', bare))
    run = {"What do concurrency paradigms cost?"}  # See test_ci_runs_what_takes_minutes.
    # By tests/test_packaging.py, as it has an address to fill in, and below, in a namespace.
    tested = {"Install the commands", "A difference that is meant"}
    assert list_headings("sh") == named | run | tested
    ci = (folder / "run").read_text(encoding="utf-8")
    before, called, after = ci.partition("\n.ci/bare ")
    assert called
    assert "chromium" in after
    assert "chromium" not in before


def test_the_fast_tests_are_those_of_their_name() -> None:
    """The README's shortest command is an environment of tox; its tests exist."""
    assert ".venv/bin/tox -e fast`" in README
    for name in FAST:
        assert (ROOT / name).exists(), name


def test_every_path_that_is_named_exists() -> None:
    folders = ("probes", "papaya", "matrix", "tests", "action", "build-support")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(rf"`((?:{'|'.join(folders)})/[\w./-]*)`", text):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


GENERATED = ("facts/freebsd.md",)
"""Pages that building the manual writes, and whose links it checks."""


def test_every_link_leads_to_a_file() -> None:
    """Sphinx checks the anchors; this test needs no Sphinx, and checks the README too."""
    for page in [*PAGES, *(ROOT / "docs" / "extend").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            if target in GENERATED:
                continue
            assert (page.parent / target).exists(), f"{page.name}: {target}"
