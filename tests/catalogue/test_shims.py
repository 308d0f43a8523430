"""Change a call of the C library, and see exactly the facts change that depend on it.

Each family's tests have a table, ``SHIMS``: what differs in the changed world, the C source of a
library that is preloaded, and the facts that must change.  In the first world of each table the
whole lab is measured, in the others the families of these facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

import pytest

from probes import Report
from tests.catalogue import (
    test_abi,
    test_accepting,
    test_credentials,
    test_files,
    test_groups,
    test_locks,
    test_pollers,
    test_processes,
    test_restarts,
    test_signals,
    test_sockets,
    test_terminals,
    test_unix,
)
from tests.worlds import flipped, measure, needs_linux, needs_root, shim

Expected = Mapping[str, Union[str, tuple[str, str]]]
"""By fact, the new answer, or the old and the new one."""

TABLES: dict[str, Mapping[str, tuple[str, Any]]] = {
    "abi": test_abi.SHIMS,
    "accepting": test_accepting.SHIMS,
    "credentials": test_credentials.SHIMS,
    "files": test_files.SHIMS,
    "groups": test_groups.SHIMS,
    "locks": test_locks.SHIMS,
    "pollers": test_pollers.SHIMS,
    "processes": test_processes.SHIMS,
    "restarts": test_restarts.SHIMS,
    "signals": test_signals.SHIMS,
    "sockets": test_sockets.SHIMS,
    "terminals": test_terminals.SHIMS,
    "unix": test_unix.SHIMS,
}
NEED_ROOT = ("credentials", "groups", "processes", "unix")


def list_shims() -> Iterator[Any]:
    """Yield what to measure, the C source and the expected changes, for every shim."""
    for family, table in TABLES.items():
        marks = [needs_linux, needs_root] if family in NEED_ROOT else [needs_linux]
        for number, (world, (source, expected)) in enumerate(table.items()):
            families = sorted({family, *(fact.partition(".")[0] for fact in expected)})
            only = [f"--only={name}" for name in families if number]
            yield pytest.param(only, source, expected, id=f"{family}: {world}", marks=marks)


@pytest.mark.parametrize(("only", "source", "expected"), list(list_shims()))
def test_a_changed_call_flips_what_hangs_on_it_and_nothing_else(
    only: list[str], source: str, expected: Expected, here: Report, tmp_path: Path
) -> None:
    changed = flipped(here, measure(*only, environment=shim(tmp_path, source)))
    assert {
        fact: answers if isinstance(expected.get(fact), tuple) else answers[1]
        for fact, answers in changed.items()
    } == expected
