"""The command line as a user meets it."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from probes import Report
from tests.commands import FEW, ID, save
from tests.worlds import ROOT, needs_linux, run_lab


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["measure"], "measure"),
        (["report", "--format", "yaml"], "yaml"),
        (["report", "--frmat", "json"], "--frmat"),
        (["report", "--jobs", "0"], "not between 1"),
        (["report", "--jobs", "x"], "x"),
        (["report", "--deadline", "-1"], "not between 0"),
        (["report", "--deadline", "nan"], "not between 0"),
        (["report", "--only", "sokets.*"], "no probe matches 'sokets.*'"),
        (["report", "--only", "sockets", "--skip", "nothing.*"], "no probe matches 'nothing.*'"),
        (["report", "--only", "sockets", "--skip", "sockets"], "nothing is left"),
        (["list", "--only", "sokets"], "no probe matches"),
        (["explain", "sockets.nothing"], "no probe matches"),
        (["report", "--only", "v6only_default"], f"did you mean {ID}?"),
        (["gate", "x.json", "--cell", "y"], "gate takes a baseline, or --cell NAME"),
        (["explain", "v6only_defalt"], f"did you mean {ID}?"),
        (["explain", "frobnicate quux"], "no probe matches 'frobnicate quux'"),
        (["list", "frobnicate"], "no probe matches 'frobnicate'"),
        (["list", "v6only", "--only=signals"], "--only and --skip leave out all found"),
        (["diff", "-", "-"], "standard input holds one report"),
        (["gate", "-", "--against", "-"], "standard input holds one report"),
        (["diff", "-", str(ROOT / "pyproject.toml")], "standard input: not JSON"),
        (["gate", "-", "--update", "--reason", "x"], "--update takes the file to write"),
        (["diff", "/nonexistent.json", "/nonexistent.json"], "/nonexistent.json: No such file"),
        (["diff", str(ROOT / "pyproject.toml")], "two reports or more"),
        (["diff", str(ROOT / "pyproject.toml"), str(ROOT)], "pyproject.toml: not JSON"),
        (["gate", "/nonexistent.json"], "/nonexistent.json: No such file"),
        (["gate", "x.json", "--reason", "y"], "--reason goes with --update"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    done = run_lab(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [[], ["report"], ["list"], ["explain"], ["diff"], ["gate"], ["pack"], ["debug"]]
)
def test_help(command: list[str]) -> None:
    done = run_lab(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
    assert " -m probes" in done.stdout.splitlines()[0]


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x", tmp_path):
        done = run_lab("report", FEW, "-o", str(path))
        assert done.returncode == 3
        assert str(path) in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_accident(closed: str, tmp_path: Path) -> None:
    baseline = save(tmp_path / "baseline.json")

    def status(command: str) -> int:
        lab = f"{sys.executable} -m probes {command} {closed}"
        return subprocess.run(["sh", "-c", lab], cwd=ROOT, check=False, timeout=60).returncode

    output = tmp_path / "report.json"
    assert status(f"report {FEW} --json -o {output}") == 0
    assert Report.load(output)[ID].measured
    assert status(f"gate {baseline} {FEW}") == (3 if ">&-" in closed.split() else 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a /dev/full")
@pytest.mark.parametrize("option", ["", "-u"])
@pytest.mark.parametrize(
    "command", ["report " + FEW, "list", f"explain {ID}", "--help", "gate --help", "pack -o -"]
)
def test_a_full_disk_is_one_line(command: str, option: str) -> None:
    lab = f"{sys.executable} {option} -m probes {command} > /dev/full"
    done = subprocess.run(
        ["sh", "-c", lab], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr == "probes: standard output: No space left on device\n"


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_write_that_takes_a_part_is_gone_on_with(
    environment: dict[str, str], tmp_path: Path
) -> None:
    def limit() -> None:
        # The first write past it is short, the next one fails.
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    with open(tmp_path / "list", "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "probes", "list"],
            cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.PIPE,
            preexec_fn=limit, text=True, check=False,
        )  # fmt: skip
    assert (tmp_path / "list").stat().st_size == 8192
    assert done.returncode == 3
    assert done.stderr == "probes: standard output: File too large: raise ulimit -f\n"


@needs_linux
@pytest.mark.parametrize("option", ["-B", "-u"])
def test_a_pipe_that_does_not_block_gets_it_all(option: str) -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    os.set_blocking(writing, False)
    with subprocess.Popen(
        [sys.executable, option, "-m", "probes", "list"], cwd=ROOT, stdout=writing
    ) as lab:
        os.close(writing)
        waiting = bytearray(4)
        while int.from_bytes(waiting, sys.byteorder) < size:
            time.sleep(0.001)
            fcntl.ioctl(reading, termios.FIONREAD, waiting)
        with open(reading, encoding="utf-8") as said:
            text = said.read()
    assert lab.returncode == 0
    assert len(text) > size
    assert text == run_lab("list").stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a /dev/full")
def test_a_full_standard_error_changes_no_status(tmp_path: Path) -> None:
    for command, status in ((f"report {FEW}", 0), ("report --frmat", 2), ("list --only=x", 2)):
        lab = f"{sys.executable} -m probes {command} > {tmp_path / 'output'} 2> /dev/full"
        done = subprocess.run(["sh", "-c", lab], cwd=ROOT, check=False)
        assert done.returncode == status


INTERNAL = """\
import sys
from probes import cli, {module}
def broken(*arguments, **named):
    try:
        raise LookupError("the first")
    finally:
        raise TypeError("the second")
{module}.{name} = broken
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("module", "name"), [("runner", "run"), ("cli", "_make_parser")])
def test_an_unexpected_exception_is_one_line_and_no_drift(module: str, name: str) -> None:
    command = [sys.executable, "-c", INTERNAL.format(module=module, name=name), "report", FEW]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "probes: internal error: TypeError: the second (<string>:7), "
        "after LookupError: the first (<string>:5); set PROBES_DEBUG=1 for the traceback\n"
    )
    environment = {**os.environ, "PROBES_DEBUG": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "Traceback (most recent call last)" in done.stderr
    assert "LookupError: the first" in done.stderr


def test_a_reader_that_had_enough_is_no_error() -> None:
    lab = f"{{ {sys.executable} -m probes list; echo $? >&2; }} | true"
    done = subprocess.run(["sh", "-c", lab], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr in ("141\n", "0\n")


def test_elsewhere_than_a_unix_it_says_so() -> None:
    program = "import os, sys; os.name = 'nt'; sys.platform = 'win32'; import probes"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "probes: measures the system calls of a Unix; win32 is none\n"


def test_on_an_old_python_it_says_so(tmp_path: Path) -> None:
    program = "import sys; sys.version_info = (3, 8, 0); import probes"
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive)).returncode == 0
    commands = [[sys.executable, "-S", "-c", program]]
    for python in old_pythons():
        commands += [[python, "-m", "probes", "report"], [python, str(archive), "report"]]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (3, ""), command
        assert re.fullmatch(r"probes: needs Python 3\.9 or newer; this is 3\.\d\n", done.stderr)


def old_pythons() -> list[str]:
    """Those that are here and run: a real one says more than one that is made to look old."""
    found = [path for minor in (6, 7, 8) if (path := shutil.which(f"python3.{minor}"))]
    ask = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
    return [path for path in found if not subprocess.run([path, "-V"], **ask).returncode]  # type: ignore[call-overload]
