"""The parts by themselves: wire, log, key, limits, settings, configuration."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya import config, key
from papaya.client.connection import Incoming, shown, split_server
from papaya.protocol import Lines, clean, timed, untimed
from papaya.server import daemonize
from papaya.server.admission import Limits, source
from papaya.server.listener import prepare
from papaya.server.message_log import LOCKS, Log, after_newline
from papaya.server.scoreboard import COMMITTED, LINES, REPAIRED, Board
from papaya.server.session import Chat, Session
from papaya.settings import NEEDED, SETTINGS, Settings
from probes import Fact, Platform, Report
from probes.errors import CommandError
from tests.worlds import ROOT, needs_root

# Wire ----------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40)), st.data())
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at_once = Lines(20)
    expected, refused = at_once.feed(whole)
    in_parts = Lines(20)
    fed = [in_parts.feed(part) for part in parts]
    assert list(itertools.chain(*(lines for lines, _ in fed))) == expected
    assert sum(too_long for _, too_long in fed) == refused
    assert in_parts.end() == at_once.end()


@given(st.binary(max_size=200))
def test_a_clean_line_is_one_line_of_text(line: bytes) -> None:
    kept = clean(line)
    text = kept.decode()
    assert not any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in text)
    assert clean(kept) == kept


def test_the_length_counts_without_its_end() -> None:
    lines = Lines(4)
    assert lines.feed(b"abcd\nabcd\r\nabcde\nabcde\r\n") == ([b"abcd", b"abcd"], 2)
    assert lines.feed(b"abcdef") == ([], 1)
    assert lines.feed(b"g\nok\n") == ([b"ok"], 0)


def test_a_line_that_grows_is_too_long() -> None:
    lines = Lines(16)
    assert lines.feed(b"\xff" * 5 + b"\n" + b"\xff" * 6 + b"\n") == ([5 * "\ufffd".encode()], 1)
    assert lines.feed(b"\xff" * 6) == ([], 0)
    assert lines.end() == []


def test_time_stands_before_each_line() -> None:
    assert timed([b"a: b", b"c"], 0) == b"1970-01-01T00:00:00Z a: b\n1970-01-01T00:00:00Z c\n"
    assert untimed("1970-01-01T00:00:00Z a: b") == ("1970-01-01T00:00:00Z", "a: b")
    assert untimed("a: b") == (None, "a: b")


@given(st.binary(max_size=300), st.integers(1, 20))
def test_the_client_shows_nothing_a_terminal_obeys(data: bytes, step: int) -> None:
    incoming = Incoming()
    for at in range(0, len(data), step):
        for message in incoming.feed(data[at : at + step]):
            assert all(c.isprintable() or c == "\t" for c in message.name + message.text)
    assert shown("\x1b[2J") == "\\x1b[2J"


def test_a_server_that_ends_no_line_does_not_fill_the_memory() -> None:
    incoming = Incoming()
    shown = [one for _ in range(100) for one in incoming.feed(b"x" * 65536)]
    assert len(incoming.begun) < 1 << 18
    assert sum(len(one.text) for one in shown) + len(incoming.begun) == 100 * 65536


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host", ("host", 7722)), ("host:1", ("host", 1)), ("::1", ("::1", 7722)),
        ("[::1]", ("::1", 7722)), ("[::1]:5", ("::1", 5)), (":9", ("localhost", 9)),
    ],
)  # fmt: skip
def test_a_server_is_named_in_every_usual_way(given: str, expected: tuple[str, int]) -> None:
    assert split_server(given) == expected


# The log -------------------------------------------------------------------------------------


def opened(path: Path, board: Board, lock: str = "flock") -> Log:
    log = Log(str(path), board, LOCKS[lock])
    log.begin()
    return log


def test_what_was_torn_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthr")
    board = Board(1)
    assert Log(str(path), board, LOCKS["flock"]).begin() == 3
    assert path.read_bytes() == b"one\ntwo\n"
    assert board[COMMITTED] == 8


def test_what_a_killed_writer_left_is_taken_over_and_its_torn_line_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    board = Board(1)
    log = opened(path, board)
    log.append([b"a"])
    with path.open("ab") as file:
        file.write(b"whole\ntorn")
    assert log.append([b"b"]) == (1, "")
    first, whole, last = path.read_bytes().splitlines()
    assert (first[-2:], whole, last[-2:]) == (b" a", b"whole", b" b")
    assert b"torn" not in path.read_bytes()
    assert (board[LINES], board[REPAIRED]) == (3, 1)
    assert board[COMMITTED] == path.stat().st_size


def test_a_short_write_is_cut_back_to_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    board = Board(1)
    log = opened(path, board)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    kept, why = log.append([b"a", b"b", b"c"])
    assert (kept, why) == (1, os.strerror(errno.ENOSPC))
    assert path.read_bytes().count(b"\n") == 1
    assert board[COMMITTED] == path.stat().st_size == 23
    monkeypatch.undo()
    assert log.append([b"d"]) == (1, "")
    assert path.read_bytes().endswith(b" d\n")


def test_a_torn_line_that_cannot_be_cut_off_is_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    path = tmp_path / "log"
    board = Board(1)
    log = opened(path, board)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
    monkeypatch.setattr(os, "ftruncate", fails)
    # What is said of each line is so still when the next has come.
    assert log.append([b"a", b"b"]) == (1, os.strerror(errno.ENOSPC))
    assert (board[LINES], board[COMMITTED]) == (1, 23)
    monkeypatch.undo()
    assert log.append([b"c"]) == (1, "")
    assert [line[-1:] for line in path.read_bytes().splitlines()] == [b"a", b"c"]
    assert board[LINES] == 2


@pytest.mark.parametrize("kind", ["device", "fifo", "folder"])
def test_a_log_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    if kind == "device":
        path = Path(os.devnull)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(
        CommandError, match=rf"^{path}: (no regular file|Is a directory)$"
    ) as raised:
        opened(path, Board(1))
    assert raised.value.status == 3


WRITERS = """
import os, sys
from papaya.server.scoreboard import COMMITTED, LINES, Board
from papaya.server.listener import prepare
from papaya.server.message_log import LOCKS, Log

