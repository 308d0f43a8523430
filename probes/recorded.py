"""measure(): the lab as a library."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Optional

from .fact import Report, ReportError


def measure(
    only: Iterable[str] = (),
    *,
    skip: Iterable[str] = (),
    jobs: Optional[int] = None,
    deadline: Optional[float] = None,
    repeat: int = 1,
) -> Report:
    """Measure this platform: the facts whose ids match a glob of ``only``, or all.

    The same as ``python3 -m probes report``, in a fresh interpreter: forking from a
    process with threads, handlers and descriptors of its own would measure those.
    ``jobs`` probes run at once, each for ``deadline`` seconds at most, ``repeat`` times.

    Raises LookupError where a pattern matches nothing, ValueError for a number that
    cannot be, ReportError where the lab itself failed.  A probe's failure is a fact with
    that status, not an exception.
    """
    if isinstance(only, str) or isinstance(skip, str):
        raise TypeError("only and skip are lists of globs, such as ['signals.*']")

    import subprocess  # Dear to import, and of no use to the command line.

    options = [f"--only={glob}" for glob in only] + [f"--skip={glob}" for glob in skip]
    if jobs is not None:
        options.append(f"--jobs={jobs}")
    if deadline is not None:
        options.append(f"--deadline={deadline}")
    options.append(f"--repeat={repeat}")
    # The folder, or the archive, that this package was imported from.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    lab = subprocess.run(
        [sys.executable, "-m", "probes", "report", "--format", "json", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if lab.returncode in (0, 3, 4) and lab.stdout:
        return Report.loads(lab.stdout)
    said = lab.stderr.strip().rpartition("\n")[2] or f"the lab exited with {lab.returncode}"
    usage = LookupError if "matches" in said or "nothing is left" in said else ValueError
    raise (usage if lab.returncode == 2 else ReportError)(said)
