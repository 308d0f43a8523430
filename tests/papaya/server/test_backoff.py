"""Back-off after wrong keys, and its unit."""

from __future__ import annotations

import pytest

from papaya.server.backoff import Backoff, get_source


def test_it_doubles_and_ends() -> None:
    now = 0.0
    backoff = Backoff(2, clock=lambda: now)
    for times, wait in enumerate((2, 4, 8, 16, 32, 60, 60), 1):
        assert not backoff.is_refused("192.0.2.1")
        assert backoff.add("192.0.2.1") == times
        now += wait - 0.1
        assert backoff.is_refused("192.0.2.1")
        assert not backoff.is_refused("192.0.2.2")
        now += 0.2


def test_a_right_key_forgives_and_time_forgets() -> None:
    now = 0.0
    backoff = Backoff(2, clock=lambda: now)
    assert [backoff.add("a"), backoff.add("a")] == [1, 2]
    backoff.forgive("a")
    assert not backoff.is_refused("a")
    assert backoff.add("a") == 1
    now += 2 + 601
    assert backoff.add("a") == 1


def test_without_seconds_no_source_is_refused_but_each_is_counted() -> None:
    now = 1000.0
    backoff = Backoff(0, clock=lambda: now)
    assert [backoff.add("a"), backoff.add("a"), backoff.add("b")] == [1, 2, 1]
    assert not backoff.is_refused("a")


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::"), ("fe80::1%eth0", "fe80::"),
    ],
)  # fmt: skip
def test_what_an_address_is_counted_as(host: str, counted: str) -> None:
    assert get_source(host) == counted