path, lock = sys.argv[1:]
board = Board(1)
Log(path, board, LOCKS[lock]).begin()
for number in range(4):
    if not os.fork():
        log = Log(path, board, LOCKS[lock])
        for _ in range(250):
            log.append([b"%d" % number])
        os._exit(0)
for _ in range(4):
    os.wait()
print(board[LINES], board[COMMITTED])
"""


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_each_lock_keeps_processes_apart(lock: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, str(path), lock],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1000", str(path.stat().st_size)]
    assert path.read_bytes().count(b"\n") == 1000


def test_without_a_lock_they_are_not(tmp_path: Path) -> None:
    """The check above can fail: what the lock guards is lost without it."""
    board = Board(1)
    path = tmp_path / "log"
    first, second = opened(path, board), Log(str(path), board, lambda fd, take: None)
    first.append([b"a"])
    settled = second._settled

    def late() -> int:
        end = settled()
        first.append([b"b"])  # It comes in between.
        return end

    second._settled = late  # type: ignore[method-assign]
    second.append([b"c"])
    assert board[COMMITTED] != path.stat().st_size


@given(st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"\n", b"")), max_size=8))
def test_newlines_are_found_from_the_end(lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines)
    descriptor = os.memfd_create("x") if hasattr(os, "memfd_create") else os.open("/dev/null", 0)
    try:
        os.write(descriptor, text)
        for count in range(1, len(lines) + 3):
            kept = lines[len(lines) - count + 1 :] if count <= len(lines) + 1 else lines
            start = len(text) - sum(len(line) + 1 for line in kept)
            assert after_newline(descriptor, len(text), count) == (
                start if count <= len(lines) else 0
            )
    finally:
        os.close(descriptor)


def test_what_a_client_sent_of_the_key_is_not_kept(tmp_path: Path) -> None:
    options = {"key": "/k", "log": str(tmp_path / "log")}
    secret, board = b"k" * key.LENGTH, Board(1)
    chat = Chat(config.load(None, options), Settings.from_report(report({})), secret, board, print)
    log = chat.log()
    log.begin()
    session = Session(chat, log, lambda: None, lambda: chat.reader(sendfile=False))
    assert session.feed(secret[:100]) == 0
    assert session.feed(secret[100:] + b"x: y\n" * 1000) == 0
    assert session.given == b""
    assert board[LINES] == 1000


# Keys ------------------------------------------------------------------------------------------


def test_a_key_is_new_private_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key.new(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key.load(str(path))) == key.LENGTH
    with pytest.raises(CommandError, match="is there already"):
        key.new(str(path))


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_a_key_is_never_readable_by_others(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it is there nor while it is written, whatever the umask."""
    path, modes = tmp_path / "key", []
    for name in ("open", "fdopen", "fsync"):
        real = getattr(os, name)

        def seen(*arguments: object, real: Any = real, **more: object) -> object:
            came = real(*arguments, **more)
            modes.append(path.stat().st_mode & 0o777)
            return came

        monkeypatch.setattr(os, name, seen)
    before = os.umask(umask)
    try:
        key.new(str(path))
    finally:
        os.umask(before)
        monkeypatch.undo()
    assert len(modes) == 3
    assert not any(mode & 0o077 for mode in modes)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.load(str(path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    key.new(str(path))
    path.chmod(mode)
    with pytest.raises(CommandError, match="others can read"):
        key.load(str(path))


@pytest.mark.parametrize("text", ["", "ab", "g" * 128, "a" * 127, "a" * 129, "a" * 128 + "\n\n"])
def test_what_is_no_key_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CommandError, match="hexadecimal"):
        key.load(str(path))


# The process id's file ---------------------------------------------------------------------------


def test_a_pid_file_is_held_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("what one left that was killed")
    held = daemonize.write_pid(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(CommandError, match=f"running already, as process {os.getpid()}"):
        daemonize.write_pid(str(path))
    daemonize.remove_pid(str(path), held)
    os.close(held)
    assert not path.exists()


def test_a_pid_file_that_was_removed_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pid"
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        path.unlink()  # The one that held it ends just now.
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    held = daemonize.write_pid(str(path))
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)


@pytest.mark.parametrize("kind", ["link", "name", "folder", "fifo"])
def test_a_pid_file_that_may_be_anothers_is_refused(kind: str, tmp_path: Path) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    other.write_text("precious")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "name":
        path.hardlink_to(other)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(CommandError, match=rf"^{path}: ") as raised:
        daemonize.write_pid(str(path))
    assert raised.value.status == 3
    assert other.read_text() == "precious"


@needs_root
def test_a_pid_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1")
    os.chown(path, 65534, 65534)
    with pytest.raises(CommandError, match="belongs to user 65534"):
        daemonize.write_pid(str(path))
    assert path.read_text() == "1"


@needs_root
@pytest.mark.parametrize("how", ["setresuid", "setuid"])
@pytest.mark.parametrize("ids", ["0, 0, 0", "0, 65534, 0", "65534, 65534, 0", "0, 65534, 65534"])
def test_root_is_given_up_whichever_id_it_is(ids: str, how: str) -> None:
    program = f"""if True:
        import os
        from papaya.server.daemonize import give_up_root
        os.setgroups([0])
        os.setresuid({ids})
        give_up_root("nobody", "{how}")
        print(os.getresuid(), os.getresgid(), os.getgroups())
    """
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{(65534,) * 3} {(65534,) * 3} [65534]\n", done.stderr


# Connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True])
def test_everything_is_set_on_an_accepted_socket(blocking: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        accepted.set_inheritable(True)
        accepted.setblocking(not blocking)
        prepare(accepted, blocking, 2.5)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not accepted.get_inheritable()
        assert os.get_blocking(accepted.fileno()) == blocking
        if blocking:
            limit = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)
            assert struct.unpack("ll", limit) == (2, 500_000)


# Limits ----------------------------------------------------------------------------------------


def test_early_drop_rises_to_all() -> None:
    chance = 0.0
    limits = Limits((10, 30, 20), 1000, 0, chance=lambda: chance)
    for _ in range(10):
        assert not limits.refuses("192.0.2.1")
    assert limits.refuses("192.0.2.1")  # 30 %, and the lot fell on it.
    chance = 0.31
    assert not limits.refuses("192.0.2.1")
    chance = 0.99
    while limits.waiting < 20:
        assert not limits.refuses("192.0.2.1")
    assert limits.refuses("192.0.2.1")


def test_backoff_doubles_and_ends() -> None:
    now = 0.0
    limits = Limits((10, 30, 20), 1000, 2, clock=lambda: now)
    for wait in (2, 4, 8):
        assert not limits.refuses("2001:db8::1")
        limits.failed("2001:db8::1", wrong_key=True)
        now += wait - 0.1
        # The whole /64 waits, and nobody else.
        assert limits.refuses("2001:db8::abcd") == "wrong key before"
        assert not limits.refuses("2001:db8:0:1::1")
        limits.failed("2001:db8:0:1::1", wrong_key=False)
        now += 0.2


def test_a_right_key_forgives_and_time_forgets() -> None:
    now = 0.0
    limits = Limits((10, 30, 20), 1000, 2, clock=lambda: now)

    def wrong() -> None:
        assert not limits.refuses("192.0.2.1")
        limits.failed("192.0.2.1", wrong_key=True)

    wrong()
    now += 2.1
    wrong()
    now += 4.1
    assert not limits.refuses("192.0.2.1")
    limits.welcomed("192.0.2.1")
    assert not limits.wrong
    wrong()
    now += 2.1 + 600
    wrong()
    now += 2.1  # The second in a row would wait 4 s.
    assert not limits.refuses("192.0.2.1")


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::"), ("fe80::1%eth0", "fe80::"),
    ],
)  # fmt: skip
def test_what_an_address_is_counted_as(host: str, counted: str) -> None:
    assert source(host) == counted


