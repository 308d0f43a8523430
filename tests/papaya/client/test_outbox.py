"""Test that each line is sent once, in order, and known to be in the log when it comes back."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.client.outbox import History, Outbox

STEPS = st.lists(st.sampled_from(["say", "send", "fail", "hear", "stranger", "reconnect"]))


@given(STEPS)
def test_every_line_is_sent_once_in_order_and_none_is_forgotten(steps: list[str]) -> None:
    box = Outbox()
    said: list[bytes] = []
    taken: list[bytes] = []
    ended: list[bytes] = []
    for step in steps:
        if step == "say":
            said.append(b"ann: %d" % len(said))
            box.unsent.append(said[-1])
        elif step in ("send", "fail") and box.unsent:
            line = box.take()
            assert line.endswith(b"\n")
            if step == "send":
                taken.append(line[:-1])
            else:
                box.put_back()
        elif step == "hear" and box.sent:
            line = box.sent[-1]
            assert box.acknowledge(line)
            ended.append(line)
        elif step == "stranger":
            assert not box.acknowledge(b"bob: 0")
        elif step == "reconnect":
            ended += box.give_up()
            assert not box.sent
    assert taken == said[: len(taken)]
    assert [*taken, *box.unsent] == said
    assert sorted([*ended, *box.sent, *box.unsent]) == sorted(said)
    assert len(box) == len(box.sent) + len(box.unsent)


def test_equal_lines_are_acknowledged_one_by_one() -> None:
    box = Outbox()
    box.unsent += [b"ann: hi", b"ann: hi"]
    assert not box.acknowledge(b"ann: hi")  # It is the history's.
    box.take()
    box.take()
    assert [box.acknowledge(b"ann: hi") for _ in range(3)] == [True, True, False]


def test_the_history_ends_when_the_server_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    history = History(latency=0.5)
    assert history.measure_rest() == 2.0
    now = 0.1
    history.extend()
    assert history.measure_rest() == pytest.approx(0.3)
    for _ in range(20):  # A busy chat is never quiet.
        now += 0.2
        history.extend()
    assert history.measure_rest() == 0
    history.extend()
    assert history.measure_rest() == 0
    assert History(latency=0).measure_rest() == 1.0
    assert History(latency=60).measure_rest() == 4.0
