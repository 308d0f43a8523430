"""What a guest executes asks for no more than a bare Unix has: no /proc, no GNU, no bash."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes import Report
from tests.needs import needs

from .worlds import ROOT, needs_linux, needs_root

SOURCES = sorted(
    path
    for package in ("probes", "papaya")
    for path in (ROOT / package).rglob("*.py")
    # The client and the experiment are no part of what a guest runs.
    if not {"client", "experiment"} & set(path.parts)
)

# A ps(1) that works though /proc is hidden: what the BSDs have.
WORLD = """\
mount --rbind / "$1/root" && mount -t tmpfs tmpfs /proc && PATH=$1/bin:$PATH && shift && exec "$@"
"""
PS = """\
#!/bin/sh
exec chroot {folder}/root /bin/ps "$@"
"""


def without_proc(folder: Path) -> list[str]:
    """Return what runs a command on a Linux with ps and without /proc."""
    for name in ("root", "bin"):
        (folder / name).mkdir()
    ps = folder / "bin" / "ps"
    ps.write_text(PS.format(folder=folder))
    ps.chmod(0o755)
    private = ["unshare", "--mount", "--propagation", "private"]
    return [*private, "sh", "-c", WORLD, "sh", str(folder)]


NEED_PROC = {
    "credentials.dev_fd_after_setuid",
    "credentials.user_namespace_chroot",
    "credentials.user_namespace_setgroups",
    "credentials.user_namespace_setuid",
}
"""The facts that need more of /proc than the states of processes."""


@needs_root
@needs_linux
@needs("ps")
def test_without_proc_ps_says_the_same(tmp_path: Path, here: Report) -> None:
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "probes", "report", "--json", "-o", str(path)]
    subprocess.run([*without_proc(tmp_path), *command], cwd=ROOT, check=True)
    report = Report.load(path)
    differing = {
        f.id: (here[f.id].answer, f.answer) for f in report if f.answer != here[f.id].answer
    }
    changed = {id for id in differing if here[id].scope != "informative"}
    assert changed == NEED_PROC, differing
    assert {report[id].status for id in changed} == {"blocked"}


@needs_root
@needs_linux
def test_without_ps_either_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    script = 'mount -t tmpfs tmpfs /proc && exec "$@"'
    command = [sys.executable, "-m", "probes", "report", "--json", "-o", str(path)]
    done = subprocess.run([*hidden, script, "sh", *command], cwd=ROOT, check=False)
    assert done.returncode == 0
    blocked = [fact for fact in Report.load(path) if fact.status == "blocked"]
    assert {fact.id for fact in blocked} >= {"restarts.read_pipe", "signals.sigchld_on_stop"}
    assert any("mount /proc" in fact.reason for fact in blocked)


def commands(tree: ast.AST) -> Iterator[list[str]]:
    """Every list of words in a source that begins with one: a program and its options."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)):
            words = [
                n.value
                for n in node.elts
                if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
            if words and isinstance(node.elts[0], ast.Constant):
                yield words


PROGRAMS = ("ps", "sysctl", "sh", "stat", "uname", "ls", "cat", "id", "mount", "df", "date")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_shell_but_sh_and_no_option_of_gnu(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("bash", "shell=True", "os.system(", "os.popen(", "/usr/bin/env"):
        if word == "/usr/bin/env" and path.name == "pack.py":
            continue  # The first line of the packed lab.
        assert word not in text, word
    for words in commands(ast.parse(text)):
        if words[0] in PROGRAMS:
            assert not [word for word in words if word.startswith("--")], words
