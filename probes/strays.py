"""What probes leave behind: orphans, and files in their scratch folders."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from . import lens, libc, run_program
from .probe import Blocked, Unsupported


def make_scratch_folder() -> str:
    """Make a new folder for this run in ``$TMPDIR``, by default in /tmp; return its path."""
    parent = os.environ.get("TMPDIR") or "/tmp"
    # Not by tempfile, which silently tries other folders: the file system is measured too.
    folder = os.path.join(os.path.realpath(parent), f"probes-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        os.mkdir(folder, 0o700)
    except OSError as error:
        why = f"cannot make a folder there ({error.strerror}): set TMPDIR to another"
        raise OSError(error.errno, why, parent) from None
    return folder


QUEUE_NAME = "message-queue-"
"""A System V message queue outlives every process.  A probe that makes one first makes an empty
file, named by this and the queue's key, in its scratch folder, so that the queue is found and
removed even if the probe is killed."""


def end_strays(running: set[int]) -> None:
    """Kill the orphans that this process adopted: its children that are not ``running``.

    Each may have children that this process adopts in turn.  So repeat until no child is found,
    not even one that had ended: its children may have come after the others were listed.
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
                # Outside Linux a killed probe may have left a file system mounted.
                with contextlib.suppress(Blocked):
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
