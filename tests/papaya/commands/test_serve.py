"""The command `serve`: as a daemon, as another user, and with every setting."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from papaya import engines
from papaya.load.chat import Load
from papaya.settings import NAMES
from tests.papaya.conftest import (
    ENGINES,
    Serve,
    check_streams,
    descendants,
    every_engine,
    load_for,
    runs,
    until,
)
from tests.worlds import needs_linux, needs_root

CHOICES = (
    "lock=flock", "lock=ofd", "lock=fcntl",
    "wait=sigwait", "wait=sigtimedwait", "wait=wakeup descriptor",
    "multicast=killpg", "multicast=one by one",
    "send=sendfile", "send=pread and send",
    "orphans=pipe",
    "listen=a socket a family", "listen=one dual-stack socket",
)  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "forced"),
    [
        (engine, forced)
        for engine in ENGINES
        for forced in CHOICES
        if forced.partition("=")[0] not in engines.load_engine(engine).unused
    ],
)
def test_it_runs_with_every_choice_this_host_can_honour(
    engine: str, forced: str, serve: Serve
) -> None:
    if sys.platform != "linux" and forced in ("lock=ofd", "wait=sigtimedwait"):
        pytest.skip("this platform may have no such thing")
    count = 1 if "dual" in forced else 2
    server = serve("--engine", engine, "--set", forced, *count * ("--listen", ":0"))
    with load_for(server, ("127.0.0.1", server.addresses[0][1])) as load:
        load.join(4)
        load.address = ("::1", server.addresses[0][1])
        load.join(4)
        result = load.exchange(20)
        assert result.perfect, result
        check_streams(load, server.read_log)


@every_engine
def test_each_setting_that_is_used_is_said_once(engine: str, serve: Serve) -> None:
    quiet = serve("--engine", engine)
    quiet.stop()
    assert "setting" not in quiet.read_errors()
    server = serve("--engine", engine, "--verbose")
    said = re.findall(r"^papaya: setting (\w+): ", server.read_errors(), re.MULTILINE)
    assert said == [name for name in NAMES if name not in engines.load_engine(engine).unused]


def test_what_the_facts_rule_out_is_refused(serve: Serve) -> None:
    with pytest.raises(RuntimeError, match="parent_death_signal is prctl"):
        serve("--set", "orphans=procctl")
    with pytest.raises(RuntimeError, match="unknown setting 'lok'"):
        serve("--set", "lok=ofd")
    with pytest.raises(RuntimeError, match="'flock', 'ofd', 'fcntl'"):
        serve("--set", "lock=mutex")


class Daemon:
    """Start ``papaya serve --daemon``."""

    def __init__(self, folder: Path, facts: Path, *options: str) -> None:
        self.key, self.pid_file, self.log = folder / "key", folder / "pid", folder / "chat.log"
        papaya = [sys.executable, "-m", "papaya"]
        subprocess.run([*papaya, "key", "new", str(self.key)], check=True, capture_output=True)
        self.command = [
            *papaya, "serve", "--daemon", "--listen", "127.0.0.1:0", "--key", str(self.key),
            "--log", str(self.log), "--pid-file", str(self.pid_file), "--report", str(facts),
            *options,
        ]  # fmt: skip

    def start(self, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Wait until clients can connect, or the start has failed; the exit status tells which."""
        return subprocess.run(
            [*self.command, *options],
            capture_output=True, text=True, check=False, timeout=60, **more,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, **more: Any) -> Iterator[tuple[int, Load]]:
        """Run it for the duration of a ``with`` block; yield its process id and a load."""
        done = self.start(**more)
        assert done.returncode == 0, done.stderr
        port = int(done.stdout.rpartition(":")[2])
        pid = int(self.pid_file.read_text())
        try:
            with Load(("127.0.0.1", port), self.key.read_bytes().strip()) as load:
                yield pid, load
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda: not self.pid_file.exists())
            until(lambda: not runs(pid))


@pytest.mark.parametrize("how", ["double fork", "setsid"])
def test_it_becomes_a_daemon(how: str, facts: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, facts, "--set", f"daemon={how}")
    kept, closed = os.pipe()  # What a shell has open beside.
    with daemon.running(pass_fds=[closed], umask=0) as (pid, load):
        os.close(closed)
        assert select.select([kept], [], [], 20)[0]  # Its end: nobody has it open any more.
        os.close(kept)
        load.join(2)
        assert load.exchange(2).perfect
        assert os.getsid(pid) != os.getsid(0)
        assert (os.getsid(pid) == pid) == (how == "setsid")
        if sys.platform == "linux":
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()
            for descriptor in range(3):
                assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == os.devnull
        again = daemon.start("--status", str(tmp_path / "s"))
        assert again.returncode == 3
        assert (
            again.stderr
            == f"papaya: {daemon.pid_file}: papaya is already running as process {pid}\n"
        )


@needs_linux
def test_a_daemon_that_fails_writes_into_nothing_of_the_chat(facts: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, facts)
    with daemon.running() as (pid, load):
        load.join(1)
        os.rename(daemon.log, tmp_path / "old")
        os.kill(pid, signal.SIGHUP)
        until(daemon.log.exists, load)  # Opened under the first number that is free.
        load.exchange(1)
        (keeper,) = (p for p in descendants(pid)[pid] if os.getpgid(p) == p)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not runs(pid))
    assert b"killed" not in daemon.log.read_bytes()
    assert b"killed" not in b"".join(load.members[0].chunks)


@needs_linux
@needs_root
@every_engine
def test_root_is_given_up_for_good(engine: str, facts: Path, serve: Serve, tmp_path: Path) -> None:
    os.chmod(facts, 0o644)
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    for parent in tmp_path.parents:
        if parent != Path("/") and os.stat(parent).st_uid == 0 and str(parent) != "/tmp":
            os.chmod(parent, 0o711)
    os.chmod(tmp_path, 0o711)
    server = serve("--engine", engine, "--user", "nobody", "--log", str(run / "chat.log"))
    with load_for(server) as load:
        load.join(2)
        assert load.exchange(2).perfect
        pids = descendants(server.process.pid)
        for pid in (server.process.pid, *(p for below in pids.values() for p in below)):
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            assert status["Uid"].split() == ["65534"] * 4
            assert status["CapEff"].strip("0") == ""
            assert status["NoNewPrivs"] == "1"
