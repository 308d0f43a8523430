"""Test that a user's program runs on cells, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.matrix.guest import Stage
from tests.matrix.tables import ID
from tests.matrix.workplace import ROOT, Workplace, read_until
from tests.needs import needs
from tests.papaya.conftest import descendants, runs, until
from tests.worlds import needs_linux, needs_root


class Program:
    """A folder with a program, which is run on cells of a workplace."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.folder = work.folder / "program"
        self.folder.mkdir()
        (self.folder / "data").mkdir()
        (self.folder / "data" / "in.txt").write_text("given\n")
        (self.folder / "tool").write_text("#!/bin/sh\necho the tool\n")
        (self.folder / "tool").chmod(0o755)
        work.cell("box", "here")

    def words(self, *words: str) -> list[str]:
        """Return the command with these options, cells, ``--`` and the program's command."""
        results = ("--results", str(self.work.folder / "results"))
        return ["exec", *results, "--send", str(self.folder), "--all", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.work(*self.words(*words))


@pytest.fixture
def program(work: Workplace) -> Program:
    return Program(work)


def test_its_output_is_shown_after_the_cells_name_and_kept(program: Program) -> None:
    program.work.cell("other", "here")
    done = program.run("box", "other", "--", "sh", "-c", "cat data/in.txt; ./tool >&2; printf end")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in ("box", "other"):
        said = [line for line in lines if line.startswith(f"{name}: ")]
        assert said == [f"{name}: given", f"{name}: the tool", f"{name}: end"]
        kept = program.work.results(name) / "output"
        assert kept.read_text() == "given\nthe tool\nend"
    assert [line.split()[:5] for line in lines[-2:]] == [
        ["box", "passed", "exit", "status", "0,"],
        ["other", "passed", "exit", "status", "0,"],
    ]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "exit status 3"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("exec >&- 2>&-; exit 4", "exit status 4"),
    ],
)
def test_a_command_that_fails_fails_the_run(program: Program, script: str, said: str) -> None:
    done = program.run("box", "--", "sh", "-c", script)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(f"box  FAILED   {said}, ")


def test_a_command_that_does_not_end_is_killed(program: Program) -> None:
    done = program.run("--timeout", "0.5", "box", "--", "sh", "-c", "echo $$; exec sleep 1000")
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert last == "box  FAILED   the command did not end within 0 s"
    until(lambda: not runs(int(first.removeprefix("box: "))))


def test_a_process_that_it_leaves_running_is_killed_and_not_waited_for(program: Program) -> None:
    done = program.run("box", "--", "sh", "-c", "sleep 1000 & echo $!")
    assert done.returncode == 0
    pid = int(done.stdout.splitlines()[0].removeprefix("box: "))
    until(lambda: not runs(pid))


def test_files_and_folders_are_fetched_also_after_a_failure(program: Program) -> None:
    script = "mkdir -p out/deep; echo made >out/deep/file; cp data/in.txt copy; exit 1"
    done = program.run("--get", "out", "--get", "copy", "box", "--", "sh", "-c", script)
    assert done.returncode == 1
    results = program.work.results("box")
    assert (results / "out" / "deep" / "file").read_text() == "made\n"
    assert (results / "copy").read_text() == "given\n"
    assert f"fetched {results}/out" in done.stdout


def test_a_file_that_was_not_made_fails_the_run(program: Program) -> None:
    done = program.run("--get", "nothing", "box", "--", "true")
    assert done.returncode == 1
    assert "nothing: the command did not make it" in done.stdout


def test_the_environment_of_the_command(program: Program) -> None:
    script = 'echo "$NAME,$EMPTY,$HOME,$TMPDIR,$PWD"'
    done = program.run(
        "--env", "NAME=a=b", "--env", "EMPTY=", "box", "--", "sh", "-c", script
    )  # fmt: skip
    name, empty, *folders = done.stdout.splitlines()[0].removeprefix("box: ").split(",")
    assert (name, empty) == ("a=b", "")
    assert len({*folders}) == 1


