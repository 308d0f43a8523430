"""Parser: every command of every program answers for itself."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.worlds import ROOT

# The others need a later Python.
PROGRAMS = ["probes", "papaya", "matrix"] if sys.version_info >= (3, 11) else ["probes"]


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield ``""`` for the program itself, and every command, such as ``key new``."""
    yield " ".join(words)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from commands(inner, (*words, name))


EVERY = [
    (program, command)
    for program in PROGRAMS
    for command in commands(importlib.import_module(f"{program}.cli")._parser())
]


def run(program: str, command: str, behind: str) -> subprocess.CompletedProcess[str]:
    line = f"exec {sys.executable} -m {program} {command} {behind}"
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_every_command_is_found() -> None:
    assert ("probes", "gate") in EVERY
    if "papaya" in PROGRAMS:
        assert {("papaya", "key new"), ("papaya", "experiment run"), ("matrix", "run")} <= {*EVERY}


@pytest.mark.parametrize(("program", "command"), EVERY)
@pytest.mark.parametrize(
    ("output", "error"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_help_that_cannot_be_printed_is_one_line(
    program: str, command: str, output: str, error: str
) -> None:
    if output == "> /dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("needs a /dev/full")
    done = run(program, command, f"--help {output}")
    assert done.returncode == 3
    assert done.stderr == f"{program}: standard output: {error}\n"


NEEDED = {
    "probes": "list",
    "probes explain": "x",
    "probes diff": "x",
    "probes debug": "x",
    "papaya": "chat",
    "papaya key": "new x",
    "papaya key new": "x",
    "papaya load": "--sink x",
    "papaya experiment": "run",
    "papaya experiment report": "x",
    "papaya status": "x",
    "matrix": "doctor",
    "matrix run": "x",
    "matrix baseline": "--reason=x x",
    "matrix box": "x",
}
"""Arguments without which a command complains before it looks at an option it does not know."""


@pytest.mark.parametrize(("program", "command"), EVERY)
def test_a_wrong_option_points_to_the_help_of_its_command(
    program: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{program} {command}".rstrip()
    main = importlib.import_module(f"{program}.cli").main
    with pytest.raises(SystemExit) as raised:
        main([*command.split(), "--no-such-option", *NEEDED.get(name, "").split()])
    assert raised.value.code == 2
    wanted = f"{name}: unrecognized arguments: --no-such-option; see python3 -m {name} --help\n"
    assert capsys.readouterr() == ("", wanted)
