"""tox's plugin for this folder: `tox -e freebsd,ubuntu,debian32` ends with one table of all three.

tox runs each environment by itself.  `matrix run` adds what came of its cells to the file that
MATRIX_SUMMARY names; tox.ini passes that variable on.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

from tox.plugin import impl

if TYPE_CHECKING:
    from tox.config.sets import ConfigSet
    from tox.session.state import State

SUMMARY = "MATRIX_SUMMARY"


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Have the outcomes collected, and told when tox ends."""
    if SUMMARY not in os.environ:
        descriptor, path = tempfile.mkstemp(prefix="matrix-summary-")
        os.close(descriptor)
        os.environ[SUMMARY] = path
        atexit.register(_tell, path, state)


def _tell(path: str, state: State) -> None:
    with open(path, encoding="utf-8") as file:
        outcomes = {told["cell"]: told for told in map(json.loads, file)}
    os.unlink(path)
    platforms = _asked_for(state)
    if not platforms:  # Tests ran the matrix, on cells of their own.
        return
    for name in platforms:
        did_not_run = {"cell": name, "mark": "FAILED", "line": "it did not run; see above"}
        outcomes.setdefault(name, did_not_run)
    if len(outcomes) < 2:  # Of one, its own line was the last.
        return
    width = max(map(len, outcomes))
    print("\nplatforms")
    for name, told in outcomes.items():
        print(f"  {name.ljust(width)}  {told['mark']:7}  {told['line']}")
    sys.stdout.flush()


def _asked_for(state: State) -> list[str]:
    """Return the environments of this call of tox that are platforms."""
    try:
        return [
            name
            for name in state.envs.iter(only_active=True)
            if any("matrix run" in " ".join(c.args) for c in state.envs[name].conf["commands"])
        ]
    except Exception:  # tox itself has said what is wrong with its configuration.
        return []
