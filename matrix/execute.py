"""Run a user's program on a platform: send its files, run a command, fetch what it made."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from probes.errors import CommandError

from . import junit
from .errors import Say
from .outcome import FAILED, CellOutcome
from .run import RunPlan, time_step

if TYPE_CHECKING:
    from .cell import Cell
    from .remote import Remote

MOST_BYTES = 1 << 30
"""Largest size of the files that are sent."""


@dataclass(frozen=True)
class ExecPlan(RunPlan):
    """The command that runs on each platform."""

    command: tuple[str, ...] = ()
    files: bytes = b""
    """A tar archive of what is sent."""
    get: tuple[str, ...] = ()
    """Paths that are fetched afterwards, relative to the folder of the command."""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: bool = False
    """Run the command as an ordinary user."""
    junit: str = ""
    """Path of a JUnit file that the command writes; it is fetched and read."""
    quiet: bool = False
    """Write the output to the file alone."""


def pack_files(path: str, all_files: bool) -> bytes:
    """Return a tar archive of the files that git knows below ``path``, or of all files.

    Files that git ignores are left out.  Raise CommandError if ``path`` is not a folder of a git
    checkout, or too large.
    """
    if not os.path.isdir(path):
        raise CommandError(f"--send {path}: not a folder")
    names = _list_all(path) if all_files else _list_known(path)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as archive:
        size = 0
        for name in names:
            there = os.path.join(path, name)
            if os.path.islink(there) or os.path.isfile(there):
                size += os.lstat(there).st_size
                if size > MOST_BYTES:
                    raise CommandError(
                        f"--send {path}: more than {MOST_BYTES >> 20} MiB; send another folder"
                    )
                archive.add(there, name, recursive=False)
    return data.getvalue()


def _list_known(path: str) -> list[str]:
    """Return the files that git tracks, and new ones that it does not ignore."""
    command = ["git", "-C", path, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    advice = "--all sends every file"
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise CommandError(f"--send {path}: git is not installed; {advice}") from None
    if done.returncode:
        raise CommandError(f"--send {path}: not a git checkout; {advice}")
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _list_all(path: str) -> list[str]:
    found = []
    for folder, _, names in os.walk(path):
        found += [os.path.relpath(os.path.join(folder, name), path) for name in names]
    return sorted(found)


def execute(
    cell: Cell, plan: RunPlan, outcome: CellOutcome, folder: str, remote: Remote, say: Say
) -> None:
    """Run the command of an `ExecPlan` on a platform; see `run.Work`."""
    assert isinstance(plan, ExecPlan)
    with time_step(outcome, "send"):
        remote.unpack(plan.files)
    with time_step(outcome, "run"), open(os.path.join(folder, "output"), "wb") as output:
        say("running the command")
        lines = _Lines(cell.name)

        def show(data: bytes) -> None:
            output.write(data)
            output.flush()
            if not plan.quiet:
                lines.show(data)

        status = remote.execute(plan.command, plan.environment, plan.user, plan.deadline, show)
        lines.end()
    if status is None:
        outcome.status = FAILED
        outcome.why = f"the command did not end within {plan.deadline:.0f} s"
    else:
        outcome.exit_status = status
        outcome.status = FAILED if status else 0
    with time_step(outcome, "get"):
        for path in dict.fromkeys(filter(None, [*plan.get, plan.junit])):
            fetched = _fetch(path, outcome, folder, remote)
            if fetched and path == plan.junit:
                _read_tests(fetched, outcome)


def _fetch(path: str, outcome: CellOutcome, folder: str, remote: Remote) -> str:
    """Fetch a file or folder, and return its path here; empty if the command did not make it."""
    files = remote.fetch(path)
    if files is None:
        outcome.changes.append(f"{path}: the command did not make it")
        outcome.status = outcome.status or FAILED
        return ""
    for name in unpack_files(files, folder):
        outcome.changes.append(f"{path}: left out {name}, which is not a file or folder")
    fetched = os.path.join(folder, path)
    outcome.fetched.append(fetched)
    return fetched


def _read_tests(path: str, outcome: CellOutcome) -> None:
    """Read the JUnit file of a cell, which fails if one of its tests did."""
    try:
        outcome.tests = junit.read_results(path)
    except CommandError as error:
        outcome.changes.append(str(error))
        outcome.status = outcome.status or FAILED
        return
    if {junit.FAILED, junit.ERROR} & {*outcome.tests.values()}:
        outcome.status = outcome.status or FAILED


def unpack_files(files: bytes, folder: str) -> list[str]:
    """Unpack files and folders below ``folder``; return the names of links and devices.

    A platform may be under another user's control, so nothing is written outside ``folder``: raise
    CommandError for such a name.  tarfile's own filter exists only in Python 3.11.4 and newer.
    """
    left_out = []
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        for member in archive:
            path = os.path.normpath(os.path.join(folder, member.name))
            if not path.startswith(folder + os.sep):
                raise CommandError(f"the platform sent a file outside its folder: {member.name}", 3)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
            elif member.isreg():
                os.makedirs(os.path.dirname(path), exist_ok=True)
                content = archive.extractfile(member)
                assert content
                # An old file may be a link to elsewhere.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                with open(path, "xb") as file:
                    shutil.copyfileobj(content, file)
                os.chmod(path, 0o644 | member.mode & 0o111)
            else:
                left_out.append(member.name)
    return left_out


class _Lines:
    """Print output line by line, each line after the name of its cell."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{name}: ".encode()
        self._rest = b""

    def show(self, data: bytes) -> None:
        """Print the complete lines of the output so far."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole:
            self._write(b"".join(self._prefix + line + b"\n" for line in whole))

    def end(self) -> None:
        """Print an incomplete last line."""
        if self._rest:
            self._write(self._prefix + self._rest + b"\n")

    def _write(self, data: bytes) -> None:
        # One write, so that lines of cells that run side by side do not mix.
        sys.stdout.flush()
        os.write(1, data)
