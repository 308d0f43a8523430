"""Test the search for facts by words."""

from __future__ import annotations

import fnmatch

import pytest

from probes.load_catalogue import load_catalogue
from probes.probe import Probe
from probes.search import MOST, find
from tests.symptoms import SYMPTOMS


def make_probe(
    id: str,
    question: str = "?",
    matters: str = "",
    advice: str = "",
    symptoms: tuple[str, ...] = (),
) -> Probe:
    return Probe(
        id, question, matters, advice, "", "inherent", {}, "", make_probe, symptoms=symptoms
    )


PROBES = {
    each.id: each
    for each in (
        make_probe("files.poll_null", "What does poll() say?", advice="No pipe or terminal."),
        make_probe("files.poll_pipe", "What does poll() say of a pipe?"),
        make_probe("locks.shared", "Does a child share it?", matters="A nonblocking Lock is lost."),
        make_probe("sockets.v6only_default", symptoms=("Address already in use", "EDEADLK")),
        make_probe("sockets.v6only_late"),
    )
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("poll", ["files.poll_null", "files.poll_pipe"]),
        # A word of the question counts more than one of the advice.
        ("POLL Pipe", ["files.poll_pipe", "files.poll_null"]),
        ("polling pipes", ["files.poll_pipe", "files.poll_null"]),
        ("null", ["files.poll_null"]),
        # Other words for the same, endings, and noise.
        ("does it poll a tty", ["files.poll_null", "files.poll_pipe"]),
        ("sharing with children", ["locks.shared"]),
        ("lock", ["locks.shared"]),
        # The beginning of a word, or its inside, if no word is the same.
        ("term", ["files.poll_null"]),
        ("block", ["locks.shared"]),
        # A fact's name, and a part of it.
        ("v6only_default", ["sockets.v6only_default"]),
        ("v6only", ["sockets.v6only_default", "sockets.v6only_late"]),
        # Words of symptoms, and an error by its text.
        ("address in use", ["sockets.v6only_default"]),
        ("bind: Address already in use", ["sockets.v6only_default"]),
        ("Resource deadlock avoided", ["sockets.v6only_default"]),
        # What is not known is passed over.
        ("child frobnicates", ["locks.shared"]),
        ("frobnicates", []), ("", []), (" ", []), ("(", []), ("does it", []),
    ],
)  # fmt: skip
def test_the_best_come_first(words: str, found: list[str]) -> None:
    assert find(PROBES, words) == found


def test_ten_are_enough() -> None:
    probes = {f"a.{n}": make_probe(f"a.{n}", "Does poll() end?") for n in range(20)}
    assert find(probes, "poll") == list(probes)[:MOST]


def test_symptoms_find_their_facts() -> None:
    probes = load_catalogue()
    missed = []
    for symptom, globs, _ in SYMPTOMS:
        for glob in globs:
            assert fnmatch.filter(probes, glob), glob
        first = find(probes, symptom)[:3]
        if not any(fnmatch.fnmatch(id, glob) for id in first for glob in globs):
            missed.append((symptom, first))
    assert len(missed) <= len(SYMPTOMS) // 10, missed
