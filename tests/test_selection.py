"""Choosing probes."""

from __future__ import annotations

import re

import pytest

from probes import Fact
from probes.load_catalogue import load_catalogue
from probes.probe import Probe
from probes.selection import select


@pytest.fixture(scope="module")
def some() -> dict[str, Probe]:
    def named(id: str) -> Probe:
        return Probe(id, "?", "", "", "", "inherent", {}, "", named)

    ids = ("locks.a", "locks.b", "signals.a", "signals.ab", "lock.a")
    return {id: named(id) for id in ids}


@pytest.mark.parametrize(
    ("only", "skip", "chosen"),
    [
        ([], [], ["locks.a", "locks.b", "signals.a", "signals.ab", "lock.a"]),
        (["locks"], [], ["locks.a", "locks.b"]),
        (["lock"], [], ["lock.a"]),
        (["lock*"], [], ["locks.a", "locks.b", "lock.a"]),
        (["*.a"], [], ["locks.a", "signals.a", "lock.a"]),
        (["signals.a"], [], ["signals.a"]),
        (["signals.?"], [], ["signals.a"]),
        (["[ls]*.b"], [], ["locks.b"]),
        (["signals.ab", "locks"], [], ["locks.a", "locks.b", "signals.ab"]),
        (["locks"], ["*.a"], ["locks.b"]),
        ([], ["locks", "lock"], ["signals.a", "signals.ab"]),
    ],
)
def test_select(
    some: dict[str, Probe], only: list[str], skip: list[str], chosen: list[str]
) -> None:
    assert list(select(some, only, skip)) == chosen


@pytest.mark.parametrize(
    ("only", "skip"),
    [
        (["sokets"], []),
        (["locks.c"], []),
        (["locks", "x.*"], []),
        ([], ["x"]),
        ([""], []),
        (["locks"], ["locks"]),
        ([], ["*"]),
        (["locks.A"], []),
        (["two\nlines"], []),
    ],
)
def test_select_nothing_is_an_error_of_one_line(
    some: dict[str, Probe], only: list[str], skip: list[str]
) -> None:
    with pytest.raises(LookupError) as raised:
        select(some, only, skip)
    assert str(raised.value.args[0]).isprintable()


def probe(id: str) -> Probe:
    return Probe(id, "?", "", "", "", "inherent", {}, "", probe)


WORDS = {
    id: probe(id)
    for id in (
        "files.poll_null", "locks.shared", "sockets.v6only_default", "sockets.v6only_late",
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("v6only_default", "sockets.v6only_default"),
        ("V6ONLY_DEFAULT", "sockets.v6only_default"),
        ("Sockets.v6only_Default", "sockets.v6only_default"),
        ("v6only_defalt", "sockets.v6only_default"),
        ("sockets.v6only_lat", "sockets.v6only_late"),
        ("sokets", "sockets"),
        ("sokets.*", "sockets"),
        ("Locks", "locks"),
        ("zzz", ""),
    ],
)
def test_what_matches_nothing_names_the_nearest(pattern: str, meant: str) -> None:
    with pytest.raises(LookupError) as raised:
        select(WORDS, [pattern])
    said = str(raised.value.args[0])
    assert said.startswith(f"no probe matches {pattern!r}: ")
    assert ("did you mean" in said) == bool(meant)
    assert re.search(rf"did you mean {re.escape(meant)}( or [\w.]+)*\?", said) or not meant


def test_a_name_of_two_families_suggests_both() -> None:
    probes = {id: probe(id) for id in ("a.same", "b.same", "b.other")}
    with pytest.raises(LookupError, match=r"did you mean a\.same or b\.same\? "):
        select(probes, ["same"])


def test_the_whole_catalogue_is_well_formed() -> None:
    """Each question is one, each id one the reader takes, each documented name a platform's."""
    for id, probe in load_catalogue().items():
        assert Fact.from_json(id, {"status": "measured", "value": 1, "scope": probe.scope})
        assert probe.question.endswith("?"), id
        assert probe.question.isprintable(), id
        assert len(probe.question) <= 115, id
        assert probe.matters, id
        assert probe.advice, id
        assert probe.reference, id
