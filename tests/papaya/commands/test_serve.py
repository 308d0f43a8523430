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

from papaya import engines, key
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
    folder = tmp_path / "folder"
    folder.mkdir()
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
        running = f"papaya is already running as process {pid}; stop it or change"
        for changed, still in (("log", "pid-file"), ("pid-file", "log")):
            again = daemon.start("--status", str(tmp_path / "s"), f"--{changed}", f"{folder}/new")
            lock = daemon.pid_file if still == "pid-file" else f"{daemon.log}.lock"
            assert again.stderr == f"papaya: {lock}: {running} --{still}\n"
            # It had a port, but no client could connect.
            assert (again.returncode, again.stdout) == (3, "")
            assert os.listdir(folder) == []


LEFT = """
import os, sys
from papaya.__main__ import main
from papaya.server import daemonize
report = daemonize.report_failure
folder = sys.argv.pop(1)
daemonize.report_failure = lambda descriptor, error: report(descriptor, f"{os.listdir(folder)}")
sys.exit(main())
"""


def test_a_daemon_reports_its_failure_once_nothing_is_left_of_it(
    facts: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    daemon = Daemon(tmp_path, facts)
    with daemon.running():
        daemon.command[1:3] = ["-c", LEFT, str(folder)]
        again = daemon.start("--status", str(tmp_path / "s"), "--log", f"{folder}/new")
        assert again.stderr == "papaya: []\n"


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


def refuse(serve: Serve, *options: str, status: int = 3, **more: Any) -> str:
    """Check that the service does not start, with one line of error; return that line."""
    server = serve(*options, wait=False, **more)
    before = server.read_errors()
    with pytest.raises(RuntimeError):
        server.wait_until_listening()
    line = server.read_errors().removeprefix(before)
    assert re.fullmatch(r"papaya: .*\n", line), line
    assert server.process.returncode == status, line
    return line


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ("pid-file", "log"),
        ("pid-file", "key"),
        ("pid-file", "log.lock"),
        ("pid-file", "log.status"),
        ("log", "key"),
        ("log", "report"),
        ("log", "config"),
        ("status", "key"),
    ],
)
@pytest.mark.parametrize("kind", ["same", "symbolic link", "hard link"])
def test_no_file_is_used_twice(
    option: str, same: str, kind: str, serve: Serve, facts: Path, tmp_path: Path
) -> None:
    names = {
        "key": "key", "log": "chat.log", "log.lock": "chat.log.lock",
        "log.status": "chat.log.status", "config": "papaya.toml", "report": "report.json",
    }  # fmt: skip
    (tmp_path / "papaya.toml").write_text("history = 7\n")
    (tmp_path / "report.json").write_bytes(facts.read_bytes())
    key.create(str(tmp_path / "key"))
    path, link = tmp_path / names[same], tmp_path / "link"
    path.touch()
    if kind == "symbolic link":
        link.symlink_to(path.name)
    elif kind == "hard link":
        link.hardlink_to(path)
    content = path.read_bytes()
    line = refuse(
        serve, f"--{option}", str(path if kind == "same" else link),
        "--config", "papaya.toml", "--report", "report.json", status=2,
    )  # fmt: skip
    assert f"--{option} is the same file as" in line or f"is the same file as --{option}" in line
    assert path.read_bytes() == content