@needs_root
def test_an_ordinary_user_runs_it_and_owns_the_files(program: Program) -> None:
    script = "id -u; echo more >>data/in.txt; cat data/in.txt"
    os.chmod(program.work.folder, 0o755)
    for folder in (program.work.scratch, *list(program.work.folder.parents)[:3]):
        if folder.owner() == "root":
            os.chmod(folder, os.stat(folder).st_mode | 0o055)
    done = program.run("--user", "box", "--", "sh", "-c", script)
    assert done.stdout.splitlines()[:3] == ["box: 65534", "box: given", "box: more"]


@needs("git")
def test_gits_files_are_sent_and_no_ignored_ones(program: Program) -> None:
    git = ["git", "-C", str(program.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    (program.folder / ".gitignore").write_text("*.o\n")
    (program.folder / "main.o").write_text("")
    (program.folder / "new").write_text("")
    words = [word for word in program.words("box", "--", "ls", "-A") if word != "--all"]
    done = program.work(*words)
    names = [line.removeprefix("box: ") for line in done.stdout.splitlines()[:-1]]
    assert names == [".gitignore", "data", "new", "tool"]
    # With --all also what git ignores.
    assert "box: main.o" in program.run("box", "--", "ls").stdout


@needs("git")
def test_a_folder_that_is_no_checkout_is_refused(program: Program) -> None:
    words = [word for word in program.words("box", "--", "ls") if word != "--all"]
    program.work.environment["GIT_CEILING_DIRECTORIES"] = str(program.folder.parent)
    done = program.work(*words)
    assert done.returncode == 2
    assert done.stderr == (
        f"matrix: --send {program.folder}: not a git checkout; --all sends every file\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("box",), "exec: no command; write it after the cells: exec CELL… -- COMMAND…"),
        (("box", "--"), "exec: no command; "),
        (("nowhere", "--", "ls"), "no cell 'nowhere': there are "),
        (("--env", "X", "box", "--", "ls"), "--env X: not a setting; write NAME=VALUE"),
        (("--get", "/etc/passwd", "box", "--", "ls"), "/etc/passwd: outside; "),
        (("--get", "a/../../b", "box", "--", "ls"), "a/../../b: outside; "),
        (("--jobs", "0", "box", "--", "ls"), "--jobs: must be 1 or more"),
        (("--timeout", "0", "box", "--", "ls"), "--timeout: must be more than 0 seconds"),
        (("--send", "/nowhere", "box", "--", "ls"), "--send /nowhere: not a folder"),
        (("--junit", "/x.xml", "box", "--", "ls"), "/x.xml: outside; "),
        (("--families", "abi", "box", "--", "ls"), "--families: nothing to explain without"),
        (
            ("--junit", "x", "--families", "socket", "box", "--", "ls"),
            "--families: no probe matches 'socket': did you mean sockets",
        ),
    ],
)
def test_usage(program: Program, words: tuple[str, ...], said: str) -> None:
    done = program.run(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"matrix: {said}")


def test_a_command_that_does_not_exist(program: Program) -> None:
    done = program.run("box", "--", "./no-such-program")
    assert done.returncode == 3
    assert "FAILED   ./no-such-program: No such file or directory" in done.stdout


def test_options_of_the_command_are_its_own(program: Program) -> None:
    done = program.run("box", "--", "sh", "-c", 'echo "$@"', "sh", "--json", "--", "-x")
    assert done.stdout.splitlines()[0] == "box: --json -- -x"


def test_json_has_the_outcome_of_each_cell(program: Program) -> None:
    done = program.run("--json", "--get", "data", "box", "--", "sh", "-c", "echo said; exit 7")
    assert done.returncode == 1
    (outcome,) = json.loads(done.stdout)
    assert (outcome["cell"], outcome["exit_status"], outcome["status"]) == ("box", 7, 1)
    assert outcome["fetched"] == [str(program.work.results("box") / "data")]
    assert (program.work.results("box") / "output").read_text() == "said\n"


SUITE = """\
<testsuite name="s"><testcase name="same"/><testcase name="byte order">%s</testcase></testsuite>
"""


def test_tests_that_differ_are_shown_with_the_facts_that_do(program: Program) -> None:
    (program.folder / "s390x").write_text(SUITE % "<failure/>")
    (program.folder / "amd64").write_text(SUITE % "")
    # The cell that comes first makes the file.
    for name in ("freebsd13", "debian32"):
        program.work.cell(name, "here")
    make = 'mkdir out; cp amd64 out/j.xml; test ! -e "$0" || cp s390x out/j.xml; touch "$0"'
    first = str(program.work.folder / "first")
    done = program.run(
        "--baselines", str(ROOT / "matrix" / "baselines"), "--jobs", "1",
        "--junit", "./out/j.xml", "--families", "sockets",
        "freebsd13", "debian32", "--", "sh", "-c", make, first,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("freebsd13  passed   exit status 0, 2 tests: 2 passed, ")
    assert lines[2].startswith("debian32   FAILED   exit status 0, 2 tests: 1 passed, 1 failed, ")
    at = lines.index("tests that differ: 1 of 2")
    assert lines[at + 1 : at + 3] == [
        "              freebsd13  debian32",
        "  byte order  passed     FAILED",
    ]
    assert lines[at + 3].startswith("facts in which debian32 differs from freebsd13: ")
    assert any(line.split() == [ID, "no,", "there", "yes"] for line in lines[at + 4 :])
    merged = program.work.folder / "results" / "junit.xml"
    assert 'name="debian32: s"' in merged.read_text()


def test_the_tests_are_part_of_the_json(program: Program) -> None:
    (program.folder / "j.xml").write_text(SUITE % "<skipped/>")
    done = program.run("--json", "--junit", "j.xml", "box", "--", "true")
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)
    assert outcome["tests"] == {"same": "passed", "byte order": "skipped"}


def test_a_broken_junit_file_fails_the_run(program: Program) -> None:
    (program.folder / "j.xml").write_text("<testsuite>")
    done = program.run("--junit", "j.xml", "box", "--", "true")
    assert done.returncode == 1
    assert "j.xml: not a JUnit file: no element found" in done.stdout
    assert not (program.work.folder / "results" / "junit.xml").exists()


def test_packages_are_only_for_cells_that_take_them(program: Program) -> None:
    done = program.run("box", "--install", "gcc", "make", "--", "true")
    assert done.returncode == 0
    assert "box: --install: only cells of a release of Debian take packages" in done.stderr


@needs_linux
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(program: Program, signum: signal.Signals) -> None:
    words = program.words("box", "--", "sh", "-c", "echo begun; sleep 1000")
    with program.work.start(*words) as process:
        read_until(process, "box: running the command")
        assert process.stdout
        assert process.stdout.readline() == "box: begun\n"
        below = list(descendants(process.pid))
        process.send_signal(signum)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "Traceback" not in errors
    until(lambda: not [pid for pid in below if runs(pid)])
    until(lambda: not os.listdir(program.work.scratch))


@needs_linux
def test_it_runs_in_a_guest(tmp_path: Path) -> None:
    stage = Stage(Workplace(tmp_path))
    program = Program(stage.work)
    stage.work.cell("guest", "qemu:debian:bookworm:s390x")
    data = bytes(range(256)) * 4096
    (program.folder / "large").write_bytes(data)
    done = program.run("--get", "copy", "guest", "--", "cp", "large", "copy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (stage.work.results("guest") / "copy").read_bytes() == data
    assert not stage.is_running()


@needs_linux
def test_packages_are_in_the_guests_box(tmp_path: Path) -> None:
    stage = Stage(Workplace(tmp_path))
    program = Program(stage.work)
    stage.make_mmdebstrap('echo "$@" >>words; cat root.tar')
    stage.work.cell("guest", "qemu:debian:bookworm:s390x")
    done = program.run("guest", "--install", "gcc", "libc6-dev", "--", "true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ",gcc,libc6-dev " in (stage.programs / "words").read_text()
