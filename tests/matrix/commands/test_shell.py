"""Test a shell on a cell, from a real terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.matrix.guest import Stage
from tests.matrix.workplace import ROOT, Workplace
from tests.papaya.conftest import runs, until
from tests.worlds import needs_linux, needs_root

Open = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def open_shell(work: Workplace) -> Iterator[Open]:
    """Return a function that opens a shell with a prompt that a test can wait for."""
    opened: list[pexpect.spawn[str]] = []

    def open_shell(*words: str) -> pexpect.spawn[str]:
        command = [*work.command, "shell", "--results", str(work.folder / "results"), *words]
        terminal = pexpect.spawn(
            command[0], command[1:], env={**work.environment, "TERM": "dumb"}, timeout=60,
            encoding="utf-8", dimensions=(31, 97), cwd=str(ROOT),
        )  # fmt: skip
        opened.append(terminal)
        terminal.expect_exact("leaves it at once")
        terminal.sendline("PS1='ready'':'")
        terminal.expect_exact("ready:")
        return terminal

    yield open_shell
    for terminal in opened:
        terminal.close(force=True)
    assert os.listdir(work.scratch) == []


def ask(terminal: pexpect.spawn[str], line: str) -> str:
    """Type a line, and return what is shown up to the next prompt."""
    terminal.sendline(line)
    terminal.expect_exact("ready:")
    assert terminal.before is not None
    # A shell that edits lines shows what it does.
    return re.sub(r"\x1b\[[?0-9]*[a-z]", "", terminal.before).replace(line, "").strip()


@needs_linux
def test_a_shell_has_a_terminal_of_the_users_size_and_kind(
    work: Workplace, open_shell: Open
) -> None:
    work.cell("box", "here")
    terminal = open_shell("box")
    assert ask(terminal, "stty size") == "31 97"
    assert ask(terminal, "test -t 0 && echo $TERM") == "dumb"
    terminal.setwinsize(20, 60)
    until(lambda: ask(terminal, "stty size") == "20 60")
    # Ctrl-C is for what runs there.
    # One process group, which is in the foreground before it says so.
    terminal.sendline("sh -c \"echo be''gun; exec sleep 1000\"")
    terminal.expect_exact("begun")
    terminal.sendintr()
    terminal.expect_exact("ready:")
    assert ask(terminal, "echo $?") == "130"
    terminal.sendline("exit 7")
    terminal.expect_exact("box: exit status 7, ")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 7


@needs_linux
@pytest.mark.parametrize("leave", ["escape", "hangup"])
def test_it_can_be_left_and_nothing_remains(work: Workplace, open_shell: Open, leave: str) -> None:
    work.cell("box", "here")
    terminal = open_shell("box")
    pid = int(ask(terminal, "echo $$"))
    if leave == "escape":
        terminal.send("~.")
        terminal.expect_exact("matrix: box: interrupted")
        terminal.expect(pexpect.EOF)
    else:
        # As the end of an ssh session does; pexpect's own close() also ends the process.
        process: Any = terminal
        process.ptyproc.fileobj.close()
    until(lambda: not terminal.isalive())
    until(lambda: not runs(pid))
    until(lambda: not os.listdir(work.scratch))


@needs_linux
@needs_root
def test_it_has_what_was_sent_and_may_be_an_ordinary_users(
    work: Workplace, open_shell: Open
) -> None:
    program = work.folder / "program"
    program.mkdir()
    (program / "given").write_text("")
    os.chmod(work.folder, 0o755)
    for folder in (work.scratch, *list(work.folder.parents)[:3]):
        if folder.owner() == "root":
            os.chmod(folder, os.stat(folder).st_mode | 0o055)
    work.cell("box", "here")
    terminal = open_shell("--user", "--send", str(program), "--all", "box")
    assert ask(terminal, "ls; id -u").split() == ["given", "65534"]
    terminal.sendline("exit")
    terminal.expect(pexpect.EOF)


@needs_linux
def test_a_shell_in_a_guest(tmp_path: Path, open_shell: Open, work: Workplace) -> None:
    stage = Stage(work)
    work.cell("guest", "qemu:debian:bookworm:s390x")
    terminal = open_shell("guest")
    assert ask(terminal, "stty size") == "31 97"
    terminal.sendline("exit")
    terminal.expect_exact("guest: exit status 0, ")
    terminal.expect(pexpect.EOF)
    until(lambda: not stage.is_running())


def test_without_a_terminal(work: Workplace) -> None:
    work.cell("box", "here")
    done = work("shell", "box")
    assert done.returncode == 2
    assert done.stderr == "matrix: shell: needs a terminal; `exec` runs a command without one\n"


def test_a_platform_that_cannot_be_started(work: Workplace) -> None:
    work.cell("box", "here:python9.9")
    command = [*work.command, "shell", "--results", str(work.folder / "results"), "box"]
    terminal = pexpect.spawn(
        command[0], command[1:], encoding="utf-8", cwd=str(ROOT), env={**work.environment}
    )
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 3
    assert "matrix: box: no working python9.9 on the PATH: install it" in (terminal.before or "")
