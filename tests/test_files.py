"""Writing files whole."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from probes import Fact, Platform, Report
from probes.files import write_whole
from tests.worlds import ROOT, needs_root

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
SMALL = Report(
    HERE,
    {
        "a.b": Fact("a.b", "measured", 5, raw=[1, {"x": 0.5}], milliseconds=1.25),
        "a.c": Fact("a.c", "blocked", reason="needs r\u00f6\u00f6t"),
    },
    seconds=0.5,
    measured_at="2026-11-22T23:59:59Z",
)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    SMALL.save(path)
    assert Report.load(path).dumps() == SMALL.dumps()
    assert Report.load(str(path))["a.b"].value == 5
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_new_file_has_the_umask_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    old = os.umask(0o027)
    try:
        SMALL.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        SMALL.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


@needs_root
def test_another_users_file_stays_theirs(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.touch()
    os.chown(path, 65534, 65533)
    SMALL.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, target = tmp_path / "link", tmp_path / "folder" / "target"
    path.symlink_to("folder/target")
    for _ in range(2):  # The first time it leads nowhere.
        SMALL.save(path)
        assert path.is_symlink()
        assert Report.load(target).dumps() == SMALL.dumps()
    assert os.listdir(tmp_path / "folder") == ["target"]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop"):
        SMALL.save(loop)
    assert loop.is_symlink()


def test_what_is_no_plain_file_is_written_straight_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDWR | os.O_NONBLOCK), "rb") as reading:
        write_whole(fifo, "in one piece")
        assert os.read(reading.fileno(), 100) == b"in one piece"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with pytest.raises(IsADirectoryError):
        SMALL.save(tmp_path)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="/dev/full") as raised:
            SMALL.save("/dev/full")
        assert raised.value.errno == errno.ENOSPC


def test_standard_output_as_a_file_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    program = "from probes.fact import write_whole; write_whole('/dev/stdout', 'after\\n')"
    with open(path, "ab") as file:
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=file, check=True)
    assert path.read_text() == "before\nafter\n"


SAVING = """\
import os, resource, sys
from probes import Report
report = Report.loads(sys.stdin.buffer.read())
{before}
try:
    report.save(sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
else:
    print("saved")
"""


def saved_after(before: str, path: Path) -> str:
    """Return the result of saving a report in a process that did ``before`` first."""
    done = subprocess.run(
        [sys.executable, "-c", SAVING.format(before=before), str(path)],
        cwd=ROOT, input=SMALL.dumps(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("there", [None, "what was there"])
def test_on_a_full_disk_what_was_there_stays(tmp_path: Path, there: Optional[str]) -> None:
    path = tmp_path / "report.json"
    if there:
        path.write_text(there)
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    assert saved_after(full, path) == f"{errno.EFBIG} {path}"
    assert os.listdir(tmp_path) == (["report.json"] if there else [])
    if there:
        assert path.read_text() == there


@pytest.fixture
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that any user can enter."""
    folder = tmp_path_factory.mktemp("open")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and "pytest" in str(path):
            path.chmod(0o755)
    return folder


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_is_read_only_stays(open_folder: Path, closed: str) -> None:
    path = open_folder / "report.json"
    path.write_text("what was there")
    path.chmod(0o444)
    open_folder.chmod(0o555 if closed == "folder" else 0o777)
    try:
        nobody = "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))"
        assert saved_after(nobody, path) == f"{errno.EACCES} {path}"
        assert os.listdir(open_folder) == ["report.json"]
        assert path.read_text() == "what was there"
    finally:
        open_folder.chmod(0o755)
