"""The plain client: for pipes and scripts."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from papaya.client.connection import HistoryFilter, parse_message
from papaya.key import LENGTH
from papaya.load.chat import Load
from papaya.protocol import make_stamp, stamp_lines
from papaya.selftest import Server
from tests.papaya.conftest import Fake, Serve
from tests.worlds import needs_linux, needs_root

ROOT = Path(__file__).parents[3]
RUN = "from papaya.cli import main; raise SystemExit(main())"


def chat(
    *arguments: str, said: str = "", home: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PAPAYA_")}
    return subprocess.run(
        [sys.executable, "-m", "papaya", "chat", *arguments],
        input=said, cwd=ROOT, env={**clean, "HOME": str(home), **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def server_of(server: Server) -> str:
    return f"{server.address[0]}:{server.address[1]}"


@pytest.mark.parametrize(
    "text", ["hi\n", "hi", "two\nlines\n", "a\tb \x1b[2J ü \x07\n", "", "\n\n"]
)
def test_once_ends_when_every_line_came_back(text: str, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    done = chat(
        server_of(server), "--plain", "--once", "--key", server.key_path, "--name", "ann",
        said=text, home=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert server.read_log().count(b" ann: ") == done.stdout.count(" ann: ")
    assert "\x1b" not in done.stdout
    assert bool(done.stdout) == bool(text.strip())


@needs_linux
@needs_root
def test_a_line_of_the_history_is_no_acknowledgement(serve: Serve, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=8k tmpfs {small} && exec "$@"'
    before = ("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh")
    log_option = ("--log", str(small / "chat.log"), "--history", "1000")
    server = serve("--engine", "coroutines", *log_option, before=before)
    options = (server_of(server), "--plain", "--once", "--key", server.key_path, "--name", "ann")
    assert chat(*options, said="backup ok\n", home=tmp_path).returncode == 0
    log = os.open(f"/proc/{server.process.pid}/root{small}/chat.log", os.O_WRONLY | os.O_APPEND)
    # The disk is full: the next line is not kept, although the history has the same line.
    with contextlib.suppress(OSError):
        while os.write(log, b"2026-11-22T23:59:59Z bob: and so on\n"):
            pass
    os.close(log)
    done = chat(*options, said="backup ok\n", home=tmp_path)
    assert done.returncode == 1
    assert "backup ok" in done.stdout


@pytest.mark.parametrize("history", ["0", "7"])
def test_once_is_over_in_a_chat_that_is_never_quiet(
    history: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", "coroutines", "--history", history)
    options = (server_of(server), "--plain", "--once", "--key", server.key_path, "--name", "ann")
    with Load(server.address, server.key) as load, ThreadPoolExecutor(1) as pool:
        (talker,) = load.join(1)
        done = pool.submit(chat, *options, said="hi\n", home=tmp_path)
        end = time.monotonic() + 20
        while not done.done() and time.monotonic() < end:
            load.say(talker, b"bob: and so on\n")
            load.step(0.05)
        assert time.monotonic() < end
    assert done.result().returncode == 0
    assert " ann: hi\n" in done.result().stdout


def test_a_line_that_never_comes_back_is_given_up_in_a_busy_chat(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    wait = f"from papaya.client import plain; plain.ONCE_SECONDS = 0.5\n{RUN}"
    with (
        fake.listening,
        subprocess.Popen(
            [sys.executable, "-c", wait, "chat", *fake.options, "--plain", "--once"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as process,
    ):  # fmt: skip
        assert process.stdin
        process.stdin.write(b"hi\n")
        process.stdin.close()
        with fake.accept(b"") as client, contextlib.suppress(OSError):
            end = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < end:
                client.sendall(b"bob: and so on\n")
                time.sleep(0.05)
        assert process.wait(20) == 1
        assert process.stderr
        assert process.stderr.read() == b"papaya: may be lost, as it did not come back: hi\n"


def test_what_was_shown_is_not_shown_again(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with (
        fake.listening,
        subprocess.Popen(
            [sys.executable, "-m", "papaya", "chat", *fake.options, "--plain"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        assert process.stdout
        fake.accept(b"bob: one\nbob: two\n").close()
        with fake.accept(b"bob: two\nbob: three\n") as client:
            client.sendall(b"bob: two\nbob: end\n")
            said = b""
            while not said.endswith(b"end\n"):
                said += process.stdout.readline()
            process.terminate()
    assert said == b"bob: one\nbob: two\nbob: three\nbob: two\nbob: end\n"


@pytest.mark.parametrize(
    ("again", "news"),
    [
        ("ab abc", "c"),
        ("abc bcd", "d"),
        ("abc c", ""),
        ("abc cc", "c"),
        ("abc cabc", "abc"),
        ("abc xabc", "xabc"),
        ("abc bd", "bd"),  # Another b: the history ends with the last message that was shown.
        ("aab aab", ""),
        ("abab abab", "ab"),  # It may be new: show it twice rather than not at all.
        ("abc abx", "abx"),
        (" ab", "ab"),
    ],
)
def test_the_history_alone_is_hidden(again: str, news: str) -> None:
    history = HistoryFilter()
    before, after = again.split(" ")

    def format_address(letters: str) -> str:
        found = (history.filter(parse_message(letter.encode())) for letter in letters)
        return "".join(one.text for some in found for one in some)

    assert format_address(before) == before
    history.start_connection()
    notice = parse_message(b"* a line was refused")
    assert history.filter(notice) == [notice]
    assert format_address(after) == news
    # Every later message is shown.
    assert format_address("c" + before) == "c" + before


@needs_linux
@needs_root
def test_an_address_that_is_silent_does_not_hide_the_next(serve: Serve, tmp_path: Path) -> None:
    if not os.path.exists("/etc/hosts"):
        pytest.skip("needs an /etc/hosts to mount another on: create one")
    server = serve("--engine", "coroutines")
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 twin\n127.0.0.1 twin\n")
    mount = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    ask = (
        "import sys; from papaya.client.connection import *\n"
        "_, port, key = sys.argv\n"
        "account = Account('twin', int(port), key.encode(), 'ann')\n"
        "connected, latency = connect(account, timeout=0.5)\n"
        "print(connected.getpeername()[0], latency < 0.5)"
    )
    port = server.address[1]
    with contextlib.ExitStack() as stack:
        # With a full backlog, a connection is not answered.
        full = socket.socket(socket.AF_INET6)
        stack.enter_context(full).bind(("::1", port))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            waiting.connect_ex(("::1", port))
        done = subprocess.run(
            [
                "unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh",
                sys.executable, "-c", ask, str(port), server.key.decode(),
            ],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    assert done.stdout == "127.0.0.1 True\n"


def test_nobody_speaks_for_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    with socket.create_connection(server.address) as rogue:
        rogue.sendall(server.key + b"* a line was refused: ha\n")
        assert rogue.recv(1000)
    done = chat(
        server_of(server), "--plain", "--once", "--key", server.key_path,
        said="hi\n", home=tmp_path, LC_ALL="C", PYTHONUTF8="0",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_is_closed_ends_it(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    command = [
        sys.executable, "-m", "papaya", "chat", server_of(server),
        "--plain", "--key", server.key_path, "--name", "ann",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert b"one" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"two\n")
        process.stdin.flush()
        assert process.wait(20) == 141


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">/dev/full", 3, "papaya: standard output: No space left on device\n"),
        (">&-", 3, "papaya: standard output: Bad file descriptor\n"),
        (">&- 2>&-", 3, ""),
        ("| true", 141, ""),
    ],
)
def test_an_output_that_fails_does_not_keep_lines_from_being_sent(
    redirection: str, status: int, said: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", "coroutines")
    options = f"{server_of(server)} --plain --once --key {server.key_path} --name ann"
    # A history, which is printed before the line is sent.
    assert chat(*options.split(), said="before\n", home=tmp_path).returncode == 0
    command = f"{sys.executable} -m papaya chat {options} {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], input="one\ntwo\n", cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (status, said)
    assert [line.split(b" ", 1)[1] for line in server.read_log().splitlines()] == [
        b"ann: before", b"ann: one", b"ann: two",
    ]  # fmt: skip


def test_an_output_that_fails_says_what_was_not_sent(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with (
        fake.listening,
        open("/dev/full", "wb") as full,
        subprocess.Popen(
            [sys.executable, "-m", "papaya", "chat", *fake.options, "--plain"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        with fake.accept(b"") as client:
            assert process.stdin
            assert process.stderr
            process.stdin.write("one\ntwo\n")
            process.stdin.flush()
            assert client.recv(100).startswith(b"ann: one\n")
            client.sendall(b"bob: hi\n")
            assert process.wait(20) == 3
        assert process.stderr.read().splitlines() == [
            "papaya: may be lost, as it did not come back: one",
            "papaya: may be lost, as it did not come back: two",
            "papaya: standard output: No space left on device",
        ]


def test_a_clock_that_is_set_back_is_no_matter(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "chat.log").write_bytes(b"2100-01-01T00:00:00Z ann: hi\n")
    server = serve("--engine", "coroutines")
    options = (server_of(server), "--plain", "--once", "--key", server.key_path, "--name", "ann")
    done = chat(*options, said="hi\n", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ann: hi") == 2


def test_lines_are_kept_until_they_can_be_sent(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with (
        fake.listening,
        subprocess.Popen(
            [sys.executable, "-m", "papaya", "chat", *fake.options, "--plain"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        with fake.accept(b"bob: hi\n") as client:
            assert process.stdout.readline() == "bob: hi\n"
            process.stdin.write("one\ntwo\n")
            process.stdin.flush()
            said = b""
            while not said.endswith(b"two\n"):
                said += client.recv(100)
        assert "closed the connection" in process.stderr.readline()
        process.stdin.write("three\nfour\n")
        process.stdin.flush()
        # One of the lines came back after the connection was lost.
        with fake.accept(b"bob: hi\nann: two\n") as client:
            said = b""
            while not said.endswith(b"four\n"):
                said += client.recv(100)
            assert said == b"ann: three\nann: four\n"
            process.terminate()
        assert "reconnecting" in process.stderr.readline()
        assert process.stderr.read() == "papaya: may be lost, as it did not come back: one\n"


def test_after_a_reconnect_what_was_missed_is_shown_once(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    with subprocess.Popen(
        [
            sys.executable, "-m", "papaya", "chat", server_of(server), "--plain",
            "--key", server.key_path, "--name", "ann",
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("before\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith("ann: before\n")
        server.stop()
        missed = [b"bob: same"] * 3 + [b"bob: %d" % number for number in range(50)]
        with open(server.log_path, "ab") as log:
            log.write(stamp_lines(missed, make_stamp(int(time.time()))))
        again = serve("--engine", "coroutines", "--listen", server_of(server))
        shown = [process.stdout.readline() for _ in missed]
        assert [line.partition("bob: ")[2] for line in shown] == [
            f"{line.decode().removeprefix('bob: ')}\n" for line in missed
        ]
        process.stdin.write("after\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith("ann: after\n")
        process.terminate()
        assert "missing" not in process.stderr.read()
    again.stop()


@pytest.mark.parametrize(
    "line", [b"9999-99-99T99:99:99Z x", b"0001-01-01T00:00:00Z x", b"2026-13-01T00:00:00Z a: x"]
)
def test_a_time_that_is_none_is_text(line: bytes) -> None:
    found = parse_message(line)
    assert line[-1:].decode() in found.text


def test_account_from_the_environment_and_the_file(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    folder = tmp_path / ".config" / "papaya"
    folder.mkdir(parents=True)
    (folder / "client.toml").write_text(
        f'server = "{server_of(server)}"\nkey = "{server.key_path}"\nname = "file"\n'
    )
    assert " file: a\n" in chat("--plain", "--once", said="a", home=tmp_path).stdout
    done = chat("--plain", "--once", said="b", home=tmp_path, PAPAYA_NAME="env")
    assert " env: b\n" in done.stdout
    done = chat("--plain", "--once", "--name", "given", said="c", home=tmp_path, PAPAYA_NAME="env")
    assert " given: c\n" in done.stdout


def test_a_line_that_does_not_come_back_is_status_1(serve: Serve, tmp_path: Path) -> None:
    server = serve("--max-line", "20")
    done = chat(
        server_of(server), "--plain", "--once", "--key", server.key_path, said="x" * 100,
        home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "papaya: a line was refused: it is longer than 20 bytes",
        f"papaya: may be lost, as it did not come back: {'x' * 100}",
    ]
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * LENGTH)
    wrong.chmod(0o600)
    done = chat(
        server_of(server), "--plain", "--once", "--key", str(wrong), said="x", home=tmp_path
    )
    assert done.returncode == 1
    assert "is the key right?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plain"], "no server; give HOST[:PORT]"),
        (["host:port", "--plain", "--key", "/nonexistent"], "'host:port': not an address"),
        (["localhost", "--plain"], "no key; give --key FILE"),
        (["localhost", "--plain", "--key", "/nonexistent"], "/nonexistent: No such file"),
        (["localhost", "--once"], "--once needs --plain"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = chat(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_nobody_there_is_status_1(tmp_path: Path, serve: Serve) -> None:
    server = serve()
    address = server_of(server)
    server.stop()
    done = chat(address, "--plain", "--once", "--key", server.key_path, said="x", home=tmp_path)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_the_original_server_is_understood(tmp_path: Path) -> None:
    """papayaChat 1.0 sends no times, and a NUL instead of some line feeds."""
    key = tmp_path / "key"
    key.write_text("ab" * 64)
    key.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def original() -> None:
            client, _ = listening.accept()
            with client:
                given = b""
                while len(given) < LENGTH:
                    given += client.recv(1)
                client.sendall(b"bob: earlier\nbob: later\0")
                line = b""
                while not line.endswith(b"\n"):
                    line += client.recv(4096)
                client.sendall(line[:-1] + b"\0")
                client.recv(1)

        serving = threading.Thread(target=original)
        serving.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        done = chat(
            address, "--plain", "--once", "--key", str(key), "--name", "ann", said="hi",
            home=tmp_path,
        )  # fmt: skip
        serving.join()
    assert (done.returncode, done.stdout) == (0, "bob: earlier\nbob: later\nann: hi\n")


def test_the_original_client_is_served(serve: Serve) -> None:
    """papayaChat 1.0 sends the key and each line as it is typed."""
    server = serve()
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(server.key)
        client.sendall(b"ann: hi\n")
        heard = b""
        while not heard.endswith(b"Z ann: hi\n"):
            heard += client.recv(4096)
