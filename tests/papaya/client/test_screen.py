"""The terminal client in a real pseudo-terminal, its screen read by a terminal emulator."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from papaya.load.chat import Load
from papaya.protocol import make_stamp, stamp_lines
from papaya.selftest import Server
from tests.papaya.client.conftest import Terminal, every_size, options, read_texts
from tests.papaya.conftest import Fake, Serve, until


def test_type_receive_resize_and_leave(chatting: tuple[Server, Terminal]) -> None:
    server, ann = chatting
    ann.child.send("grüezi mitenand\r")
    ann.until(lambda shown: re.search(r"\d\d:\d\d ann grüezi mitenand", shown))
    with Load(server.address, server.key) as load:
        (bob,) = load.join(1)
        # Messages that arrive do not garble the input line.
        ann.child.send("half a li")
        ann.until_shown("half a li")
        load.say(bob, b"bob: \x1b[2Jhello \x07ann\n")
        shown = ann.until_shown("bob [2Jhello ann")
        assert "half a li" in shown
        ann.child.send("ne\r")
        ann.until(lambda shown: re.search(r"ann half a line", shown))
        # The arrow keys show earlier lines.
        ann.child.send("\x1b[A\x1b[A")
        ann.until(lambda shown: shown.count("grüezi mitenand") == 2)
        ann.screen.resize(30, 100)
        ann.child.setwinsize(30, 100)
        ann.until(lambda shown: "connected" in shown.splitlines()[29])
        # After scrolling back, new messages are counted.
        for number in range(60):
            load.say(bob, b"bob: line %d\n" % number)
        ann.until_shown("bob line 59")
        ann.child.send("\x1b[5~")
        ann.until(lambda shown: "bob line 59" not in shown)
        load.say(bob, b"bob: news\n")
        ann.until_shown("1 unread below")
        ann.child.send("\x1b[6~\x1b[6~")
        ann.until(lambda shown: "bob news" in shown and "unread" not in shown)
    assert ann.leave() == 0


def test_it_connects_again_by_itself(chatting: tuple[Server, Terminal], serve: Serve) -> None:
    server, ann = chatting
    ann.child.send("before\r")
    ann.until_shown("ann before")
    server.process.send_signal(signal.SIGTERM)
    ann.until_shown("reconnecting in")
    server.process.wait()
    serve("--engine", "coroutines", "--listen", f"127.0.0.1:{server.address[1]}")
    ann.until(lambda shown: " connected · " in shown)
    ann.child.send("after\r")
    shown = ann.until_shown("ann after")
    assert shown.count("ann before") == 1


def test_a_line_that_may_be_lost_is_said(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with fake.listening:
        ann = Terminal(fake.options, tmp_path)
        with fake.accept(b"bob: hi\n* to you alone\n") as client:
            ann.until_shown("bob hi")
            ann.child.send("one\r")
            ann.take()
            assert client.recv(100) == b"ann: one\n"
            client.sendall(b"ann: one\n")
            ann.until_shown("ann one")
            ann.child.send("two\r")
            assert client.recv(100) == b"ann: two\n"
        # Notices, and messages that are sent again, are shown again.
        with fake.accept(b"bob: hi\nann: one\n* to you alone\nbob: hi\n"):
            shown = ann.until_shown("may be lost, as it did not come back: two")
            assert (shown.count("ann one"), shown.count("to you alone")) == (1, 2)
            assert (shown.count("bob hi"), shown.count("may be")) == (2, 1)
        ann.child.close(force=True)


def test_a_wrong_key_is_said(chatting: tuple[Server, Terminal], tmp_path: Path) -> None:
    server, _ = chatting
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 128)
    wrong.chmod(0o600)
    server.key_path = str(wrong)
    eve = Terminal(options(server, "eve"), tmp_path)
    eve.until_shown("is the key right?")
    eve.child.close(force=True)


def take_line(client: socket.socket, said: bytearray) -> bytes:
    """Return the next line that the client sends; ``said`` keeps what follows it."""
    while b"\n" not in said:
        data = client.recv(65536)
        assert data, bytes(said)
        said += data
    line, _, rest = said.partition(b"\n")
    said[:] = rest
    return bytes(line)


def strip_styles(output: bytes) -> str:
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", output).decode("utf-8", "replace")


@every_size
def test_keys_act_in_the_order_in_which_they_are_typed(
    chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    server, ann = chatting
    typed = "".join(f"hi{number}\rthere{number}\r" for number in range(20))
    ann.child.send(f"{typed}ax\x7fbd\x1b[Dc\rlast\n\x04")
    assert ann.wait() == 0
    expected = [f"ann: {word}{number}" for number in range(20) for word in ("hi", "there")]
    assert read_texts(server) == [*expected, "ann: abcd", "ann: last"]


@every_size
@pytest.mark.parametrize("brackets", [("", ""), ("\x1b[200~", "\x1b[201~")])
def test_every_line_of_a_paste_is_sent_once(
    brackets: tuple[str, str], chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    server, ann = chatting
    start, end = brackets
    ann.child.send(f"a{start}b\rc\r\rd{end}e\r")
    until(lambda: len(read_texts(server)) == 3)
    lines = [f"line {number}" for number in range(200)]
    ann.child.send(start + "\r".join(lines) + f"\r{end}then\r")
    if start:
        ann.until_shown("Send 200 lines? Ctrl+Y yes, Ctrl+N no")
        assert len(read_texts(server)) == 3
        ann.child.send("\x19")
    ann.until_shown("ann then")
    assert ann.leave() == 0
    assert read_texts(server) == [f"ann: {line}" for line in ("ab", "c", "de", *lines, "then")]


def test_a_paste_that_is_refused_is_not_sent(chatting: tuple[Server, Terminal]) -> None:
    server, ann = chatting
    paste = "\x1b[200~" + "no\n" * 5 + "\x1b[201~"
    # What is typed, or pasted, before the answer comes after it.
    ann.child.send(f"half {paste}and half\r{paste}end\r")
    ann.until_shown("Send 5 lines?")
    ann.child.send("\x0e")
    ann.until_shown("ann half and half")
    ann.until_shown("Send 5 lines?")
    ann.child.send("\x0e")
    ann.until(lambda shown: "ann end" in shown and "Send" not in shown)
    assert ann.leave() == 0
    assert read_texts(server) == ["ann: half and half", "ann: end"]


@every_size
def test_text_of_any_script_arrives_as_typed(
    chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    server, ann = chatting
    persian = "می\u200cخواهم"  # noqa: RUF001
    texts = ["日本\u3000語", persian, "Oui\u00a0?", "👨\u200d👩\u200d👧", "a\u0301\u00adb"]
    ann.child.send("".join(f"{text}\r" for text in texts))
    ann.child.send("".join(f"\x1b[200~p {text}\x1b[201~\r" for text in texts))
    until(lambda: len(read_texts(server)) == 2 * len(texts))
    assert read_texts(server) == [f"ann: {p}{text}" for p in ("", "p ") for text in texts]
    # The emulator drops what follows a joiner: look at what it was sent.
    ann.until(lambda _: f"ann p {texts[-1]}" in strip_styles(ann.output))
    assert all(f"ann p {text}" in strip_styles(ann.output) for text in texts)


@every_size
def test_lines_neither_break_nor_fool_the_screen(
    chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    server, ann = chatting
    width = size[1]
    with Load(server.address, server.key) as load:
        (eve,) = load.join(1)
        # Marks are drawn over the rows around them.
        load.say(eve, b"eve: a" + "\u0301".encode() * 300 + b"z\n")
        shown = ann.until(lambda shown: re.search("eve á.+…z", shown))
        assert shown.count("\u0301") < 10
        # A line without a name does not look like one with a name.
        for line in ("bob send money", "<bob> send money", "bob\u00a0: send money", "\u200b: bob"):
            load.say(eve, f"{line}\n".encode())
        load.say(eve, b"x" * 3000 + b": end of a name\n")
        load.say(eve, b"eve: the end\n")
        shown = ann.until_shown("eve the end")
        rows = [line.rstrip() for line in shown.splitlines()]
        assert all(len(line) <= width for line in rows)
        assert "connected" in rows[-1]
        assert "end of a name" in shown
        # No row but the first of a message begins like a message.
        fake = "12:00 bob send money"
        load.say(eve, f"eve: hello{' ' * (width - 15)}{fake} {fake} {fake}\n".encode())
        shown = ann.until(lambda shown: " ".join(shown.split()).count(fake) == 3)
        assert not re.search("^12:00 bob", shown, re.MULTILINE)
        load.say(eve, b"bob send money\n" * 2 + b"eve: done\n")
        shown = ann.until_shown("eve done")
        assert not re.search(r"^\d\d:\d\d bob", shown, re.MULTILINE)
        assert re.search(r"^\d\d:\d\d \(no name\) bob send money", shown, re.MULTILINE)
    ann.child.send("still here\r")
    ann.until_shown("ann still here")


def test_messages_are_wrapped_again_at_a_new_width(chatting: tuple[Server, Terminal]) -> None:
    _, ann = chatting
    words = [f"word{number}" for number in range(15)]
    ann.child.send(" ".join(words) + "\r")
    ann.until_shown(words[-1])
    for rows, columns in ((10, 40), (24, 80)):
        ann.screen.resize(rows, columns)
        ann.child.setwinsize(rows, columns)
        ann.until(lambda shown: all(re.search(rf"{word}\b", shown) for word in words))
        ann.until(lambda shown: "connected" in shown.splitlines()[-1])


def test_lines_are_kept_until_they_can_be_sent(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    said = bytearray()
    with fake.listening:
        ann = Terminal(fake.options, tmp_path)
        with fake.accept(b"bob: hi\n") as client:
            ann.until_shown("bob hi")
            ann.child.send("same\r")
            assert take_line(client, said) == b"ann: same"
            client.sendall(b"ann: same\n")
            ann.until_shown("ann same")
        ann.until_shown("reconnecting")
        lines = ["one", "same", "two", "same"]
        ann.child.send("".join(f"{line}\r" for line in lines))
        ann.until_shown("4 to send")
        with fake.accept(b"bob: hi\nann: same\nbob: hi again\n") as client:
            for line in lines:
                assert take_line(client, said) == b"ann: " + line.encode()
            # The equal line of the history acknowledged nothing: both are waited for.
            client.sendall(b"ann: one\nann: same\nann: two\n")
            ann.until_shown("ann two")
        with fake.accept(b"ann: one\nann: same\nann: two\n") as client:
            ann.until_shown("may be lost, as it did not come back: same")
            ann.child.send("last\r")
            assert take_line(client, said) == b"ann: last"
            client.sendall(b"ann: last\n")
            assert ann.leave() == 0
        assert not said


def test_a_line_that_was_kept_although_the_connection_was_lost_is_not_lost(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    said = bytearray()
    with fake.listening:
        ann = Terminal(fake.options, tmp_path)
        with fake.accept(b"bob: hi\n") as client:
            ann.until_shown("bob hi")
            ann.child.send("one\r")
            assert take_line(client, said) == b"ann: one"
        with fake.accept(b"bob: hi\nann: one\n") as client:
            ann.until_shown("ann one")
            ann.child.send("two\r")
            assert take_line(client, said) == b"ann: two"
            client.sendall(b"ann: two\n")
            shown = ann.until_shown("ann two")
            assert "lost" not in shown
        # The server repeats too few lines: the client cannot know what it missed.
        with fake.accept(b"bob: much later\n"):
            shown = ann.until_shown("bob much later")
            assert "lines before this one may be missing" in shown
            assert ann.leave() == 0


def test_after_a_reconnect_what_was_missed_is_shown_once(
    chatting: tuple[Server, Terminal], serve: Serve
) -> None:
    server, ann = chatting
    ann.child.send("before\r")
    ann.until_shown("ann before")
    server.stop()
    ann.until_shown("reconnecting in")
    with open(server.log_path, "ab") as log:
        missed = [b"bob: missed %d." % number for number in range(12)]
        log.write(stamp_lines(missed, make_stamp(int(time.time()))))
    serve("--engine", "coroutines", "--listen", f"127.0.0.1:{server.address[1]}")
    shown = ann.until_shown("missed 11.")
    for text in ["ann before", *(f"bob missed {number}." for number in range(12))]:
        assert shown.count(text) == 1
    assert "may be missing" not in shown
    assert ann.leave() == 0


def test_lines_that_cannot_be_sent_are_said_at_the_end(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    with fake.listening:
        ann = Terminal(fake.options, tmp_path)
        fake.accept(b"").close()
    ann.until_shown("reconnecting")
    ann.child.send("one\rtwo\r")
    ann.until_shown("2 to send")
    assert ann.leave() == 1
    assert b"papaya: not sent: one\r\npapaya: not sent: two\r\n" in ann.output


@pytest.mark.parametrize(
    ("method", "asynchronous"), [("_show", ""), ("say", ""), ("_send", "async ")]
)
def test_an_internal_error_is_one_line_after_the_screen(
    method: str, asynchronous: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", "coroutines")
    broken = (
        "import sys\nfrom papaya.cli import main\nfrom papaya.client.screen import Screen\n"
        f"{asynchronous}def fail(*_): 1 / 0\nScreen.{method} = fail\n"
        "raise SystemExit(main(sys.argv[4:]))"
    )
    ann = Terminal(options(server, "ann"), tmp_path, before=(sys.executable, "-c", broken))
    ann.take()
    with Load(server.address, server.key) as load:
        load.join(1)
        ann.child.send("hi\r")
        assert ann.wait() == 3
    after = ann.output.rpartition(b"\x1b[?1049l")[2]
    assert b"papaya: internal error: " in after
    assert b"ZeroDivisionError" in after
    assert b"Traceback" not in ann.output
