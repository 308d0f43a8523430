"""Arguments and options in any order, in each of the three programs."""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys

import pytest

from probes import cli as probes
from probes.arguments import AnyOrder


def parser_of(program: str) -> argparse.ArgumentParser:
    # By name: papaya and matrix cannot be imported by an older Python.
    made: argparse.ArgumentParser = importlib.import_module(f"{program}.cli")._parser()
    return made


def test_every_command_takes_any_order() -> None:
    """A command that is added has it too, also one below another command."""
    programs = ["probes", "papaya", "matrix"] if sys.version_info >= (3, 11) else ["probes"]
    left = [parser_of(program) for program in programs]
    while left:
        parser = left.pop()
        assert isinstance(parser, AnyOrder), parser.prog
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
    wanted = vars(probes._parser().parse_args(command))
    arguments = [word for word in words if not word.startswith("-")]
    for order in itertools.permutations(words):
        if [word for word in order if not word.startswith("-")] == arguments:
            assert vars(probes._parser().parse_args([name, *order])) == wanted, order


@pytest.mark.skipif(sys.version_info < (3, 11), reason="matrix and papaya need Python 3.11")
@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("matrix", ("run", "here", "debian32", "--allow-missing", "--cells=mine", "--jobs=1")),
        ("matrix", ("doctor", "here", "debian32", "--json", "--baselines=folder")),
        ("matrix", ("table", "a.json", "b.json", "--all", "--measured")),
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


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the matrix needs Python 3.11")
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
        probes._parser().parse_args(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
