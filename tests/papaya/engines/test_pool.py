"""The engine `pool`: the death of a worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    load_for,
    until,
)
from tests.worlds import needs_linux, shim


@needs_linux
def test_a_worker_that_is_killed_is_replaced(serve: Serve) -> None:
    server = serve("--engine", "pool", "--workers", "2")
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
    server = serve("--engine", "pool", "--workers", "2", before=before)
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
