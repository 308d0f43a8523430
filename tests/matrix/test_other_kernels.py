"""The judge and the console of .ci/other-kernels, and a QEMU that does as it is told."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matrix.boxes import debian
from matrix.errors import Unavailable
from probes import Report
from probes.fact import BLOCKED, BROKEN, MEASURED, TIMED_OUT, UNSTABLE, UNSUPPORTED, Fact
from tests.matrix import other_kernels
from tests.matrix.boxes.test_cpio import read_entries
from tests.matrix.other_kernels import KERNELS, KNOWN, NoReportError, judge, read_console

ROOT = Path(__file__).parents[2]
REFERENCE = Report.load(ROOT / "matrix/baselines/debian12-amd64.json")
_DROPPED = object()


def changed(report: Report, **values: Any) -> Report:
    """Return the report with other values or statuses; ``family__name`` means the dot."""
    facts = dict(report.facts)
    for name, value in values.items():
        id = name.replace("__", ".", 1)
        if value is _DROPPED:
            del facts[id]
        elif value in (BLOCKED, BROKEN, TIMED_OUT, UNSTABLE, UNSUPPORTED):
            facts[id] = Fact(id, value, scope=facts[id].scope, reason="the test says so")
        else:
            facts[id] = dataclasses.replace(facts[id], status=MEASURED, value=value, reason="")
    return dataclasses.replace(report, facts=facts)


def right(name: str) -> Report:
    """Return the report of a faultless lab on that platform, which has no compiler."""
    facts = {f.id.replace(".", "__"): BLOCKED for f in REFERENCE if f.family == "compilers"}
    report = changed(REFERENCE, **facts)
    for _, values in KNOWN[name]:
        report = changed(report, **{id.replace(".", "__"): v for id, v in values.items()})
    return report


@pytest.mark.parametrize("name", KERNELS)
def test_right_report_passes(name: str) -> None:
    assert judge(name, right(name), REFERENCE) == []


def test_fact_that_differs_from_amd64() -> None:
    report = changed(right("s390x"), restarts__accept="EINTR", signals__libc_signal_flags="SA_X")
    assert judge("s390x", report, REFERENCE) == [
        "restarts.accept: EINTR, on amd64 restarts",
        "signals.libc_signal_flags: SA_X, on amd64 SA_RESTART",
    ]


@pytest.mark.parametrize("status", [BLOCKED, UNSUPPORTED])
def test_fact_that_is_not_measured_has_its_reason_told(status: str) -> None:
    report = changed(right("s390x"), restarts__accept=status)
    (line,) = judge("s390x", report, REFERENCE)
    assert line == f"restarts.accept: {status} (the test says so), on amd64 restarts"


@pytest.mark.parametrize("status", [BROKEN, TIMED_OUT, UNSTABLE])
@pytest.mark.parametrize(
    "id", ["abi.long_bits", "compilers.off_t_bits_file_offset_bits_64", "files.pipe_capacity"]
)
def test_fault_of_the_lab_counts_in_every_family_and_scope(id: str, status: str) -> None:
    report = changed(right("s390x"), **{id.replace(".", "__"): status})
    assert judge("s390x", report, REFERENCE) == [f"{id}: {status}: the test says so"]


def test_fact_that_is_gone() -> None:
    report = changed(right("s390x"), restarts__accept=_DROPPED)
    assert judge("s390x", report, REFERENCE) == ["restarts.accept: not in the report"]


@pytest.mark.parametrize(
    ("name", "id", "value", "said"),
    [
        ("armhf13", "abi.time_t_bits", 32, "32, must be 64: Debian 13 builds"),
        ("armhf13", "abi.time_after_2038", False, "no, must be yes: Debian 13 builds"),
        ("armhf", "abi.time_after_2038", 0, "0, must be no: Debian 12 builds"),
        ("s390x", "abi.sa_flags_offset", 136, "136, must be 12: s390x is big-endian"),
        ("s390x", "abi.char_signed", BLOCKED, "blocked (the test says so), must be no: char is"),
        # Where what is known to differ does not.
        ("mips64el", "signals.sigrtmax", 64, "64, must be 127: MIPS has"),
    ],
)
def test_known_value_must_be_there(name: str, id: str, value: Any, said: str) -> None:
    report = changed(right(name), **{id.replace(".", "__"): value})
    (line,) = judge(name, report, REFERENCE)
    assert line.startswith(f"{id}: {said}")


def test_other_facts_of_the_representation_and_of_the_configuration_are_free() -> None:
    report = changed(right("s390x"), abi__sigaction_fills_bytes=7, files__pipe_capacity=1048576)
    assert REFERENCE["files.pipe_capacity"].scope != "inherent"
    assert judge("s390x", report, REFERENCE) == []


def test_known_fact_that_the_lab_no_longer_has() -> None:
    without = {"signals__sigrtmax": _DROPPED}
    wrong = judge("mips64el", changed(right("mips64el"), **without), changed(REFERENCE, **without))
    assert wrong == ["signals.sigrtmax: not a fact; mend KNOWN"]


def test_too_few_facts() -> None:
    # Also where amd64 measures no more.
    names = [f.id.replace(".", "__") for f in REFERENCE if f.family == "restarts"]
    without = dict.fromkeys(names, UNSUPPORTED)
    report = changed(right("s390x"), **without)
    measured = report.counts()[MEASURED]
    wrong = judge("s390x", report, changed(REFERENCE, **without))
    assert wrong == [f"only {measured} facts measured, must be at least 265"]


def console(report: str, status: int = 0) -> str:
    """Return what a guest writes, as a serial line delivers it."""
    packed = base64.encodebytes(gzip.compress(report.encode())).decode()
    return (
        "KASLR disabled\n\r1/279 abi.long_bits\x1b[K\r\x1b[K\n"
        f"{other_kernels._BEGIN}\n{packed}{other_kernels._END}{status}\n"
        "[    9.000000] sysrq: Power Off\n"
    ).replace("\n", "\r\n")


def test_report_is_read_from_the_console() -> None:
    # Status 4 tells that a probe broke: the report says which.
    for status in (0, 4):
        assert read_console(console(REFERENCE.dumps(), status)).to_json() == REFERENCE.to_json()


def test_init_writes_the_lines_that_are_looked_for() -> None:
    _, init = other_kernels.extra(b"lab", 5.9)["init"]
    assert b"date -s @5 " in init
    assert f"\necho '{other_kernels._BEGIN}'\n".encode() in init
    assert f"\necho '{other_kernels._END}'\"$status\"\n".encode() in init


def test_console_without_a_report_has_its_last_lines_told() -> None:
    with pytest.raises(NoReportError, match="no report on the console, which ended with: \\(noth"):
        read_console("")
    lines = "".join(f"line {number}\x1b[31m\r\n\r\n" for number in range(20))
    with pytest.raises(NoReportError) as caught:
        read_console(lines + "Kernel panic\r\n")
    first, *said = str(caught.value).splitlines()
    assert first == "no report on the console, which ended with:"
    assert len(said) == 8
    assert said[-2:] == ["    line 19\\x1b[31m", "    Kernel panic"]


def test_report_that_is_cut_short() -> None:
    whole = console(REFERENCE.dumps())
    with pytest.raises(NoReportError, match="no report on the console"):
        read_console(whole[: len(whole) // 2])


@pytest.mark.parametrize("between", ["[    5.0] oops: 1234", "AAAA"])
def test_report_with_something_else_between(between: str) -> None:
    lines = console(REFERENCE.dumps()).split("\r\n")
    lines.insert(len(lines) // 2, between)
    with pytest.raises(NoReportError, match="the report on the console is damaged: "):
        read_console("\r\n".join(lines))


def test_text_that_is_not_a_report() -> None:
    with pytest.raises(NoReportError, match="damaged: not a report"):
        read_console(console("{}"))


def test_lab_that_ends_without_a_report_has_its_words_told() -> None:
    said = f"Traceback\r\nKeyError: 5\r\n{other_kernels._BEGIN}\r\n{other_kernels._END}1\r\n"
    with pytest.raises(NoReportError) as caught:
        read_console(said)
    assert str(caught.value) == (
        "the lab wrote no report, exit status 1; it said:\n    Traceback\n    KeyError: 5"
    )


class Emulator:
    """A QEMU that is a shell script, and the folder for everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box = debian.Box(*(str(folder / name) for name in ("kernel", "initramfs", "packages")))
        Path(self.box.kernel).write_bytes(b"kernel")
        Path(self.box.initramfs).write_bytes(b"12345")
        (folder / "console").write_text(console(right("s390x").dumps()), newline="")

    def does(self, script: str) -> None:
        """Have it do that; its process id is noted first."""
        program = self.folder / "qemu-system-s390x"
        program.write_text(f"#!/bin/sh\necho $$ >{self.folder}/pid\n{script}\n")
        program.chmod(0o755)

    def boot(self) -> Report:
        return asyncio.run(other_kernels.boot("s390x", self.box, b"the lab", self.folder / "log"))


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    yield Emulator(tmp_path)
    # It is gone, however the guest ended.
    pid = tmp_path / "pid"
    if pid.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_guest_gets_the_cached_archive_and_the_lab_after_it(emulator: Emulator) -> None:
    emulator.does(
        f"while [ $# -gt 0 ]; do [ $1 = -initrd ] && cat $2 >{emulator.folder}/given; shift; done\n"
        f"cat {emulator.folder}/console"
    )
    assert emulator.boot().to_json() == right("s390x").to_json()
    given = (emulator.folder / "given").read_bytes()
    assert given[:8] == b"12345\0\0\0"
    assert ("lab.pyz", 0o100644, b"the lab") in read_entries(given[8:])