@pytest.mark.parametrize("size", [10, 1_000_000_000])
def test_a_file_that_is_not_papayas_is_not_cut(size: int, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with path.open("wb") as file:
        file.write(b"a: line\nno")
        file.truncate(size)
    assert "the last line is unfinished and not papaya's" in refuse(serve)
    assert path.stat().st_size == size
    assert sorted(os.listdir(tmp_path)) == ["chat.log", "errors", "key"]


def test_a_pid_file_that_has_other_content_stays(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("precious")
    assert "has content that is not a process id" in refuse(serve, "--pid-file", str(path))
    assert path.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["errors", "key", "pid"]


def test_a_log_has_one_service(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    link = tmp_path / "link"
    link.symlink_to("chat.log")
    running = f"chat.log.lock: papaya is already running as process {server.process.pid}; stop it"
    other = ("--status", str(tmp_path / "other.status"))
    for path in ("chat.log", str(link), "./link"):
        assert running in refuse(serve, "--log", path, *other)
    # The lock is not the log's, so rotation does not end it.
    os.rename(server.log_path, tmp_path / "old")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: os.path.exists(server.log_path))
    assert running in refuse(serve, *other)
    assert server.stop() == 0
    assert sorted(os.listdir(tmp_path)) == ["chat.log", "errors", "key", "link", "old"]


@needs_linux
@every_engine
def test_a_killed_service_is_started_again_beside_its_stopped_orphans(
    engine: str, serve: Serve, tmp_path: Path
) -> None:
    pid_file = str(tmp_path / "pid")
    server = serve("--engine", engine, "--pid-file", pid_file)
    with load_for(server) as load:
        load.join(2)
        orphans = [pid for pids in descendants(server.process.pid).values() for pid in pids]
        try:
            for pid in orphans:
                os.kill(pid, signal.SIGSTOP)
            server.stop(signal.SIGKILL)
            again = serve("--engine", engine, "--pid-file", pid_file)
            assert Path(pid_file).read_text() == f"{again.process.pid}\n"
        finally:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (("--log", "nothing/chat.log"), 3, "nothing: does not exist; create it or change --log"),
        (("--log", "folder"), 3, "folder: Is a directory; change --log"),
        (("--key", "folder"), 2, "folder: not a regular file"),
        (("--pid-file", "folder"), 3, "folder: Is a directory; change --pid-file"),
        (("--pid-file", "nothing/pid"), 3, "nothing/pid: No such file or directory; create its"),
        (("--status", "nothing/status"), 3, "choose another path with --status"),
        (("--status", "key"), 2, "--status is the same file as --key"),
        (("--status", "other"), 2, "other: exists and is not a socket"),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    options: tuple[str, str], status: int, problem: str, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").touch()
    pid_file = () if "--pid-file" in options else ("--pid-file", str(tmp_path / "pid"))
    assert problem in refuse(serve, *options, *pid_file, status=status)
    assert sorted(os.listdir(tmp_path)) == ["errors", "folder", "key", "other"]
    assert os.listdir(tmp_path / "folder") == []


@needs_linux
@needs_root
def test_a_full_disk_is_said_and_nothing_left_on_it(serve: Serve, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    # Under a shell that stays, so that the disk can be looked at when the service has ended.
    script = f"""
        mount -t tmpfs -o size=64k tmpfs {small}
        dd if=/dev/zero of={small}/full bs=4k 2>/dev/null
        "$@"; status=$?
        ls {small} >{tmp_path}/left
        exit $status
    """
    before = ("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh")
    line = refuse(serve, "--log", str(small / "chat.log"), before=before)
    assert line.endswith("chat.log.lock: No space left on device; make room or change --log\n")
    assert (tmp_path / "left").read_text() == "full\n"


def open_way(tmp_path: Path, facts: Path) -> None:
    """Let any user reach the folder of the test, and read the facts."""
    facts.chmod(0o644)
    for parent in (tmp_path, *tmp_path.parents, *facts.parents):
        if parent != Path("/") and os.stat(parent).st_uid == 0 and str(parent) != "/tmp":
            os.chmod(parent, 0o711)


@needs_root
def test_a_folder_that_the_user_cannot_write_is_said(
    serve: Serve, facts: Path, tmp_path: Path
) -> None:
    open_way(tmp_path, facts)
    line = refuse(serve, "--user", "nobody", "--pid-file", str(tmp_path / "pid"))
    assert "chat.log.lock: Permission denied; give papaya's user access to its folder" in line
    assert sorted(os.listdir(tmp_path)) == ["errors", "key"]


@needs_root
def test_a_start_that_fails_as_another_user_leaves_no_file_of_roots(
    serve: Serve, facts: Path, tmp_path: Path
) -> None:
    open_way(tmp_path, facts)
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    log, pid_file = str(run / "chat.log"), str(tmp_path / "pid")
    more = ("--user", "nobody", "--log", log, "--pid-file", pid_file)
    refuse(serve, *more, "--status", str(run / "nothing" / "status"))
    (run / "chat.log").write_text("a: line\n")  # Of root's, who alone can write it.
    assert "Permission denied; change --log" in refuse(serve, *more)
    os.unlink(log)
    Path(pid_file).write_text("precious")
    assert "has content" in refuse(serve, *more)
    assert os.listdir(run) == []
    assert sorted(os.listdir(tmp_path)) == ["errors", "key", "pid", "run"]


@needs_root
def test_a_key_may_be_kept_by_the_services_user(serve: Serve, facts: Path, tmp_path: Path) -> None:
    open_way(tmp_path, facts)
    run, kept = tmp_path / "run", tmp_path / "kept"
    run.mkdir()
    key.create(str(kept))
    os.chown(run, 65534, 65534)
    os.chown(kept, 65534, 65534)
    more = ("--log", str(run / "chat.log"), "--key", str(kept))
    serve("--user", "nobody", *more).stop()
    assert "kept: belongs to user 65534" in refuse(serve, *more, status=2)


@needs_root
def test_root_without_a_user_is_warned(serve: Serve, facts: Path, tmp_path: Path) -> None:
    server = serve()
    assert server.read_errors().count("every process runs as root; start papaya with --user") == 1
    server.stop()
    open_way(tmp_path, facts)
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    again = serve("--user", "nobody", "--log", str(run / "chat.log"))
    assert again.read_errors().count("every process runs as root") == 1


@needs_linux
@pytest.mark.parametrize("output", ["&-", "/dev/full"])
def test_a_daemon_starts_without_an_output(output: str, facts: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, facts)
    daemon.command = ["sh", "-c", f'exec "$@" >{output}', "sh", *daemon.command]
    done = daemon.start()
    pid = int(daemon.pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    until(lambda: not runs(pid))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"papaya: cannot print the addresses: .*\n", done.stderr)
