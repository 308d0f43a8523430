"""The lab and the chat on the musl C library, for real: built, measured, tried.

Minutes long where nothing is in the cache: then only with REQUIRE_ALL.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from matrix.boxes import musl
from probes import Report
from probes.errors import CommandError
from probes.fact import FAULTS
from probes.load_catalogue import load_catalogue
from tests.matrix.workplace import Workplace


def can_have(argument: str) -> bool:
    """Return whether the host has the box, or what it is built with."""
    try:
        return bool(musl.find_built(argument)) or not musl.explain_lack(argument)
    except CommandError:
        return False


# Few hosts have the packages of a foreign architecture, and CI is none of them.
@pytest.fixture(scope="module", params=["", "i386"] if can_have("i386") else [""])
def argument(request: pytest.FixtureRequest) -> str:
    """Return what follows ``musl:``; skip what would take minutes."""
    argument: str = request.param
    if not musl.find_built(argument) and not os.environ.get("REQUIRE_ALL"):
        name = musl.parse_argument(argument).name.replace("-", ":")
        pytest.skip(f"{name} is not in the cache: python3 -m matrix box {name}")
    return argument


@pytest.fixture(scope="module")
def box(argument: str) -> musl.Box:
    return musl.build(print, argument=argument)


def test_it_is_whole_and_of_musl_alone(box: musl.Box) -> None:
    modules = "ctypes, fcntl, hashlib, mmap, secrets, select, socket, unicodedata, zlib"
    subprocess.run([box.python, "-c", f"import {modules}"], check=True)
    extensions = list(Path(box.folder).glob("lib/python3*/lib-dynload/*.so"))
    assert extensions
    # musl's is called libc.so; whoever needs a libc.so.6, a libm.so.6 is glibc's.
    for path in [Path(box.python), *extensions]:
        done = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True)
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout))
        assert needed <= {"libc.so"}, path


def test_its_folder_may_be_anywhere(box: musl.Box, tmp_path: Path) -> None:
    moved = shutil.copytree(box.folder, tmp_path / "with a blank", symlinks=True)
    source = "#include <linux/version.h>\nint main(void) { return LINUX_VERSION_CODE == 0; }\n"
    program = tmp_path / "asked"
    subprocess.run(
        [moved / "bin" / "musl-cc", "-xc", "-", "-o", program], input=source, text=True, check=True
    )
    subprocess.run([program], check=True)
    subprocess.run([moved / "bin" / "python3", "-c", "import ctypes"], check=True)


def test_the_lab_and_the_chat_run_on_it(argument: str, box: musl.Box, tmp_path: Path) -> None:
    work = Workplace(tmp_path)
    work.cell("box", f"musl:{argument}".rstrip(":"))
    done = work.run("box")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no baseline, selftest 3/3" in done.stdout
    report = Report.load(work.results("box") / "report.json")
    assert report.environment.libc == "musl"
    assert re.fullmatch(r"\d+\.\d+\.\d+", report.environment.libc_version)
    assert report.environment.emulated_32_bit is bool(argument)
    assert report.environment.machine == ("i686" if argument else platform.machine())
    assert [fact.id for fact in report if fact.status in FAULTS] == []

    # As its source has them: signal.c, daemon.c, select.c, sigtimedwait.c; C programs speak of
    # it too, and not of the host's glibc.
    assert report["compilers.signal_flags_strict"].value == "SA_RESTART"
    assert report["groups.daemon3_is_session_leader"].value is False
    assert report["files.select_modifies_timeout"].value is False
    assert report["restarts.sigwaitinfo_flags_0"].value == "restarts"
    assert report["signals.sysv_signal_flags"].status == "unsupported"

    # The symbols of these names are for old programs: what the lab calls is what C programs call.
    for what in ("time_t_bits", "off_t_bits"):
        assert report[f"abi.{what}"].value == report[f"compilers.{what}_plain"].value == 64
    assert report["abi.time_after_2038"].value is True
    assert report["abi.file_time_after_2038"].value is True

    # What is documented of it, or of any Linux, is so.
    probes, names = load_catalogue(), report.environment.names
    ours = [name for name in names if name != "posix"]
    for fact in report:
        documented = probes[fact.id].documented
        for name in ours:
            if fact.measured and name in documented:
                assert fact.value == documented[name], (fact.id, name)
                break