# Settings --------------------------------------------------------------------------------------


def report(answers: Mapping[str, object], system: str = "Linux") -> Report:
    """Facts as given; unsupported where the answer is None."""
    facts = {
        id: Fact(id, "unsupported", None, reason="lacks it")
        if answer is None
        else Fact(id, "measured", answer)  # type: ignore[arg-type]
        for id, answer in answers.items()
    }
    return Report(Platform(system, "1", "amd64", "libc", "1", 64), facts)


LINUX = {
    "sockets.bind_v4_first_v6only": "ok", "sockets.v4mapped_dual": True,
    "sockets.ipv6_loopback": True, "sockets.v6only_default": False,
    "signals.python_signal_stays": True, "signals.sigwait_takes_earlier": True,
    "signals.python_has_sigtimedwait": True, "signals.sigtimedwait_takes_pending": True,
    "signals.python_wakeup_fd": True, "groups.killpg_reaches_all": True,
    "groups.killpg_spares_foreign": True, "locks.flock_second_open_conflicts": True,
    "locks.flock_blocks": True, "locks.ofd_exists": True, "locks.ofd_second_open_conflicts": True,
    "locks.fcntl_inherited_by_fork": False, "files.offset_shared_by_new_open": False,
    "files.python_has_sendfile": True,
    "files.sendfile_to_socket": True, "files.sendfile_keeps_offset": True,
    "signals.sigchld_default_leaves_zombies": True, "processes.parent_death_signal": "prctl",
    "processes.parent_death_pipe": True, "signals.sigpipe_ignored_gives": "EPIPE",
    "groups.double_fork_is_session_leader": False, "processes.setresuid_drops_for_good": True,
    "accepting.inherits_nonblock": False,
}  # fmt: skip
FREEBSD = {
    **LINUX, "sockets.v6only_default": True, "accepting.inherits_nonblock": True,
    "processes.parent_death_signal": "procctl", "locks.ofd_exists": None,
    "locks.ofd_second_open_conflicts": None,
}  # fmt: skip
OPENBSD = {
    **FREEBSD, "sockets.v4mapped_dual": False, "processes.parent_death_signal": None,
    "signals.python_has_sigtimedwait": None, "signals.sigtimedwait_takes_pending": None,
    "files.python_has_sendfile": False, "files.sendfile_to_socket": None,
    "files.sendfile_keeps_offset": None,
}  # fmt: skip


