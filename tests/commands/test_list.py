"""The command list."""

from __future__ import annotations

import json

from tests.commands import FEW, ID
from tests.worlds import run_lab


def test_list_names_every_probe() -> None:
    lines = run_lab("list").stdout.splitlines()
    document = json.loads(run_lab("list", "--json").stdout)
    assert [line.split()[0] for line in lines] == list(document)
    assert all(entry["question"].endswith("?") for entry in document.values())
    assert [line.split()[0] for line in run_lab("list", FEW).stdout.splitlines()] == [ID]


def test_list_takes_what_explain_takes() -> None:
    def ids(*arguments: str) -> list[str]:
        return [line.split()[0] for line in run_lab("list", *arguments).stdout.splitlines()]

    assert ids(ID) == [ID]
    assert ids("locks") == ids("locks.*") == ids("--only=locks")
    assert ids(ID, "compilers") == [*ids("compilers"), ID]
    assert ids("flock", "--skip=locks.*") == [id for id in ids("flock") if id[:6] != "locks."]
