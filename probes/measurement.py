"""Measure in this process: run probes, and make the report of this platform."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Optional

from . import environment, refusals, runner
from .errors import CommandError
from .fact import Report
from .probe import Probe

MOST, LONGEST = 10_000, 86_400
"""The highest number of jobs or repetitions, and the longest deadline in seconds."""


@dataclass(frozen=True)
class RunOptions:
    """How to run the probes: see `runner.run`."""

    jobs: Optional[int] = None
    deadline: Optional[float] = None
    repeat: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.jobs is not None and not 1 <= self.jobs <= MOST:
            raise ValueError(f"jobs: {self.jobs} is not between 1 and {MOST}")
        if self.deadline is not None and not 0 < self.deadline <= LONGEST:
            raise ValueError(f"deadline: {self.deadline} is not between 0 and {LONGEST} seconds")
        if not 1 <= self.repeat <= MOST:
            raise ValueError(f"repeat: {self.repeat} is not between 1 and {MOST}")


def measure_probes(
    probes: Mapping[str, Probe], options: RunOptions, progress: Optional[runner.Progress] = None
) -> Report:
    """Run the probes and return the report.

    Must be called where `runner.run` may be.  Raises CommandError if the lab cannot run here.
    """
    check_null_device()
    started = time.monotonic()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts = runner.run(
        probes,
        jobs=options.jobs,
        deadline=options.deadline,
        repeat=options.repeat,
        progress=progress,
    )
    platform = environment.describe(environment.hash_probes())
    for id, probe in probes.items():
        if setting := probe.setting(platform):
            facts[id] = replace(facts[id], hangs_on=setting)
    return Report(platform, facts, time.monotonic() - started, at)


def check_null_device() -> None:
    """Raise CommandError if /dev/null is a file: probes would read what others wrote to it.

    The lab does without a /dev/null.
    """
    if os.path.exists(os.devnull) and not stat.S_ISCHR(os.stat(os.devnull).st_mode):
        raise CommandError(
            f"{os.devnull}: not a device; remove it, and mount /dev, "
            f"or on Linux `mknod -m 666 {os.devnull} c 1 3`",
            3,
        )


@contextlib.contextmanager
def explain_refusals() -> Iterator[None]:
    """Raise CommandError with the reason if a sandbox or a limit keeps the lab from running."""
    try:
        yield
    except OSError as error:
        # An error that names a file, and any other error, speak for themselves.
        refused = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAGAIN)
        if error.filename or error.errno not in refused:
            raise
        too_many = error.errno == errno.EAGAIN
        reason = refusals.PROCESSES if too_many else str(refusals.explain(error))
        raise CommandError(f"the lab cannot run here: {reason}", 3) from None