def test_guest_that_hangs_is_ended(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_kernels, "LIMIT", 0.2)
    emulator.does("exec sleep 1000")
    with pytest.raises(NoReportError, match=r"^not off after 0\.2 s; no report on the console"):
        emulator.boot()


def test_guest_of_an_interrupted_command_is_ended(emulator: Emulator) -> None:
    emulator.does(f": >{emulator.folder}/started; exec sleep 1000")

    async def interrupted() -> None:
        boot = other_kernels.boot("s390x", emulator.box, b"", emulator.folder / "log")
        task = asyncio.create_task(boot)
        while not (emulator.folder / "started").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())


def test_guest_that_fails_has_its_last_words_told(emulator: Emulator) -> None:
    emulator.does("echo no such machine >&2; exit 1")
    with pytest.raises(NoReportError, match="ended with:\n    no such machine"):
        emulator.boot()


@pytest.fixture
def run(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the whole command for a ready image, on a host that answers as amd64 does."""
    monkeypatch.setattr(other_kernels, "build", lambda name: emulator.box)
    monkeypatch.setattr(other_kernels, "measure_here", lambda path: (b"lab", REFERENCE))
    output = emulator.folder / "reports"
    return lambda *names: other_kernels.main([*names, "--output", str(output)])


def test_all_is_as_it_must_be(
    emulator: Emulator, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.does(f"cat {emulator.folder}/console")
    assert run("s390x", "s390x") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "as on amd64" in line)
    measured = right("s390x").counts()[MEASURED]
    assert line.startswith(f"s390x: as on amd64, {measured} measured; Debian GNU/Linux 12")
    assert Report.load(emulator.folder / "reports/s390x.json") == right("s390x")


def test_wrong_fact_is_status_1(
    emulator: Emulator, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = changed(right("s390x"), restarts__accept="EINTR")
    (emulator.folder / "console").write_text(console(wrong.dumps()), newline="")
    emulator.does(f"cat {emulator.folder}/console")
    assert run("s390x") == 1
    said = capsys.readouterr().out
    assert "\ns390x: restarts.accept: EINTR, on amd64 restarts\ns390x: 1 WRONG, " in said


def test_guest_that_does_not_come_up_is_status_3_and_the_others_are_judged(
    emulator: Emulator,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def build(name: str) -> debian.Box:
        if name == "riscv64":
            raise Unavailable("kernel-riscv64 cannot be built: mmdebstrap: no network")
        return emulator.box

    monkeypatch.setattr(other_kernels, "build", build)
    monkeypatch.setattr(other_kernels, "lacks", lambda name: "")
    emulator.does(f"cat {emulator.folder}/console")
    (emulator.folder / "qemu-system-arm").symlink_to("/bin/false")
    assert run("riscv64", "armhf", "s390x") == 3
    said = capsys.readouterr().out.splitlines()
    assert "riscv64: FAILED: kernel-riscv64 cannot be built: mmdebstrap: no network" in said
    assert "armhf: FAILED: no report on the console, which ended with: (nothing)" in said
    assert said[-1].startswith("s390x: as on amd64, ")


def test_qemu_that_is_not_installed(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run("ppc64el") == 3
    said = "ppc64el: FAILED: qemu-system-ppc64 is not installed; apt-get install qemu-system-ppc\n"
    assert said in capsys.readouterr().out


def test_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        other_kernels.main(["s390"])
    assert caught.value.code == 2
    assert "s390: unknown platform; use amd64, " in capsys.readouterr().err
