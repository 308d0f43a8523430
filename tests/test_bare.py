"""Pythons and systems that lack something: facts are blocked, or one line says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from probes import Report, absent
from probes.probe import Blocked, catalogue
from probes.source import read_docstring
from tests.worlds import ROOT, needs_linux, needs_root, run_lab

HIDING = """\
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from probes.__main__ import main
sys.exit(main())
"""


def without(modules: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The lab on a Python that has no such modules."""
    return subprocess.run(
        [sys.executable, "-c", HIDING, modules, *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["ctypes", "_ctypes", "select", "socket", "_socket", "signal"])
def test_a_module_that_all_need_is_named(module: str) -> None:
    done = without(module, "report")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("probes: this Python ")
    assert module in done.stderr
    assert done.stderr.endswith("; use another Python\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["mmap", "faulthandler", "termios"])
def test_a_module_that_few_need_blocks_their_facts(module: str, here: Report) -> None:
    done = without(module, "report", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    blocked = {fact.id for fact in report if fact.answer != here[fact.id].answer}
    assert 0 < len(blocked) < 60
    assert {(report[id].status, report[id].reason) for id in blocked} == {
        ("blocked", f"this Python has no module {module}: run the lab with one that has it")
    }


def test_a_stand_in_is_used_in_no_way() -> None:
    name = absent._Module("termios").TCSADRAIN
    assert repr(name) == "termios.TCSADRAIN"
    uses = (
        lambda: name(),
        lambda: name.attribute,
        lambda: name | 1,
        lambda: 1 | name,
        lambda: name == 1,
        lambda: bool(name),
        lambda: int(name),
        lambda: range(name),
        lambda: f"{name}",
        lambda: {name},
        lambda: [*name],
        lambda: name[0],
        lambda: 1 in name,
    )
    for use in uses:
        with pytest.raises(Blocked, match="this Python has no module termios"):
            use()


def test_stand_ins_are_for_the_catalogue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "termios", None)
    with absent.stand_ins():
        import termios

        assert isinstance(termios, absent._Module)
    with pytest.raises(ImportError):
        import termios


@pytest.mark.parametrize("level", ["1", "2"])
def test_optimized_it_asks_the_same(level: str, tmp_path: Path) -> None:
    environment = {"PYTHONOPTIMIZE": level}
    assert run_lab("list", environment=environment).stdout == run_lab("list").stdout
    done = run_lab("report", "--only=abi", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive), environment=environment).returncode == 0
    packed = subprocess.run(
        [sys.executable, str(archive), "list"],
        cwd="/", env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert packed.stdout == run_lab("list").stdout


def test_every_question_is_found_in_the_source() -> None:
    for probe in catalogue().values():
        question = read_docstring(probe.function).partition("\n")[0]
        assert probe.question in (question, question.replace("{row}", str(*probe.arguments[:1])))


PYPY = shutil.which("pypy3")


@pytest.mark.skipif(not PYPY, reason="needs pypy3: apt install pypy3")
def test_pypy_lists_and_refuses_as_cpython_does() -> None:
    assert PYPY
    assert run_lab("list", python=PYPY).stdout == run_lab("list").stdout
    done = run_lab("report", "--only=nothing", python=PYPY)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def in_world(setup: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The lab in a mount namespace that ``setup``, lines of sh, has changed."""
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]
    return run_lab(*arguments, before=[*private, f'{setup}\nexec "$@"', "sh"])


@needs_root
@needs_linux
@pytest.mark.parametrize(
    ("setup", "problem"), [("", "No such file or directory"), (": > /dev/null", "not a device")]
)
def test_without_a_null_device_it_says_so(setup: str, problem: str) -> None:
    world = f"mount -t tmpfs tmpfs /dev\n{setup}"
    for command in (["report"], ["debug", "abi.long_bits"]):
        done = in_world(world, *command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"probes: /dev/null: {problem}; every probe needs it: mount /dev, "
            "or on Linux `mknod -m 666 /dev/null c 1 3`\n"
        )
    assert in_world(world, "list").stdout == run_lab("list").stdout


@needs_root
@needs_linux
@pytest.mark.parametrize(
    ("closed", "status"), [("<&-", 0), (">&-", 3), ("2>&-", 0), ("<&- >&- 2>&-", 3)]
)
def test_without_a_null_device_closed_descriptors_are_no_accident(closed: str, status: int) -> None:
    world = f"mount -t tmpfs tmpfs /dev\nexec {closed}"
    assert in_world(world, "list").returncode == status
