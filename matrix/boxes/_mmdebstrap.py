"""Run mmdebstrap(1) so that two builds of the same packages are equal."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

from matrix.interrupts import make_temporary_folder

EPOCH = 1750000000
"""Time of every file in a box, unless SOURCE_DATE_EPOCH names another."""


def find_epoch() -> int:
    """Return the time of every file in a box."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))


def make_environment() -> dict[str, str]:
    """Return the environment for programs, with /usr/sbin, which an ordinary user's PATH lacks."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "LC_ALL": "C", "SOURCE_DATE_EPOCH": str(find_epoch())}


@contextlib.contextmanager
def make_folder() -> Iterator[str]:
    """Yield a temporary folder, and remove it with its contents."""
    with make_temporary_folder() as folder:
        # An ordinary user's mmdebstrap enters it with a subordinate id.
        os.chmod(folder, 0o711)
        yield folder


def make_error(status: int, said: Sequence[str]) -> subprocess.CalledProcessError:
    """Return the error of an mmdebstrap that said these lines on standard error."""
    # The first error is the cause; the last only says that there was one.
    errors = [line for line in said if line.startswith(("E: ", "Err:"))] or said[-1:]
    return subprocess.CalledProcessError(status, "mmdebstrap", "".join(errors[:1]))
