"""The log of a running service: rotation, a full disk, durability."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

from tests.papaya.conftest import (
    Serve,
    check_streams,
    descendants,
    every_engine,
    load_for,
    settle,
    until,
)
from tests.worlds import needs_linux, needs_root, shim


@every_engine
def test_rotation_loses_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    with load_for(server) as load:
        load.join(8)
        names: list[Path] = []

        def whole() -> bytes:
            return b"".join(name.read_bytes() for name in names) + server.read_log()

        def rotate(sent: int) -> None:
            if sent % 100 == 0 and len(names) < 3:
                # A client two files behind is disconnected, so wait: real rotations are days apart.
                settle(load, whole)
                name = tmp_path / f"chat.log.{len(names)}"
                os.rename(server.log_path, name)
                names.append(name)
                if len(names) == 2:
                    # logrotate renames first and signals later: a client may connect in between.
                    load.join(1)
                server.process.send_signal(signal.SIGHUP)
                until(lambda: os.path.exists(server.log_path), load)

        result = load.exchange(50, after_each=rotate)
        assert result.delivered == result.owed, result
        assert result.perfect, result
        check_streams(load, whole)


@needs_linux
@every_engine
def test_a_rotation_frees_the_old_file(engine: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", engine)
    old = tmp_path / "old"

    def kept_by() -> list[str]:
        """Return the descriptors of the old file that are open."""
        found = []
        for pid in descendants(server.process.pid):
            for name in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # Closed, or ended, by now.
                    if name.samefile(old):
                        found.append(str(name))
        return found

    with load_for(server) as load:
        load.join(3)
        load.exchange(2)
        os.rename(server.log_path, old)
        assert kept_by()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: os.path.exists(server.log_path), load)
        assert load.exchange(2).perfect
        until(lambda: not kept_by(), load)


@every_engine
def test_a_rotation_that_fails_ends_nothing(engine: str, serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    server = serve("--engine", engine, "--log", str(folder / "chat.log"))
    with load_for(server) as load:
        load.join(2)
        # A folder has the name of the log, so the old file stays in use.
        os.rename(folder / "chat.log", tmp_path / "old")
        (folder / "chat.log").mkdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "keeping the old one" in server.read_errors(), load)
        assert load.exchange(5).perfect
        (folder / "chat.log").rmdir()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "opened a new log file" in server.read_errors(), load)
        assert load.exchange(5).perfect


@needs_linux
@needs_root
@every_engine
def test_a_log_on_a_disk_that_fills(engine: str, serve: Serve, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=256k tmpfs {small} && exec "$@"'
    before = ("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh")
    server = serve("--engine", engine, "--log", str(small / "chat.log"), before=before)
    inside = Path(f"/proc/{server.process.pid}/root{small}/chat.log")
    with load_for(server) as load:
        talker, *_ = load.join(4)
        for number in range(400):
            load.say(talker, b"n: %03d %s\n" % (number, b"x" * 990))
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)

        def dealt_with() -> int:
            refused = re.findall(r"(\d+) lines not kept: No space left", server.read_errors())
            return inside.read_bytes().count(b"\n") + sum(map(int, refused))

        until(lambda: dealt_with() == 4 + 400, load)
        assert 200_000 < len(inside.read_bytes()) <= 256 * 1024
        check_streams(load, inside.read_bytes)
        # Once the disk has room again, the chat continues.
        os.truncate(inside, 0)
        load.say(talker, b"n: room\n")
        until(lambda: all(b"n: room\n" in b"".join(m.chunks) for m in load.members), load)


@needs_linux
@every_engine
def test_every_line_is_on_the_disk_before_it_is_delivered(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    # If fdatasync() fails, the line is not durable and must not be delivered.
    world = shim(
        tmp_path,
        """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int fdatasync(int fd) {
    if (access(getenv("NO_SYNC"), F_OK)) return 0;
    errno = EIO;
    return -1;
}
""",
    )
    failing = tmp_path / "failing"
    before = ["env", f"NO_SYNC={failing}", *(f"{name}={value}" for name, value in world.items())]
    server = serve("--engine", engine, "--durability", "data", before=before)
    with load_for(server) as load:
        talker, other = load.join(2)
        assert load.exchange(5).perfect
        failing.touch()
        load.say(talker, b"n: lost\n")
        until(lambda: b"* a line was refused" in b"".join(talker.chunks), load)
        failing.unlink()
        assert load.exchange(2).perfect
        assert b"n: lost" not in b"".join(other.chunks) + server.read_log()
        check_streams(load, server.read_log)
