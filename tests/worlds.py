"""Run the whole lab in a changed world: under a shim, a sysctl, another file system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from probes import Report
from probes.fact import INFORMATIVE
from tests.needs import needs_linux, needs_root, require

__all__ = ["ROOT", "flipped", "measure", "needs_linux", "needs_root", "network", "run_lab", "shim"]

ROOT = Path(__file__).resolve().parent.parent


def run_lab(
    *arguments: str,
    environment: Optional[Mapping[str, str]] = None,
    before: Sequence[str] = (),
    folder: Path = ROOT,
    python: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m probes ARGUMENTS`` in ``folder``, with ``before`` before the command."""
    clean = {k: v for k, v in os.environ.items() if k not in ("CI", "GITHUB_STEP_SUMMARY")}
    return subprocess.run(
        [*before, python, "-m", "probes", *arguments],
        cwd=folder,
        env={**clean, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def measure(*options: str, **how: object) -> Report:
    """Return the report of a lab run by `run_lab`, with options such as ``--only=sockets``."""
    done = run_lab("report", "--format", "json", *options, **how)  # type: ignore[arg-type]
    assert done.stdout, done.stderr
    return Report.loads(done.stdout)


def network(*settings: str, up: bool = True) -> list[str]:
    """Return a command prefix for a new network namespace, with sysctls set in it."""
    require(*["ip"] * up, *["sysctl"] * bool(settings), "unshare")
    script = ["ip link set lo up"] * up + [f"sysctl -qw {s}" for s in settings] + ['exec "$@"']
    return ["unshare", "-n", "sh", "-c", " && ".join(script), "sh"]


def as_user(uid: int = 65534, rights: str = "+dac_read_search") -> list[str]:
    """Return a command prefix for a user, who may read the checkout and this Python anywhere."""
    kept = [f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *kept]


COUNT_SESSIONS = r"""
static int sessions;
pid_t setsid(void) { sessions++; return REAL(setsid)(); }
"""
"""C: the runner's session is the first, a probe's the second, one that a probe makes the third."""


def shim(folder: Path, source: str) -> dict[str, str]:
    """Build C ``source`` as a library; return the environment that preloads it."""
    require("cc")
    path = folder / "shim.c"
    library = folder / "shim.so"
    path.write_text("#define _GNU_SOURCE 1\n#include <dlfcn.h>\n" + source)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(path), "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library)}


def flipped(before: Report, after: Report) -> dict[str, tuple[str, str]]:
    """Return the facts whose answers differ, each with the old and the new answer.

    Informative facts are left out, because the lab promises nothing about them.
    """
    return {
        fact.id: (before[fact.id].answer, fact.answer)
        for fact in after
        if fact.scope != INFORMATIVE and before[fact.id].answer != fact.answer
    }
