"""The command line as a user meets it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import stat
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import probes
from probes import Report, cli
from tests.worlds import ROOT, needs_linux, run_lab

FEW = "--only=sockets.v6only_default"
ID = "sockets.v6only_default"


def save(path: Path, *options: str) -> Path:
    done = run_lab("report", "--json", "-o", str(path), *(options or (FEW,)))
    assert done.returncode == 0, done.stderr
    return path


def with_value(source: Path, path: Path, value: object) -> Path:
    """The same report with one answer changed."""
    document = json.loads(source.read_text())
    document["facts"][ID]["value"] = value
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("baseline") / "baseline.json")


@pytest.fixture(scope="module")
def drifted(baseline: Path) -> Path:
    value = Report.load(baseline)[ID].value
    return with_value(baseline, baseline.with_name("drifted.json"), not value)


# Usage and bad input -------------------------------------------------------------------


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
def test_closed_descriptors_are_no_accident(closed: str, baseline: Path, tmp_path: Path) -> None:
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


def test_a_terminal_that_takes_no_more_does_not_stop_the_measuring() -> None:
    shown, terminal = pty.openpty()
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(terminal, b"x" * 4096)
    done = subprocess.run(
        [sys.executable, "-m", "probes", "report", FEW],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, text=True, check=False,
    )  # fmt: skip
    os.close(terminal)
    os.close(shown)
    assert done.returncode == 0
    assert "1 measured" in done.stdout


def test_a_summary_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x", Path("/dev/full")):
        done = run_lab(
            "report", FEW, "--format", "github", environment={"GITHUB_STEP_SUMMARY": str(path)}
        )
        assert done.returncode == 3
        assert done.stderr.startswith(f"probes: {path}: the summary: No ")
        assert done.stderr.count("\n") == 1


def test_a_summary_longer_than_github_shows_says_that_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    cli.append_step_summary("é\n" * (1 << 19))
    text = path.read_bytes()
    assert 1_000_000 < len(text) <= 1 << 20
    assert text.decode().startswith("é\né\n")
    assert text.endswith(b"\nCut here: GitHub shows 1 MiB. The log of the step has it all.\n")


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


@pytest.mark.parametrize(("module", "name"), [("runner", "run"), ("cli", "_parser")])
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


# report, list, explain -----------------------------------------------------------------


def test_formats_and_files(tmp_path: Path) -> None:
    path = tmp_path / "report"
    for name in ("text", "json", "markdown", "junit", "github", "header"):
        done = run_lab("report", FEW, "--format", name, "-o", str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert path.read_text().endswith("\n")
        # The same on standard output, but for times and durations.
        printed = run_lab("report", FEW, "--format", name).stdout
        assert len(printed.splitlines()) == len(path.read_text().splitlines())


def test_only_and_skip_choose() -> None:
    done = run_lab("report", "--json", "--only=sockets", "--only=abi.*", "--skip=*.v6only*")
    families = {fact.family for fact in Report.loads(done.stdout)}
    assert families == {"sockets", "abi"}
    assert ID not in Report.loads(done.stdout)


def test_progress_is_for_terminals_alone() -> None:
    shown, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "probes", "report", "--json", FEW],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=False,
    )  # fmt: skip
    os.close(terminal)
    assert done.returncode == 0
    Report.loads(done.stdout)
    assert b"1/1 " + ID.encode() in os.read(shown, 4096)
    os.close(shown)
    assert run_lab("report", FEW).stderr == ""


def on_a_terminal(columns: int, *arguments: str, **environment: str) -> str:
    """What the lab writes to a terminal of that width."""
    shown, terminal = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "probes", *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE,
        env={**clean, "TERM": "xterm", "COLUMNS": str(columns), **environment},
    ):  # fmt: skip
        os.close(terminal)
        said = b""
        while True:
            try:
                data = os.read(shown, 65536)
            except OSError:  # Linux: the terminal's other side is closed.
                break
            if not data:
                break
            said += data
    os.close(shown)
    return said.decode().replace("\r\n", "\n")


def test_colour_is_for_terminals_that_want_it() -> None:
    assert "\x1b[" in on_a_terminal(80, "report", FEW)
    assert "\x1b" not in on_a_terminal(80, "report", FEW, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(80, "report", FEW, TERM="dumb")
    assert "\x1b" not in run_lab("report", FEW).stdout


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_the_text_fits_its_terminal(columns: int) -> None:
    for options in ([], ["--verbose"]):
        text = on_a_terminal(columns, "report", "--only=sockets", *options, NO_COLOR="1")
        assert max(map(len, text.splitlines())) <= columns


def test_list_names_every_probe() -> None:
    lines = run_lab("list").stdout.splitlines()
    document = json.loads(run_lab("list", "--json").stdout)
    assert [line.split()[0] for line in lines] == list(document)
    assert all(entry["question"].endswith("?") for entry in document.values())
    assert [line.split()[0] for line in run_lab("list", FEW).stdout.splitlines()] == [ID]


def test_explain_says_all_there_is() -> None:
    done = run_lab("explain", ID)
    assert done.returncode == 0
    for word in (ID, "Is IPV6_V6ONLY on", "Matters", "Advice", "Documented", "freebsd: yes",
                 "Here", "Reference", "probes/catalogue/sockets.py:"):  # fmt: skip
        assert word in done.stdout
    document = json.loads(run_lab("explain", "--json", ID).stdout)[ID]
    assert document["measured"]["status"] == "measured"


@needs_linux
def test_explain_and_list_name_the_setting_a_fact_hangs_on() -> None:
    value = Path("/proc/sys/net/ipv6/bindv6only").read_text().strip()
    assert f"Hangs on    net.ipv6.bindv6only, {value} here\n" in run_lab("explain", ID).stdout
    document = json.loads(run_lab("explain", "--json", ID).stdout)[ID]
    assert document["measured"]["hangs_on"] == document["hangs_on"]["linux"]
    for id, named in ((ID, document["hangs_on"]), ("abi.long_bits", {})):
        assert json.loads(run_lab("list", "--json", id).stdout)[id]["hangs_on"] == named
    assert "Hangs on" not in run_lab("explain", "abi.long_bits").stdout


def test_words_find_questions() -> None:
    """A name alone, words of a question, and what a user calls a terminal."""
    assert run_lab("explain", "v6only_default").stdout == run_lab("explain", ID).stdout
    found = run_lab("explain", "poll tty")
    assert found.returncode == 0
    assert "files.poll_dev_null" in found.stdout
    many = run_lab("explain", "flock fork")
    assert (many.returncode, many.stderr) == (0, "")
    assert many.stdout == run_lab("list", "flock fork").stdout
    lines = {line.split()[0]: line for line in many.stdout.splitlines()}
    assert len(lines) > 1
    assert lines["locks.flock_shared_by_fork"].endswith("?")
    assert "measured" not in json.loads(run_lab("explain", "--json", "flock fork").stdout)[
        "locks.flock_shared_by_fork"
    ]  # fmt: skip


def test_list_takes_what_explain_takes() -> None:
    def ids(*arguments: str) -> list[str]:
        return [line.split()[0] for line in run_lab("list", *arguments).stdout.splitlines()]

    assert ids(ID) == [ID]
    assert ids("locks") == ids("locks.*") == ids("--only=locks")
    assert ids(ID, "compilers") == [*ids("compilers"), ID]
    assert ids("flock", "--skip=locks.*") == [id for id in ids("flock") if id[:6] != "locks."]


# diff -----------------------------------------------------------------------------------


def test_diff_shows_what_differs(baseline: Path, drifted: Path) -> None:
    same = run_lab("diff", str(baseline), str(baseline))
    assert (same.returncode, "0 of 1 facts differ" in same.stdout) == (0, True)
    done = run_lab("diff", str(baseline), str(drifted), str(baseline))
    assert done.returncode == 1
    assert re.search(rf"^{ID}  +\w+ +\w+ +\w+  Is IPV6_V6ONLY .*\?$", done.stdout, re.MULTILINE)
    document = json.loads(run_lab("diff", "--json", str(baseline), str(drifted)).stdout)
    (row,) = document["rows"]
    assert row["facts"][0]["value"] is not row["facts"][1]["value"]


def test_what_is_blocked_in_one_report_is_no_difference(baseline: Path, tmp_path: Path) -> None:
    document = json.loads(baseline.read_text())
    document["facts"][ID].update(status="blocked", value=None, reason="a filter")
    document["facts"]["a.b"] = {"status": "measured", "value": 1, "scope": "inherent"}
    blocked, other = tmp_path / "blocked.json", tmp_path / "other.json"
    blocked.write_text(json.dumps(document))
    document["facts"][ID] = json.loads(baseline.read_text())["facts"][ID]
    other.write_text(json.dumps(document))
    done = run_lab("diff", str(other), str(blocked))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  B  blocked: a filter; 1 fact: {ID}\n" in done.stdout
    assert done.stdout.endswith("0 of 2 facts differ, 1 not compared\n")
    # Where nothing at all can be compared, that is no agreement.
    done = run_lab("diff", str(baseline), str(blocked))
    assert done.returncode == 3
    assert done.stderr == "probes: nothing to compare: no fact is measured in two of the reports\n"


def test_diff_all_shows_the_rest_too(baseline: Path) -> None:
    assert ID not in run_lab("diff", str(baseline), str(baseline)).stdout
    assert ID in run_lab("diff", "--all", str(baseline), str(baseline)).stdout


def with_input(path: Path, *arguments: str, folder: Path = ROOT) -> tuple[int, str, str]:
    """Status, output and errors of a lab whose standard input is a file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    with open(path, "rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "probes", *arguments],
            cwd=folder, env=environment, stdin=file, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_report_may_come_by_standard_input(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    status, said, _ = with_input(drifted, "diff", str(baseline), "-")
    assert (status, "B  -: " in said, ID in said) == (1, True, True)
    assert with_input(baseline, "diff", "-", str(baseline))[0] == 0
    status, said, _ = with_input(drifted, "gate", str(baseline), "--against", "-")
    assert (status, f"{ID}: " in said) == (1, True)
    assert with_input(baseline, "gate", str(baseline), "--against", "-")[0] == 0
    # A baseline by standard input has no file of allowed differences beside it.
    (tmp_path / "-.allowed.json").write_text("{")
    arguments = ("gate", "-", "--against", str(drifted), "--format", "github")
    status, said, errors = with_input(baseline, *arguments, folder=tmp_path)
    assert (status, "file=" in said, errors) == (1, False, "")
    folder = tmp_path / "baselines"
    folder.mkdir()
    shutil.copy(baseline, folder / "a.json")
    auto = ("gate", "--cell", "auto", "--baselines", str(folder), "--against", "-")
    status, said, errors = with_input(drifted, *auto)
    assert (status, "a.json" in errors) == (1, True)


def test_update_takes_a_report_by_standard_input(here: Report, tmp_path: Path) -> None:
    report, path = tmp_path / "report.json", tmp_path / "baseline.json"
    here.save(report)
    arguments = ("gate", str(path), "--update", "--against", "-")
    assert with_input(report, *arguments)[0] == 2
    assert with_input(report, *arguments, "--reason", "x")[0] == (2 if cli._in_ci() else 0)


@pytest.mark.parametrize("text", ["true", "1", "TRUE", "woodpecker", "yes"])
def test_what_a_ci_service_sets(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", text)
    assert cli._in_ci()


@pytest.mark.parametrize("text", ["", "0", "false", "False", "no", " "])
def test_what_is_no_ci(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", text)
    assert not cli._in_ci()
    monkeypatch.delenv("CI")
    assert not cli._in_ci()


# gate ------------------------------------------------------------------------------------


def test_gate_passes_what_is_unchanged(baseline: Path) -> None:
    done = run_lab("gate", str(baseline), FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gate passed: 1 fact, unchanged\n"


def test_gate_names_a_drift_with_what_to_do(baseline: Path, drifted: Path) -> None:
    for done in (
        run_lab("gate", str(drifted), FEW),
        run_lab("gate", str(drifted), "--against", str(baseline)),
    ):
        assert done.returncode == 1
        line, headline = done.stdout.splitlines()
        assert re.match(rf"{ID}: (yes -> no|no -> yes) \(configured, drift\)", line)
        assert "Set IPV6_V6ONLY" in line
        assert "RFC 3493" in line
        assert headline == "gate FAILED: 1 fact, 1 changed"


def test_gate_formats(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    def said(name: str, **environment: str) -> str:
        done = run_lab(
            "gate", str(drifted), "--against", str(baseline), "--format", name,
            environment=environment,
        )  # fmt: skip
        assert done.returncode == 1
        return done.stdout

    document = json.loads(said("json"))
    assert (document["status"], document["changes"][0]["id"]) == (1, ID)
    assert f"| {ID} |" in said("markdown")
    assert '<testsuite name="probes gate" tests="1" failures="1"' in said("junit")
    summary = tmp_path / "summary.md"
    text = said("github", GITHUB_STEP_SUMMARY=str(summary))
    assert re.search(rf"^::error file={drifted},line=1,title={ID}::", text, re.M)
    assert f"| {ID} |" in summary.read_text()


def test_gate_honours_what_is_allowed(baseline: Path, drifted: Path) -> None:
    copy = drifted.with_name("allowed-drift.json")
    shutil.copy(drifted, copy)
    old, new = (Report.load(path)[ID].value for path in (drifted, baseline))
    entry = {"fact": ID, "from": old, "to": new, "reason": "known", "expires": "2999-01-01"}
    allowed = copy.with_name("allowed-drift.allowed.json")
    allowed.write_text(json.dumps({"allowed": [entry]}))
    done = run_lab("gate", str(copy), "--against", str(baseline))
    assert done.returncode == 0
    assert "Allowed: known" in done.stdout
    allowed.write_text(json.dumps({"allowed": [{**entry, "expires": "2001-01-01"}]}))
    done = run_lab("gate", str(copy), "--against", str(baseline))
    assert done.returncode == 1
    assert "expired" in done.stdout
    allowed.write_text("{")
    assert run_lab("gate", str(copy), "--against", str(baseline)).returncode == 2


def test_update_shows_asks_and_writes(here: Report, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    baseline = tmp_path / "baseline.json"
    here.save(baseline)
    drifted = with_value(baseline, tmp_path / "drifted.json", not here[ID].value)
    arguments = ["gate", str(path), "--update", "--against", str(drifted)]
    done = run_lab(*arguments)
    assert (done.returncode, path.exists()) == (2, False)
    assert "--reason" in done.stderr
    assert run_lab(*arguments, "--reason", "first").returncode == 0
    assert Report.load(path).later["approvals"][0]["reason"] == "first"

    before = path.read_bytes()
    arguments = ["gate", str(path), "--update", "--against", str(baseline), "--reason", "second"]
    done = run_lab(*arguments, environment={"CI": "true"})
    assert (done.returncode, path.read_bytes()) == (2, before)
    assert "never writes where CI is set" in done.stderr
    assert run_lab(*arguments, FEW).returncode == 2
    assert path.read_bytes() == before
    done = run_lab(*arguments, environment={"CI": "false"})
    assert done.returncode == 0
    assert ID in done.stdout
    assert "gate" not in done.stdout
    assert [a["reason"] for a in Report.load(path).later["approvals"]] == ["first", "second"]
    assert run_lab("gate", str(path), "--against", str(baseline)).returncode == 0


def test_update_records_no_part_of_a_report(baseline: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    done = run_lab("gate", str(path), "--update", "--reason", "x", "--against", str(baseline))
    assert (done.returncode, path.exists()) == (2, False)
    assert "the report is a part" in done.stderr


def test_choosing_from_a_report_that_is_there_is_refused(baseline: Path) -> None:
    done = run_lab("gate", str(baseline), "--against", str(baseline), FEW)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_gate_refuses_another_platform(baseline: Path, tmp_path: Path) -> None:
    document = json.loads(baseline.read_text())
    document["environment"]["system"] = "Plan9"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    done = run_lab("gate", str(other), "--against", str(baseline))
    assert done.returncode == 2
    assert "plan9" in done.stderr
    assert done.stderr.count("\n") == 1
    document["environment"].update(system="Linux", machine="s390x")
    other.write_text(json.dumps(document))
    done = run_lab("gate", str(other), "--against", str(baseline))
    assert done.returncode == 2
    assert "on s390x, the report of" in done.stderr


def test_gate_of_a_cell(baseline: Path, drifted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "baselines"
    folder.mkdir()

    def gate(cell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_lab("gate", "--cell", cell, "--baselines", str(folder), *arguments)

    for cell in ("auto", "a"):
        done = gate(cell, FEW)
        assert done.returncode == 2
        assert f"{folder}: no baselines there; record one: " in done.stderr
        assert done.stderr.count("\n") == 1
    document = json.loads(baseline.read_text())
    # Another system's, another Python's of this one, and this one's own.
    document["environment"]["python"] = "CPython 3.0.0"
    (folder / "a.json").write_text(json.dumps(document))
    document["environment"]["emulated_32_bit"] = not document["environment"]["emulated_32_bit"]
    (folder / "b.json").write_text(json.dumps(document))
    (folder / "a.json").rename(tmp_path / "a.json")
    assert "no baseline of this platform" in gate("auto", FEW).stderr
    (tmp_path / "a.json").rename(folder / "a.json")
    done = gate("auto", FEW)
    assert (done.returncode, "a.json" in done.stderr) == (0, True), done.stderr
    shutil.copy(drifted, folder / "c.json")
    done = gate("auto", FEW)
    assert (done.returncode, "c.json" in done.stderr) == (1, True), done.stderr
    assert gate("auto", "--against", str(drifted)).returncode == 0
    assert gate("a", FEW).returncode == 0
    assert gate("c", FEW).returncode == 1
    unknown = gate("d", FEW)
    assert unknown.returncode == 2
    assert "no baseline of 'd'; there are a, b, c" in unknown.stderr


def test_gate_allows_what_is_configured_and_nothing_else(here: Report, tmp_path: Path) -> None:
    was, inherent = tmp_path / "was.json", "sockets.v4mapped_address"
    here.save(was)
    document = json.loads(was.read_text())
    for id, value in ((ID, not here[ID].value), (inherent, "otherwise")):
        document["facts"][id]["value"] = value
    now = tmp_path / "now.json"
    now.write_text(json.dumps(document))
    assert (here[ID].scope, here[inherent].scope) == ("configured", "inherent")

    def gate(*allowed: str) -> subprocess.CompletedProcess[str]:
        return run_lab("gate", str(was), "--against", str(now), *allowed)

    assert f"{ID}: " in gate().stdout
    done = gate("--allow", "sockets.*")
    assert done.returncode == 1
    assert "1 changed, 1 allowed" in done.stdout
    refused = gate("--allow", inherent)
    assert refused.returncode == 2
    assert f"{inherent} is inherent" in refused.stderr
    assert "it matches no fact" in gate("--allow", "nothing.*").stderr
    document["facts"][inherent]["value"] = here[inherent].value
    now.write_text(json.dumps(document))
    assert gate("--allow", ID).returncode == 0


# pack and the library ----------------------------------------------------------------------


def test_pack_makes_one_file_that_runs_anywhere(tmp_path: Path) -> None:
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive)).returncode == 0
    assert archive.stat().st_mode & stat.S_IXUSR

    def packed(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(archive), *arguments],
            cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip

    report = Report.loads(packed("report", "--json", FEW).stdout)
    assert report[ID].measured
    assert (
        report.environment.probes_hash
        == Report.loads(run_lab("report", "--json", FEW).stdout).environment.probes_hash
    )
    assert packed("list").stdout == run_lab("list").stdout
    for name in ("text", "markdown", "junit", "github", "header"):
        assert packed("report", FEW, "--format", name).returncode == 0
    again = tmp_path / "again.pyz"
    assert packed("pack", "-o", str(again)).returncode == 0
    assert again.read_bytes() == archive.read_bytes()


def test_the_packed_lab_finds_the_baselines_of_its_user(baseline: Path, tmp_path: Path) -> None:
    archive = tmp_path / "lab.pyz"
    assert run_lab("pack", "-o", str(archive)).returncode == 0
    own = tmp_path / "data" / "papaya-lab" / "baselines"

    def gate() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(archive), "gate", "--cell", "auto", FEW], cwd=tmp_path,
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = gate()
    assert done.returncode == 2
    assert done.stderr.startswith(f"probes: {own}: no baselines there; record one: ")
    assert f"{archive} gate --update --reason TEXT FILE, then gate FILE; or" in done.stderr
    assert done.stderr.count("\n") == 1
    own.mkdir(parents=True)
    shutil.copy(baseline, own / "mine.json")
    done = gate()
    assert done.returncode == 0, done.stderr
    assert "data/papaya-lab/baselines/mine.json" in done.stderr


def test_as_a_library() -> None:
    report = probes.measure(only=["sockets.v6only_d*"])
    assert list(report.facts) == [ID]
    assert isinstance(report[ID].value, bool)
    with pytest.raises(LookupError, match="no probe matches"):
        probes.measure(only=["nothing.*"])


def test_as_a_library_from_any_thread_of_a_program_with_its_own_ways(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(probes.measure([ID], repeat=2, jobs=1, deadline=9.5))
    )
    thread.start()
    thread.join()
    assert found[0][ID].measured
