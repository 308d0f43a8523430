"""The scoreboard: the log's file, and a slot for each sender."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from papaya.server.scoreboard import (
    ATTEMPTS,
    COMMITTED,
    DAEMON,
    DEVICE,
    GENERATION,
    NOTICE,
    SENDER,
    STAMP,
    Record,
    Scoreboard,
)


def write_bytes(scoreboard: Scoreboard, count: int) -> None:
    at = scoreboard.locate(scoreboard[GENERATION], COMMITTED)
    scoreboard[at] += count


def test_each_file_begins_where_the_last_one_ended() -> None:
    scoreboard = Scoreboard(1)
    assert scoreboard.set_file((1, 7), 100, 0) == 1
    assert scoreboard.get_file() == Record(1, (1, 7), 100, 0, 0)
    write_bytes(scoreboard, 10)
    scoreboard.set_file((1, 8), 50, 0)
    assert scoreboard.get_file() == Record(2, (1, 8), 50, 10, 0)
    write_bytes(scoreboard, 5)
    # Another program truncated it.
    scoreboard.set_file((1, 8), 0, 0, truncated=True)
    assert scoreboard.get_file() == Record(3, (1, 8), 0, 15, 1)
    scoreboard.set_file((1, 9), 0, 0)
    assert scoreboard.get_file() == Record(4, (1, 9), 0, 15, 1)
    assert scoreboard.count_bytes() == 15


class Numbers:
    """The numbers, each write of which may be the last."""

    def __init__(self, numbers: memoryview) -> None:
        self.numbers = numbers
        self.left = -1

    def __getitem__(self, number: int) -> int:
        return self.numbers[number]

    def __setitem__(self, number: int, value: int) -> None:
        if not self.left:
            raise InterruptedError
        self.left -= 1
        self.numbers[number] = value


def make_files(scoreboard: Scoreboard) -> Iterator[Record]:
    for number in range(10):
        scoreboard.set_file((1, number), 100 * number, 0)
        yield scoreboard.get_file()
        write_bytes(scoreboard, 10)


def test_a_writer_killed_at_any_point_leaves_the_old_file_or_the_new_one() -> None:
    """And the next writer's record is right in either case."""
    scoreboard = Scoreboard(1)
    numbers = Numbers(scoreboard.numbers)
    scoreboard.numbers = numbers  # type: ignore[assignment]
    old = list(make_files(scoreboard))[-1]
    seen = set()
    for step in range(20):
        numbers.left = step
        try:
            scoreboard.set_file((1, 99), 7, 0)
        except InterruptedError:
            numbers.left = -1
            found = scoreboard.get_file()
            assert found == old
            assert scoreboard.count_bytes() == 100
            seen.add(step)
            continue
        assert scoreboard.get_file() == Record(old.generation + 1, (1, 99), 7, 100, 0)
        break
    assert seen == set(range(8)), "each of the eight numbers was the last"


def test_a_reader_takes_no_record_that_changes_while_it_reads() -> None:
    scoreboard = Scoreboard(1)
    scoreboard.set_file((1, 1), 0, 0)

    class Changing(Numbers):
        def __getitem__(self, number: int) -> int:
            found = super().__getitem__(number)
            if isinstance(number, slice) and self.left:
                self.left = 0
                # Two new files, so that the second one's record replaces the one just read.
                scoreboard.numbers = self.numbers
                scoreboard.set_file((1, 2), 20, 0)
                scoreboard.set_file((1, 3), 30, 0)
                scoreboard.numbers = self
            return found

    scoreboard.numbers = Changing(scoreboard.numbers)  # type: ignore[assignment]
    assert scoreboard.get_file() == Record(3, (1, 3), 30, 0, 0)


def test_fields_of_a_slot_do_not_touch_another() -> None:
    scoreboard = Scoreboard(2)
    scoreboard.set_slot(0, SENDER, 11)
    scoreboard.set_slot(1, SENDER, 12)
    scoreboard.set_slot(1, NOTICE, 2)
    assert scoreboard.list_senders() == [11, 12]
    assert (scoreboard.get_slot(0, NOTICE), scoreboard.get_slot(1, NOTICE)) == (0, 2)


def test_records_and_slots_do_not_overlap() -> None:
    scoreboard = Scoreboard(2)
    places = [scoreboard.locate(g, field) for g in (0, 1) for field in range(DEVICE, STAMP + 1)]
    places += [scoreboard.get_index(slot, field) for slot in (0, 1) for field in (0, 1)]
    assert len(set(places)) == len(places)
    assert min(places) > DAEMON
    assert max(places) < len(scoreboard.numbers)


def test_a_child_shares_it() -> None:
    scoreboard = Scoreboard(1)
    pid = os.fork()
    if not pid:
        scoreboard[ATTEMPTS] = 1 << 40
        os._exit(0)
    os.waitpid(pid, 0)
    assert scoreboard[ATTEMPTS] == 1 << 40


def test_the_daemon_rotates_when_a_rotation_is_requested() -> None:
    scoreboard = Scoreboard(1)
    rotated = []
    scoreboard.rotate = lambda: rotated.append(True)
    assert scoreboard.request_rotation()
    assert rotated == [True]


def test_a_child_waits_until_the_daemon_has_tried() -> None:
    """And no longer than it is patient, if the daemon does not answer."""
    scoreboard = Scoreboard(1)

    def answer(*_: object) -> None:
        scoreboard[ATTEMPTS] += 1

    before = signal.signal(signal.SIGHUP, answer)
    try:
        for answers in (True, False):
            if not answers:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            pid = os.fork()
            if not pid:
                os._exit(0 if scoreboard.request_rotation() is answers else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_attempt_that_had_begun_before_is_not_enough() -> None:
    """It may have looked for the log before that was renamed."""
    scoreboard = Scoreboard(1)
    rotations = 0

    def answer(*_: object) -> None:
        nonlocal rotations
        rotations += 1
        if rotations == 2:
            scoreboard.set_file((1, 2), 0, 0)
        scoreboard[ATTEMPTS] += 1

    before = signal.signal(signal.SIGHUP, answer)
    try:
        pid = os.fork()
        if not pid:
            done = scoreboard.request_rotation() and scoreboard[GENERATION] == 1
            os._exit(0 if done else 1)
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        signal.signal(signal.SIGHUP, before)
