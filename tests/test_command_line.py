"""Test every command of every program: arguments in any order, errors in one line."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from probes.command_line import Parser, run_command
from tests.worlds import ROOT

# The others need Python 3.11.
PROGRAMS = ["probes", "papaya", "matrix"] if sys.version_info >= (3, 11) else ["probes"]


class Caught(BaseException):
    """Carry the parser of a program out of its main()."""


def parser_of(program: str) -> argparse.ArgumentParser:
    def catch(parser: Parser, arguments: object) -> None:
        raise Caught(parser)

    # Imported by name, because an older Python cannot import papaya and matrix.
    main = importlib.import_module(f"{program}.cli").main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", catch)
        try:
            main([])
        except Caught as caught:
            parser: argparse.ArgumentParser = caught.args[0]
            return parser
    raise AssertionError(f"{program} has no parser")


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield ``""`` for the program itself, and every command, such as ``key new``."""
    yield " ".join(words)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from commands(inner, (*words, name))


EVERY = [(program, command) for program in PROGRAMS for command in commands(parser_of(program))]


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
    "probes search": "x",
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
    "matrix exec": "x",
    "matrix shell": "x",
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


def test_every_command_takes_any_order() -> None:
    """The rule holds for a new command too, also for one below another command."""
    left = [parser_of(program) for program in PROGRAMS]
    while left:
        parser = left.pop()
        assert isinstance(parser, Parser), parser.prog
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                left += action.choices.values()


@pytest.mark.parametrize(
    "command",
    [
        ("diff", "a.json", "b.json", "--all", "--json"),
        ("explain", "one.id", "other.id", "--json", "--jobs=2"),
        ("list", "word", "other", "--json", "--only=signals"),
        ("gate", "base.json", "--update", "--reason=text"),
        ("debug", "one.id", "--strace", "--repeat=2"),
    ],
)
def test_any_order_says_the_same(command: tuple[str, ...]) -> None:
    name, *words = command
    wanted = vars(parser_of("probes").parse_args(command))
    arguments = [word for word in words if not word.startswith("-")]
    for order in itertools.permutations(words):
        if [word for word in order if not word.startswith("-")] == arguments:
            assert vars(parser_of("probes").parse_args([name, *order])) == wanted, order


if "matrix" in PROGRAMS:

    @pytest.mark.parametrize(
        ("program", "command"),
        [
            ("matrix", ("run", "here", "debian32", "--allow-missing", "--cells=mine", "--jobs=1")),
            ("matrix", ("doctor", "here", "debian32", "--json", "--baselines=folder")),
            ("matrix", ("table", "a.json", "b.json", "--all", "--measured")),
            ("matrix", ("history", "debian", "a.json", "--configured", "--format=json")),
            ("matrix", ("atlas", "a.json", "b.json", "--measured", "--output=x")),
            ("matrix", ("baseline", "here", "--reason=text", "--results=x")),
            ("matrix", ("box", "debian32", "--force", "--json")),
            ("papaya", ("chat", "localhost", "--plain", "--once")),
            ("papaya", ("load", "localhost", "--sink", "--rate=7")),
            ("papaya", ("key", "new", "file")),
            ("papaya", ("experiment", "report", "folder", "--json")),
        ],
    )
    def test_any_order_says_the_same_in(program: str, command: tuple[str, ...]) -> None:
        name, *words = command
        wanted = vars(parser_of(program).parse_args(command))
        names = [word for word in words if not word.startswith("-")]
        below = words[:1] if name in ("key", "experiment") else []
        rest = words[len(below) :]
        for order in itertools.permutations(rest):
            if [word for word in order if not word.startswith("-")] == names[len(below) :]:
                assert vars(parser_of(program).parse_args([name, *below, *order])) == wanted, order

    def test_what_all_commands_take_may_stand_before_and_after() -> None:
        for words in ("--cells f run here", "run --cells f here", "run here --cells f"):
            options = parser_of("matrix").parse_args(words.split())
            assert (options.cells, options.baselines) == ("f", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explain --json", "the following arguments are required: ID"),
        ("debug a.b --bogus c.d", "unrecognized arguments: --bogus c.d"),
        ("gate a.json --json b.json", "unrecognized arguments: b.json"),
    ],
)
def test_what_is_wrong_is_still_said(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser_of("probes").parse_args(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


if "matrix" in PROGRAMS:

    @pytest.mark.parametrize("command", ["papaya settings", "matrix table", "matrix history"])
    @pytest.mark.parametrize(
        ("output", "error"),
        [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
    )
    def test_output_that_cannot_be_written_is_one_line(
        command: str, output: str, error: str
    ) -> None:
        if output == "> /dev/full" and not os.path.exists("/dev/full"):
            pytest.skip("needs a /dev/full")
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m {command} {output}"],
            cwd=ROOT, env=buffered, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert done.stderr == f"{command.split()[0]}: standard output: {error}\n"


def interrupted_import() -> int:
    """Raise what Python before 3.12 makes of an interrupt during the creation of a class."""
    raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()


def fault() -> int:
    raise RuntimeError("a fault of ours") from ValueError()


def test_an_interrupt_amid_an_import_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("papaya", interrupted_import) == 130
    assert capsys.readouterr().err == "papaya: interrupted\n"


def test_another_runtime_error_is_not_taken_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("papaya", fault) == 3
    assert re.fullmatch(
        r"papaya: internal error: RuntimeError: a fault of ours \(test_\w+\.py:\d+\); "
        r"set PAPAYA_DEBUG=1 for the traceback\n",
        capsys.readouterr().err,
    )


PRINTS_AND_FAILS = """
from probes.command_line import run_command
from probes.errors import CommandError

def run():
    print("what was found")
    raise CommandError("what was wrong", 1)

raise SystemExit(run_command("papaya", run))
"""


def test_what_was_printed_before_a_failure_stays() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS_AND_FAILS],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "what was found\n", "papaya: what was wrong\n"
    )  # fmt: skip
