"""A plugin of tox: `tox -e freebsd,ubuntu,debian32` ends with one table of all three.

tox runs environments separately.  `matrix run` appends the outcomes of its cells to the file that
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
ALL_HERE = "platforms"
"""The environment that runs all cells that can run here; the others are named after their cell."""


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Collect the outcomes, and print them when tox ends."""
    if SUMMARY not in os.environ:
        descriptor, path = tempfile.mkstemp(prefix="matrix-summary-")
        os.close(descriptor)
        os.environ[SUMMARY] = path
        atexit.register(_print_table, path, state)


def _print_table(path: str, state: State) -> None:
    with open(path, encoding="utf-8") as file:
        outcomes = {outcome["cell"]: outcome for outcome in map(json.loads, file)}
    os.unlink(path)
    platforms = _list_platforms(state)
    if not platforms:  # Tests ran the matrix with test cells.
        return
    for name in platforms:
        if name == ALL_HERE:
            continue
        did_not_run = {"cell": name, "mark": "FAILED", "line": "it did not run; see above"}
        outcomes.setdefault(name, did_not_run)
    if len(outcomes) < 2:  # The line of a single one was printed last.
        return
    width = max(map(len, outcomes))
    print("\nplatforms")
    for name, outcome in outcomes.items():
        print(f"  {name.ljust(width)}  {outcome['mark']:7}  {outcome['line']}")
    sys.stdout.flush()


def _list_platforms(state: State) -> list[str]:
    """Return the chosen environments of tox that are platforms."""
    try:
        return [
            name
            for name in state.envs.iter(only_active=True)
            if any("matrix run" in " ".join(c.args) for c in state.envs[name].conf["commands"])
        ]
    except Exception:  # tox has already reported what is wrong with its configuration.
        return []
