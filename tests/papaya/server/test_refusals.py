"""Refusals in the log: the first ones, then one a second, and a summary."""

from __future__ import annotations

from papaya.server.refusals import RefusalLog


def test_a_flood_is_20_lines_then_one_a_second_and_a_summary() -> None:
    now = 50.0
    lines: list[str] = []
    refusals = RefusalLog(lines.append, clock=lambda: now)
    assert refusals.get_deadline() is None
    for number in range(1000):
        refusals.add(f"192.0.2.1 port {number}", "no key in time")
    assert lines == [f"refused 192.0.2.1 port {number}: no key in time" for number in range(20)]
    assert refusals.get_deadline() == 60
    now += 3
    for number in range(10):
        refusals.add(f"192.0.2.2 port {number}", "too many clients")
    assert len(lines) == 23
    now += 7
    refusals.summarize()
    assert lines[-1] == "987 more refused in the last 10 s: 980 no key in time, 7 too many clients"
    # Nothing is left to say.
    assert refusals.get_deadline() is None
    refusals.summarize()
    assert len(lines) == 24


def test_a_line_that_must_be_logged_is_logged_in_a_flood() -> None:
    lines: list[str] = []
    refusals = RefusalLog(lines.append, clock=lambda: 0.0)
    for _ in range(100):
        refusals.add("192.0.2.1 port 1", "no key in time")
    refusals.add("192.0.2.9 port 1", "wrong key", always=True)
    assert lines[-1] == "refused 192.0.2.9 port 1: wrong key"
    assert len(lines) == 21