BASELINES = sorted((ROOT / "matrix" / "baselines").glob("*.json"))


def chosen(answers: Mapping[str, object], **forced: str) -> dict[str, str]:
    settings = Settings.from_report(report(answers), forced)
    return {name: choice.value for name, choice in settings.choices.items()}


def test_settings_of_each_kind_of_platform() -> None:
    linux = chosen(LINUX)
    assert linux["listen"] == "a socket a family"
    assert (linux["lock"], linux["send"], linux["orphans"]) == ("flock", "sendfile", "prctl")
    assert chosen(FREEBSD) == {**linux, "orphans": "procctl"}
    assert chosen(OPENBSD) == {**linux, "orphans": "pipe", "send": "pread and send"}


@pytest.mark.parametrize("path", BASELINES, ids=[path.stem for path in BASELINES])
def test_settings_of_each_recorded_platform(path: Path) -> None:
    measured = Report.load(path)
    settings = Settings.from_report(measured)
    for choice in settings.choices.values():
        (option,) = (
            option
            for setting in SETTINGS
            for option in setting.options
            if (setting.name, option.value) == (choice.name, choice.value)
        )
        for id, wanted in option.rests_on.items():
            fact = measured.get(id)
            assert fact is None or not fact.measured or fact.value == wanted
    # They are Linux, all of them.
    assert {name: choice.value for name, choice in settings.choices.items()} == chosen(LINUX)


