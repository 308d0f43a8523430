"""Pythons and systems that lack something: facts are blocked, or one line says why not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from probes import Report, absent
from probes.load_catalogue import load_catalogue
from probes.probe import Blocked, Unsupported
from probes.source import read_docstring
from tests.needs import needs
from tests.worlds import ROOT, needs_linux, needs_root, run_lab

HIDING = """\
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from probes.__main__ import main
sys.exit(main())
"""


def without(modules: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the lab on a Python without these modules."""
    return subprocess.run(
        [sys.executable, "-c", HIDING, modules, *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "module", ["ctypes", "_ctypes", "fcntl", "select", "socket", "_socket", "signal"]
)
def test_a_module_that_all_need_is_named(module: str) -> None:
    done = without(module, "report")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("probes: this Python ")
    assert module in done.stderr
    assert done.stderr.endswith("; use another Python\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["mmap", "faulthandler", "termios", "resource"])
def test_a_module_that_few_need_blocks_their_facts(module: str, here: Report) -> None:
    done = without(module, "report", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    blocked = {fact.id for fact in report if fact.answer != here[fact.id].answer}
    assert len([id for id in blocked if not id.startswith("terminals.")]) < 10
    # The lens has another way to ask what faulthandler would tell.
    assert blocked or module == "faulthandler"
    assert {(report[id].status, report[id].reason) for id in blocked} <= {
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


def test_a_constant_that_python_lacks_says_something_of_the_platform_in_cpython_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert absent.get_constant(socket, "SOCK_STREAM") == socket.SOCK_STREAM
    with pytest.raises(Unsupported, match="has no SO_NOTHING"):
        absent.get_constant(socket, "SO_NOTHING")
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(Blocked, match=r"module socket does not know SO_NOTHING: run .* CPython"):
        absent.get_constant(socket, "SO_NOTHING")


def test_stand_ins_are_for_the_catalogue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "termios", None)
    with absent.use_stand_ins():
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
    for probe in load_catalogue().values():
        question = read_docstring(probe.function).partition("\n")[0]
        assert probe.question in (question, question.replace("{row}", str(*probe.arguments[:1])))


PYPY = shutil.which("pypy3")


@needs("pypy3")
def test_pypy_lists_and_refuses_as_cpython_does() -> None:
    assert PYPY
    assert run_lab("list", python=PYPY).stdout == run_lab("list").stdout
    done = run_lab("report", "--only=nothing", python=PYPY)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@needs_linux
@needs("pypy3")
def test_pypy_measures_the_same(here: Report) -> None:
    assert PYPY
    done = run_lab("report", "--json", python=PYPY)
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    assert report.environment.python.startswith("PyPy 3.")
    for fact in report:
        if "python_" in fact.id or fact.answer == here[fact.id].answer:
            continue
        # A constant that its modules do not have.
        assert fact.status == "blocked"
        assert fact.reason.endswith(": run the lab with CPython")
    assert report.counts()["measured"] > here.counts()["measured"] - 10


@needs_linux
def test_a_scratch_folder_whose_name_is_no_text_is_as_good(here: Report, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/not\xff\xfeutf8"
    os.mkdir(folder)
    done = run_lab("report", "--json", environment={"TMPDIR": os.fsdecode(folder)})
    assert done.returncode == 0
    report = Report.loads(done.stdout)
    assert {f.id for f in report if f.answer != here[f.id].answer} == set()


def in_world(setup: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the lab in a mount namespace that ``setup``, lines of sh, has changed."""
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]
    return run_lab(*arguments, before=[*private, f'{setup}\nexec "$@"', "sh"])


@needs_root
@needs_linux
def test_without_a_null_device_what_needs_it_is_blocked(here: Report) -> None:
    skip = "--skip=*terminal*", "--skip=*dev_fd*"
    done = in_world("mount -t tmpfs tmpfs /dev", "report", "--json", *skip)
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.loads(done.stdout)
    blocked = {f.id for f in report if f.answer != here[f.id].answer}
    assert "files.poll_dev_null" in blocked
    assert {(report[id].status, report[id].reason) for id in blocked} == {
        ("blocked", "needs /dev/null, which is not here: mount /dev")
    }


@needs_root
@needs_linux
def test_a_file_in_place_of_the_null_device_is_refused() -> None:
    world = "mount -t tmpfs tmpfs /dev; : > /dev/null"
    for command in (["report"], ["debug", "abi.long_bits"]):
        done = in_world(world, *command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            "probes: /dev/null: not a device; remove it, and mount /dev, "
            "or on Linux `mknod -m 666 /dev/null c 1 3`\n"
        )
    assert in_world(world, "list").stdout == run_lab("list").stdout


@needs_root
@needs_linux
def test_without_a_shell_its_facts_are_blocked(here: Report, tmp_path: Path) -> None:
    (tmp_path / "empty").touch(mode=0o644)
    world = f'mount --bind {tmp_path}/empty "$(readlink -f /bin/sh)"'
    done = in_world(world, "report", "--json")
    assert done.returncode == 0
    report = Report.loads(done.stdout)
    blocked = {f.id for f in report if f.answer != here[f.id].answer}
    assert "signals.mask_survives_exec" in blocked
    assert {(report[id].status, report[id].reason) for id in blocked} == {
        ("blocked", "needs /bin/sh, which is not here: install a shell")
    }


@needs_root
@needs_linux
@pytest.mark.parametrize(
    ("closed", "status"), [("<&-", 0), (">&-", 3), ("2>&-", 0), ("<&- >&- 2>&-", 3)]
)
def test_without_a_null_device_closed_descriptors_are_no_accident(closed: str, status: int) -> None:
    world = f"mount -t tmpfs tmpfs /dev\nexec {closed}"
    assert in_world(world, "list").returncode == status
