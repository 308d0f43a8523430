"""Check whether execnet is installed, which reaches every platform; `matrix run` can install it."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable

from probes.errors import CommandError

from .lock import hold_lock

REQUIREMENT = "execnet>=2.1"
_INSTALL = f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(REQUIREMENT)}"


def explain_lack() -> str:
    """Return that execnet is not installed, and what to type; empty if it is installed."""
    importlib.invalidate_caches()
    exists = importlib.util.find_spec("execnet") is not None
    return "" if exists else f"execnet is not installed: {_INSTALL}"


def require_execnet(install: bool, say: Callable[[str], None]) -> None:
    """Raise CommandError if execnet is not installed; with ``install``, install it first."""
    lack = explain_lack()
    if not lack:
        return
    if not install:
        raise CommandError(lack, 3)
    with hold_lock(sys.prefix):
        if not explain_lack():  # Another cell that runs at the same time has installed it.
            return
        say("installing execnet")
        # Without a network, pip would retry for half a minute.
        quick = ["--quiet", "--disable-pip-version-check", "--retries=0", "--timeout=2"]
        done = subprocess.run(
            [sys.executable, "-I", "-m", "pip", "install", *quick, REQUIREMENT],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    if explain_lack():
        errors = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise CommandError(
            f"execnet cannot be installed ({errors[0]}); on a network: {_INSTALL}", 3
        )
