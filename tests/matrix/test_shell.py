"""The shell lines that a guest runs: FreeBSD has a plain sh, and its users may have csh."""

from __future__ import annotations

import shlex
import subprocess

from matrix.providers import _ssh, ssh

from .workplace import ROOT

FREEBSD = (
    (ROOT / "Vagrantfile").read_text().partition("FREEBSD = <<~'SH'")[2].partition("\nSH\n")[0]
)


def test_what_is_sent_over_ssh_is_one_word_for_any_shell() -> None:
    """Who logs in to a FreeBSD may have csh(1): a word in single quotes it hands on as it is."""
    for script in (_ssh.SCRIPT, ssh.SCRIPT):
        words = shlex.split(script)
        assert words[:2] == ["/bin/sh", "-c"]
        assert script == f"/bin/sh -c '{words[2]}'"
        assert "!" not in script
        assert_plain(words[2])


def test_what_vagrant_runs_on_a_freebsd_is_plain() -> None:
    assert "pkg install" in FREEBSD
    assert_plain(FREEBSD)


def assert_plain(script: str) -> None:
    """For a sh(1) that knows POSIX, and the programs of a BSD."""
    subprocess.run(["sh", "-n", "-c", script], check=True)
    for word in (
        "bash",
        "[[",
        " local ",
        "function ",
        "source ",
        "$'",
        "<<<",
        "&>",
        "/proc",
        " --",
    ):
        assert word not in script, word
