"""Test what comes from the terminal, and how the client leaves it."""

from __future__ import annotations

import os
import signal
import termios
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papaya.selftest import Server
from tests.papaya.client.conftest import Terminal, every_size, options, read_texts
from tests.papaya.conftest import Serve, until

textual = pytest.importorskip("textual")

from papaya.client.terminal import Keyboard  # noqa: E402

RESTORED = b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[?1000l", b"\x1b[?1003l"
"""The main screen, the cursor, pastes and the mouse as before."""


def type_characters(keyboard: Keyboard, data: bytes, step: int) -> str:
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    found = [one for part in parts for one in keyboard.feed(part)] + list(keyboard.tick())
    return "".join(getattr(one, "character", None) or "" for one in found)


@given(
    st.lists(
        st.one_of(st.binary(max_size=9), st.sampled_from([b"\x1b[M", b"\x1b[", b"\x1b[200~"]))
    ),
    st.integers(1, 9),
)
def test_no_bytes_end_the_input(parts: list[bytes], step: int) -> None:
    keyboard = Keyboard()
    type_characters(keyboard, b"".join(parts), step)
    keyboard = Keyboard()
    assert type_characters(keyboard, b"ok", step) == "ok"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\xffb", "a\ufffdb"),
        (b"\xe4\xf6", "\ufffd\ufffd"),
        ("a\u3000é😀".encode(), "a\u3000é😀"),
        (b"a\x1b[M \xf0\xf1b\x1b[M#!!c", "abc"),
        (b"\x1b[M \xc3\xa9x", "x"),
        (b"a\x1b[99999999999999;1ub", "ab"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_bytes_become_characters(data: bytes, text: str, step: int) -> None:
    assert type_characters(Keyboard(), data, step) == text


@every_size
def test_bad_bytes_and_mouse_reports_do_not_end_the_client(
    chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    server, ann = chatting
    ann.child.send(b"a\xffb\xe4\r\x1b[M \xf0\xf1")
    ann.child.send(b"\x1b[M`\xa1\x90\x1b[99999999999999;1uclean\r")
    until(lambda: len(read_texts(server)) == 2)
    assert read_texts(server) == ["ann: a\ufffdb\ufffd", "ann: clean"]
    ann.until_shown("ann clean")
    assert ann.leave() == 0


@every_size
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_it_and_restores_the_screen(
    name: str, chatting: tuple[Server, Terminal], size: tuple[int, int]
) -> None:
    _, ann = chatting
    fd = ann.child.child_fd
    inside = termios.tcgetattr(fd)
    assert not inside[3] & termios.ICANON
    ann.child.kill(number := getattr(signal, name))
    end = time.monotonic() + 20
    while not termios.tcgetattr(fd)[3] & termios.ICANON:
        assert time.monotonic() < end, ann.take()
        ann.take()
    assert termios.tcgetattr(fd)[3] & termios.ECHO
    assert ann.wait() == 128 + number
    assert all(sequence in ann.output for sequence in RESTORED)
    assert b"Traceback" not in ann.output


@pytest.mark.parametrize("ignored", [True, False])
def test_it_ends_when_the_terminal_is_gone(ignored: bool, serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    ann = Terminal(options(server, "ann"), tmp_path, ignore_sighup=ignored)
    ann.until_shown("connected")
    os.close(ann.child.child_fd)
    end = time.monotonic() + 20
    assert ann.child.pid
    try:
        while (found := os.waitpid(ann.child.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < end, "it did not end in 20 s"
            time.sleep(0.01)
    except AssertionError:
        os.kill(ann.child.pid, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(found[1]) == 128 + signal.SIGHUP


def test_the_screen_is_on_standard_output(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "coroutines")
    before = ("sh", "-c", 'exec "$@" 2>/dev/null', "sh")
    ann = Terminal(options(server, "ann"), tmp_path, before=before)
    ann.until_shown("connected")
    assert ann.leave() == 0
