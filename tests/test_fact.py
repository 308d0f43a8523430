"""Facts, platforms and reports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from probes import Fact, Platform, Report
from probes.fact import STATUSES
from probes.text import make_printable
from tests.strategies import lightly, texts

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
SMALL = Report(
    HERE,
    {
        "a.b": Fact("a.b", "measured", 5, raw=[1, {"x": 0.5}], milliseconds=1.25),
        "a.c": Fact("a.c", "blocked", reason="needs r\u00f6\u00f6t"),
    },
    seconds=0.5,
    measured_at="2026-11-22T23:59:59Z",
)


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "yes"), (False, "no"), (None, "none"), (1, "1"), ("yes", "yes")]
)
def test_answers(value: Any, shown: str) -> None:
    assert Fact("a.b", "measured", value).answer == shown


def test_a_platform_in_one_line() -> None:
    assert str(HERE) == "Linux 6.1.0 x86_64, glibc 2.36, 64-bit"
    bsd = Platform(
        "FreeBSD", "14.1", "i386", "freebsd", "14.1", 32, emulated_32_bit=True,
        hypervisor="bhyve", container="jail",
    )  # fmt: skip
    assert str(bsd) == "FreeBSD 14.1 i386, 32-bit userland on a 64-bit kernel, bhyve, jail"
    assert (HERE.key, bsd.key) == ("linux-glibc-64", "freebsd-freebsd-32")


def test_facts_are_in_the_order_of_their_ids() -> None:
    facts = {id: Fact(id, "measured", 1) for id in ("b.a", "a.b", "a.a")}
    report = Report(HERE, facts)
    assert [fact.id for fact in report] == ["a.a", "a.b", "b.a"]
    assert (len(report), "a.b" in report, "c.d" in report) == (3, True, False)
    assert (report.get("c.d"), report["b.a"].family) == (None, "b")


def test_every_status_is_counted() -> None:
    assert list(SMALL.counts()) == list(STATUSES)
    assert SMALL.counts()["blocked"] == 1


@lightly
@given(texts)
def test_printable_is_one_line_and_idempotent(text: str) -> None:
    shown = make_printable(text)
    assert shown.isprintable()
    assert make_printable(shown) == shown
    shown.encode()


def test_names_go_from_the_nearest_to_posix() -> None:
    names = Platform("Linux", "", "", "musl", "", 32, hypervisor="gvisor").names
    assert names == (
        "gvisor", "linux-musl-32", "linux-32", "linux-musl", "linux", "posix"
    )  # fmt: skip
    assert "gvisor" not in Platform("Linux", "", "", "glibc", "", 64, hypervisor="kvm").names
    assert "macos" in Platform("Darwin", "", "", "darwin", "", 64).names
    assert "illumos" in Platform("SunOS", "", "", "sunos", "", 64).names