@pytest.mark.parametrize(
    ("changed", "name", "value"),
    [
        ({"sockets.bind_v4_first_v6only": "EADDRINUSE"}, "listen", "one dual-stack socket"),
        (
            {
                "sockets.bind_v4_first_v6only": None, "sockets.v4mapped_dual": None,
                "sockets.ipv6_loopback": False,
            },
            "listen", "IPv4 alone",
        ),
        ({"signals.sigwait_takes_earlier": False}, "wait", "sigtimedwait"),
        (
            {"signals.sigwait_takes_earlier": False, "signals.python_has_sigtimedwait": None},
            "wait", "wakeup descriptor",
        ),
        ({"groups.killpg_reaches_all": False}, "multicast", "one by one"),
        ({"locks.flock_second_open_conflicts": False}, "lock", "ofd"),
        ({"locks.flock_blocks": False, "locks.ofd_exists": None}, "lock", "fcntl"),
        ({"files.sendfile_to_socket": None}, "send", "pread and send"),
        ({"files.python_has_sendfile": False}, "send", "pread and send"),
        ({"groups.double_fork_is_session_leader": True}, "daemon", "setsid"),
        ({"processes.setresuid_drops_for_good": None}, "privileges", "setuid"),
    ],
)  # fmt: skip
def test_one_fact_changes_one_choice(changed: Mapping[str, object], name: str, value: str) -> None:
    before, after = chosen(LINUX), chosen({**LINUX, **changed})
    assert {n: v for n, v in after.items() if v != before[n]} == {name: value}


def test_what_rules_every_option_out_is_named() -> None:
    none = {
        "locks.flock_second_open_conflicts": False, "locks.ofd_exists": None,
        "locks.fcntl_inherited_by_fork": True,
    }  # fmt: skip
    with pytest.raises(CommandError, match="flock_second_open_conflicts is no") as raised:
        chosen({**LINUX, **none})
    assert raised.value.status == 3
    assert "\n" not in str(raised.value)


def test_a_fact_nobody_measured_rules_nothing_out_and_is_said() -> None:
    settings = Settings.from_report(report({}))
    assert settings["lock"] == "flock"
    assert "not measured here: locks.flock" in settings.choices["lock"].because


def test_every_fact_that_settings_need_is_one_the_lab_asks() -> None:
    from probes.load_catalogue import load_catalogue

    assert set(NEEDED) <= set(load_catalogue())
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


# Configuration -----------------------------------------------------------------------------------


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "papaya.toml"
    path.write_text('key = "/k"\nlog = "/l"\nhistory = 3\nlisten = [":1", "[::1]:2"]\n')
    loaded = config.load(str(path), {"history": 5, "set": {"lock": "ofd"}})
    assert (loaded.history, loaded.listen, loaded.set["lock"]) == (5, (":1", "[::1]:2"), "ofd")
    assert loaded.status_path == "/l.status"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("histroy = 3", "histroy: no such entry"),
        ("history = '3'", "history: '3' is not a whole number"),
        ("history = true", "history: True is not a whole number"),
        ("history = -1", "history: -1 is not between 0 and 10000"),
        ("listen = []", "listen: not an address"),
        ("listen = '1.2.3.4'", "'1.2.3.4' is no address"),
        ("listen = '::1:80'", "'::1:80' is no address"),
        ("listen = ':65536'", "':65536' is no address"),
        ("durability = 'all'", "durability: 'all' is none of none, data"),
        ("max_unauthenticated = '10'", "'10' is not START:RATE:FULL"),
        ("max_unauthenticated = '9:30:8'", "'9:30:8' is not START:RATE:FULL"),
        ("set = 'lock=ofd'", "set: not a table"),
        ("key = ", "no TOML"),
        ("log = 'x'", "no key file"),
    ],
)
def test_a_bad_entry_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "papaya.toml"
    path.write_text(text)
    with pytest.raises(CommandError) as raised:
        config.load(str(path), {})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.status == 2


def test_every_entry_is_an_option_and_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "papaya", "serve", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for field in dataclasses.fields(config.Config):
        assert f"--{field.name.replace('_', '-')}" in done.stdout
        assert field.metadata["help"]
