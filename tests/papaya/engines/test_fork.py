"""The engine `fork`: a client's process that is killed or stopped."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from papaya.selftest import Server
from papaya.server.status import read_counters
from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    load_for,
    runs,
    state,
    until,
)
from tests.worlds import needs_linux


@needs_linux
@pytest.mark.parametrize("orphans", ["prctl", "pipe"])
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND"])
def test_a_child_that_is_killed_takes_one_client_along(
    which: str, orphans: str, serve: Serve
) -> None:
    server = serve("--set", f"orphans={orphans}")
    with load_for(server) as load:
        load.join(16)
        below = descendants(server.process.pid)
        receivers = [pid for pid in below[server.process.pid] if below[pid]]
        assert len(receivers) == 16
        receiver = random.choice(receivers)
        victim = receiver if which == "Child RECV" else below[receiver][0]

        def kill(sent: int) -> None:
            if sent == 100:
                os.kill(victim, signal.SIGKILL)

        load.exchange(30, after_each=kill, timeout=3)
        assert sum(member.closed for member in load.members) == 1
        # The log has every line of the other clients.
        others = [b"Z %s: " % member.name for member in load.members if not member.closed]
        until(lambda: all(server.read_log().count(name) == 1 + 30 for name in others), load)
        until(lambda: not runs(receiver) and not any(map(runs, below[receiver])))
        assert load.exchange(5).perfect
        check_streams(load, server.read_log)
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 15)


def list_files(pid: int) -> list[str]:
    """Return what the descriptors from 3 on of a process are, without the numbers of sockets."""
    folder = Path(f"/proc/{pid}/fd")
    targets = [os.readlink(one) for one in folder.iterdir() if int(one.name) > 2]
    return sorted(target.partition(":")[0] for target in targets)


@needs_linux
def test_the_start_changes_nothing_of_the_log(serve: Serve) -> None:
    server = serve()
    assert server.read_log() == b""
    assert read_counters(server.log_path + ".status")["lines"] == 0
    # To write it and to read it, and nothing is left of the rehearsal.
    assert list_files(server.process.pid).count(server.log_path) == 2


@needs_linux
def test_the_processes_of_a_client_have_only_what_they_need(serve: Serve) -> None:
    server = serve()
    with load_for(server) as load:
        load.join(3)
        for receiver, sender in list_pairs(server).items():
            assert list_files(sender) == [server.log_path, "socket"]
            # The signals' pipe has two ends, and one tells that the daemon lives.
            assert list_files(receiver) == [server.log_path, "pipe", "pipe", "pipe", "socket"]


def list_pairs(server: Server) -> dict[int, int]:
    """Return each Child RECV with its Child SEND."""
    below = descendants(server.process.pid)
    return {pid: below[pid][0] for pid in below[server.process.pid] if below[pid]}


@needs_linux
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND"])
def test_a_child_that_is_stopped_is_killed(which: str, serve: Serve) -> None:
    server = serve("--process-timeout", "1")
    with load_for(server) as load:
        load.join(4)
        receiver, sender = min(list_pairs(server).items())
        os.kill(receiver if which == "Child RECV" else sender, signal.SIGSTOP)
        if which == "Child SEND":
            # What the client says is logged as long as the other process runs.
            for one in load.members:
                load.say(one, b"%s: heard\n" % one.name)
            until(lambda: server.read_log().count(b": heard") == 4, load)
        until(lambda: sum(one.closed for one in load.members) == 1, load)
        until(lambda: not runs(receiver) and not runs(sender))
        assert "was stopped for 1 s" in server.read_errors()
        load.join(1)
        assert load.exchange(5).perfect
        until(lambda: read_counters(server.log_path + ".status")["clients"] == 4)


@needs_linux
def test_a_child_that_continues_in_time_is_kept(serve: Serve) -> None:
    server = serve("--process-timeout", "600")
    with load_for(server) as load:
        load.join(4)
        pairs = list_pairs(server)
        stopped = [*pairs, *pairs.values()]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: all(state(pid) == "T" for pid in stopped))
        load.say(load.members[0], b"%s: meanwhile\n" % load.members[0].name)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert load.exchange(5).perfect
        assert b": meanwhile" in server.read_log()
        assert list_pairs(server) == pairs


@needs_linux
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND"])
def test_a_client_of_a_stopped_child_leaves_its_place(which: str, serve: Serve) -> None:
    """A stopped Child SEND is killed at once then; a Child RECV after its time."""
    server = serve("--process-timeout", "1" if which == "Child RECV" else "600")
    with load_for(server) as load:
        load.join(2)
        pairs = list_pairs(server)
        for receiver, sender in pairs.items():
            os.kill(receiver if which == "Child RECV" else sender, signal.SIGSTOP)
    until(lambda: read_counters(server.log_path + ".status")["clients"] == 0)
    until(lambda: not any(map(runs, (*pairs, *pairs.values()))))


@needs_linux
@pytest.mark.parametrize("which", ["Child RECV", "Child SEND", "both"])
def test_the_service_ends_although_children_are_stopped(which: str, serve: Serve) -> None:
    server = serve("--process-timeout", "600")
    with load_for(server) as load:
        load.join(4)
        pairs = list_pairs(server)
        for receiver, sender in pairs.items():
            for pid in {"Child RECV": [receiver], "Child SEND": [sender]}.get(
                which, [receiver, sender]
            ):
                os.kill(pid, signal.SIGSTOP)
        assert server.stop() == 0
        until(lambda: not any(map(runs, (*pairs, *pairs.values()))))


@needs_linux
def test_a_client_that_reads_nothing_is_disconnected_in_time(serve: Serve) -> None:
    """In the time of `send_timeout` after its buffers were full, not in two or three times that."""
    server = serve("--send-timeout", "4")
    with load_for(server) as load:
        silent, talker = load.join(2)
        load.stop_reading(silent)
        pairs = list_pairs(server)
        sender = pairs[min(pairs)]
        line = b"%s: %s\n" % (talker.name, b"x" * 4000)

        def is_full() -> bool:
            load.say(talker, line)
            # Where it waits in the kernel: in poll(), not for a signal.
            where = Path(f"/proc/{sender}/wchan").read_text()
            return "poll" in where or "woken" in where

        until(is_full, load)
        began = time.monotonic()
        until(lambda: "read nothing for 4 s" in server.read_errors(), load)
        assert time.monotonic() - began < 7
