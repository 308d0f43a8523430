"""The command search."""

from __future__ import annotations

import json

from tests.commands import ID
from tests.worlds import run_lab


def test_the_best_fact_stands_first() -> None:
    words = "IPv4 clients get Connection refused from a server on ::"
    found = run_lab("search", *words.split())
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == run_lab("search", words).stdout
    best = found.stdout.splitlines()[0]
    assert best.startswith("sockets.v4mapped_default ")
    assert best.endswith("?")
    document = json.loads(run_lab("search", "--json", words).stdout)
    assert next(iter(document)) == "sockets.v4mapped_default"
    assert document["sockets.v4mapped_default"]["symptoms"]
    # As explain and list do, which take ids too.
    assert run_lab("explain", words).stdout == found.stdout == run_lab("list", words).stdout
    assert run_lab("search", ID.partition(".")[2]).stdout.startswith(ID)


def test_what_is_not_there_is_one_line() -> None:
    done = run_lab("search", "frobnicates", "wildly")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "no fact says anything of 'frobnicates wildly'" in done.stderr
