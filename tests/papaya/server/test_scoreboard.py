"""The scoreboard: the log's file, and the slots."""

from __future__ import annotations

import os

from papaya.server.scoreboard import (
    COMMITTED,
    GENERATION,
    NOTICE,
    SENDER,
    Scoreboard,
)


def test_a_new_file_is_counted_and_the_old_one_only_if_it_had_lines() -> None:
    scoreboard = Scoreboard(1)
    scoreboard.set_file(7, 100)
    assert scoreboard.get_file() == (2, 7, 100, 0)
    scoreboard.set_file(8, 0)
    assert scoreboard.get_file() == (4, 8, 0, 0)
    scoreboard[COMMITTED] = 10
    scoreboard.set_file(9, 0)
    assert scoreboard.get_file() == (6, 9, 0, 1)
    assert scoreboard[GENERATION] % 2 == 0


def test_fields_of_a_slot_do_not_touch_another() -> None:
    scoreboard = Scoreboard(2)
    scoreboard.set_slot(0, SENDER, 11)
    scoreboard.set_slot(1, SENDER, 12)
    scoreboard.set_slot(1, NOTICE, 2)
    assert scoreboard.list_senders() == [11, 12]
    assert (scoreboard.get_slot(0, NOTICE), scoreboard.get_slot(1, NOTICE)) == (0, 2)


def test_a_child_shares_it() -> None:
    scoreboard = Scoreboard(1)
    pid = os.fork()
    if not pid:
        scoreboard[COMMITTED] = 1 << 40
        os._exit(0)
    os.waitpid(pid, 0)
    assert scoreboard[COMMITTED] == 1 << 40


def test_the_daemon_rotates_when_a_rotation_is_requested() -> None:
    scoreboard = Scoreboard(1)
    rotated = []
    scoreboard.rotate = lambda: rotated.append(True)
    scoreboard.request_rotation()
    assert rotated == [True]
