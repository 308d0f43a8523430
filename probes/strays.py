"""What probes leave behind: orphans, and files in their scratch folders."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from . import lens, libc, run_program
from .probe import Blocked, Unsupported


def scratch_folder() -> str:
    """Make a new folder for this run, where temporary files go: ``$TMPDIR``, else /tmp."""
    parent = os.environ.get("TMPDIR") or "/tmp"
    # Not tempfile: it would quietly go elsewhere, and the file system is part of what is measured.
    folder = os.path.join(os.path.realpath(parent), f"probes-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        os.mkdir(folder, 0o700)
    except OSError as error:
        why = f"no folder can be made there ({error.strerror}): set TMPDIR to another"
        raise OSError(error.errno, why, parent) from None
    return folder


QUEUE_NAME = "message-queue-"
"""A probe that makes a System V message queue first leaves an empty file of this name and the
queue's key in its scratch folder: the queue outlives every process, and this is how it is found
and removed, whenever the probe was killed."""


def end_strays(running: set[int]) -> None:
    """Kill the orphans that came to this process: its children that are not ``running``.

    Each may have children that come to us in turn, so it is done until no child is found, not
    even one that had ended: its children may have come after the others were listed.
    """
    for _ in range(1000):
        found = False
        alive = []
        for pid in lens.list_children() - running:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    alive.append(pid)
                found = True
        if not found:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def is_untouched(scratch: str) -> bool:
    with contextlib.suppress(OSError):
        return not os.listdir(scratch) and os.stat(scratch).st_mode & 0o7777 == 0o700
    return False


def remove(folder: str) -> None:
    """Remove a scratch folder, whatever a killed probe left in it."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rmdir(folder)  # Most probes leave it empty.
            return
        except PermissionError:
            pass
        except OSError as error:
            if error.errno == errno.EBUSY:
                # A file system that a killed probe had mounted (not on Linux: see harness).
                run_program.run(["umount", folder])
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove(entry.path)
                    continue
                if entry.name.startswith(QUEUE_NAME):
                    with contextlib.suppress(OSError, ValueError, Unsupported, Blocked):
                        queue = libc.call("msgget", int(entry.name[len(QUEUE_NAME) :]), 0)
                        libc.call("msgctl", queue, libc.IPC_RMID, None)
                os.unlink(entry.path)
        os.rmdir(folder)
