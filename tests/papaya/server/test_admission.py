"""Admission: early drop and back-off."""

from __future__ import annotations

import pytest

from papaya.server.admission import Admission, get_source


def test_early_drop_rises_to_all() -> None:
    chance = 0.0
    admission = Admission((10, 30, 20), 1000, 0, chance=lambda: chance)
    for _ in range(10):
        assert not admission.add_connection("192.0.2.1")
    assert admission.add_connection("192.0.2.1")  # 30 percent, and chance() returned 0.
    chance = 0.31
    assert not admission.add_connection("192.0.2.1")
    chance = 0.99
    while admission.waiting < 20:
        assert not admission.add_connection("192.0.2.1")
    assert admission.add_connection("192.0.2.1")


def test_backoff_doubles_and_ends() -> None:
    now = 0.0
    admission = Admission((10, 30, 20), 1000, 2, clock=lambda: now)
    for wait in (2, 4, 8):
        assert not admission.add_connection("2001:db8::1")
        admission.remove_connection("2001:db8::1", wrong_key=True)
        now += wait - 0.1
        # The whole /64 is refused, and no other address.
        assert admission.add_connection("2001:db8::abcd") == "wrong key before"
        assert not admission.add_connection("2001:db8:0:1::1")
        admission.remove_connection("2001:db8:0:1::1", wrong_key=False)
        now += 0.2


def test_a_right_key_forgives_and_time_forgets() -> None:
    now = 0.0
    admission = Admission((10, 30, 20), 1000, 2, clock=lambda: now)

    def wrong() -> None:
        assert not admission.add_connection("192.0.2.1")
        admission.remove_connection("192.0.2.1", wrong_key=True)

    wrong()
    now += 2.1
    wrong()
    now += 4.1
    assert not admission.add_connection("192.0.2.1")
    admission.add_client("192.0.2.1")
    assert not admission.wrong
    wrong()
    now += 2.1 + 600
    wrong()
    now += 2.1  # The second in a row would wait 4 s.
    assert not admission.add_connection("192.0.2.1")


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::"), ("fe80::1%eth0", "fe80::"),
    ],
)  # fmt: skip
def test_what_an_address_is_counted_as(host: str, counted: str) -> None:
    assert get_source(host) == counted
