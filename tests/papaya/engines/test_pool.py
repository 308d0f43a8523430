"""The engine `pool`: a worker that is killed, stopped, or hangs."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from papaya.engines.pool import Pool, _Child
from papaya.server.connection import Connection
from papaya.server.patience import Patience
from papaya.server.status import read_counters
from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    list_serving,
    load_for,
    until,
)
from tests.worlds import needs_linux, shim


@needs_linux
def test_a_worker_that_is_killed_is_replaced(serve: Serve) -> None:
    server = serve("--engine", "pool", "--workers", "2", "--fill", "1")
    with load_for(server) as load:
        load.join(8)
        keeper = os.getpgid(descendants(server.process.pid)[server.process.pid][0])
        workers = [p for p in descendants(server.process.pid)[server.process.pid] if p != keeper]
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: sum(member.closed for member in load.members) == 4, load)
        load.join(4)
        assert load.exchange(5).perfect
        assert "replacing it" in server.read_errors()


@needs_linux
def test_a_worker_that_cannot_be_replaced_yet(serve: Serve, tmp_path: Path) -> None:
    """Without a free process the others continue; the worker is replaced later."""
    world = shim(
        tmp_path,
        """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
pid_t fork(void) {
    pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
    if (access(getenv("NO_FORK"), F_OK)) return real();
    errno = EAGAIN;
    return -1;
}
""",
    )
    short = tmp_path / "short"
    before = ["env", f"NO_FORK={short}", *(f"{name}={value}" for name, value in world.items())]
    server = serve("--engine", "pool", "--workers", "2", "--fill", "1", before=before)
    with load_for(server) as load:
        load.join(4)
        below = descendants(server.process.pid)[server.process.pid]
        first, *_ = [pid for pid in below if os.getpgid(pid) != pid]
        short.touch()
        os.kill(first, signal.SIGKILL)
        until(lambda: "cannot start worker 0 yet: Resource temp" in server.read_errors(), load)
        assert "worker 0 ended (SIGKILL); replacing it" in server.read_errors()
        load.join(2)
        assert load.exchange(5).perfect
        short.unlink()
        until(lambda: len(descendants(server.process.pid)[server.process.pid]) == 3, load)
        load.join(3)
        assert load.exchange(5).perfect
        check_streams(load, server.read_log)


def stop_worker(pid: int, tmp_path: Path) -> None:
    os.kill(pid, signal.SIGSTOP)


def hang_worker(pid: int, tmp_path: Path) -> None:
    (tmp_path / f"hang.{pid}").touch()


@needs_linux
@pytest.mark.parametrize("how", [stop_worker, hang_worker])
def test_a_worker_that_is_stopped_or_hangs_is_replaced(
    how: Callable[[int, Path], None], serve: Serve, tmp_path: Path
) -> None:
    world = shim(
        tmp_path,
        """
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
int epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
    int (*real)(int, struct epoll_event *, int, int) = dlsym(RTLD_NEXT, "epoll_wait");
    char path[4096];
    snprintf(path, sizeof path, "%s.%d", getenv("HANG"), getpid());
    while (!access(path, F_OK));
    return real(fd, events, most, timeout);
}
""",
    )
    before = ["env", f"HANG={tmp_path}/hang", *(f"{name}={value}" for name, value in world.items())]
    options = ("--engine", "pool", "--workers", "2", "--fill", "1", "--process-timeout", "2")
    server = serve(*options, before=before)
    with load_for(server) as load:
        load.join(8)
        hung, other = list_serving(server)
        how(hung, tmp_path)
        until(lambda: sum(member.closed for member in load.members) == 4, load)
        said = f"(process {hung}) has done nothing for 2 s; killing it"
        assert said in server.read_errors()
        until(lambda: len(list_serving(server)) == 2, load)
        assert other in list_serving(server)
        load.join(4)
        assert load.exchange(5).perfect
        assert read_counters(server.log_path + ".status")["clients"] == 8


@needs_linux
def test_a_service_that_was_suspended_has_lost_no_worker(serve: Serve) -> None:
    server = serve("--engine", "pool", "--workers", "2", "--fill", "1", "--process-timeout", "1")
    with load_for(server) as load:
        load.join(8)
        workers = list_serving(server)
        for pid in (server.process.pid, *workers):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2)  # Longer than --process-timeout.
        os.kill(server.process.pid, signal.SIGCONT)
        # The daemon has looked at its workers once it answers.
        read_counters(server.log_path + ".status")
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert load.exchange(5).perfect
        assert workers == list_serving(server)
        assert "killing it" not in server.read_errors()


def make_pool(fill: int) -> Pool:
    config = SimpleNamespace(process_timeout=10, fill=fill)
    return Pool(cast(Any, SimpleNamespace(context=SimpleNamespace(config=config))))


def test_one_worker_is_filled_before_the_next_and_then_all_share() -> None:
    pool = make_pool(fill=2)
    ends = socket.socketpair()
    with ends[0], ends[1]:
        pool.children = {
            100 + number: _Child(number, 100 + number, ends[0], 0) for number in range(3)
        }
        chosen = []
        for id in range(9):
            child = min(pool.children.values(), key=pool._rate)
            child.connections[id] = Connection("192.0.2.1", id)
            chosen.append(child.number)
        assert chosen == [0, 0, 1, 1, 2, 2, 0, 1, 2]
        del pool.children[101].connections[2]
        del pool.children[101].connections[7]
        # The one that has room again, and not the one that has least.
        assert min(pool.children.values(), key=pool._rate).number == 1


def test_new_clients_go_to_workers_that_do_something() -> None:
    pool = make_pool(fill=1)
    now = 0.0
    pool.patience = Patience(10, lambda: now)
    ends = socket.socketpair()
    with ends[0], ends[1]:
        quiet, busy = (_Child(number, 100 + number, ends[0], 0) for number in range(2))
        pool.children = {child.pid: child for child in (quiet, busy)}
        busy.connections = {1: Connection("192.0.2.1", 1)}
        chosen = []
        for beat in range(6):
            pool.patience.count({quiet.pid: 0, busy.pid: beat})
            chosen.append(min(pool.children.values(), key=pool._rate).number)
            now += 1
    assert chosen == 4 * [0] + 2 * [1]
